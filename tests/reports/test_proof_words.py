"""The proof's words: letters for long fixes, and how near to the truth each boot came."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.build import TSC_KHZ, jiffies_report, proof, survey
from timehands.findings.model import Fix, FixKind, Proof, Trial, Verdict
from timehands.reports import proof_words
from timehands.reports.html import render as render_html
from timehands.reports.model import Report
from timehands.reports.terminal import render

PATCH = Fix(FixKind.PATCH, "xen_pvh_init_ops+8=&i8254_init,xen_pvh_init_ops+16=&i8254_delay", "")
ARGUMENT = Fix(FixKind.KERNEL_ARGUMENT, "machdep.disable_tsc_calibration=0", "")
TSC_HZ = 2_500_000_000


def trial(*fixes: Fix, tsc_hz: int | None = None, lapic_hz: int | None = None) -> Trial:
    mended = ("TH101",)
    return Trial(
        fixes, Verdict.MENDED, "init reached", "TSC-low", TSC_HZ // 2, 611_000_000, None, mended,
        measured_hz=tsc_hz, lapic_hz=lapic_hz, reached="mountroot>",
    )  # fmt: skip


def report(*trials: Trial) -> Report:
    return replace(jiffies_report(), survey=survey(), proof=Proof(trials))


def true_hz(clock: str) -> int:
    offer = survey().offer(clock)
    assert offer is not None and offer.hz is not None
    return offer.hz


def test_long_fixes_get_letters_and_a_legend() -> None:
    trials = (trial(PATCH), trial(ARGUMENT), trial(ARGUMENT, PATCH))
    letters = proof_words.letters_of(trials)
    assert [proof_words.name(t.fixes, letters) for t in trials] == ["A", "B", "B + A"]
    assert proof_words.legend(letters) == [
        ("A", f"kernel patch {PATCH.value}"),
        ("B", f"kernel argument {ARGUMENT.value}"),
    ]


def test_short_fixes_keep_their_names() -> None:
    letters = proof_words.letters_of(proof().trials)
    assert letters == {}
    assert proof_words.name((TSC_KHZ,), letters) == TSC_KHZ.value


@pytest.mark.parametrize(("more", "words"), [(0, "0 ppm"), (5000, "+2 ppm"), (-2500, "-1 ppm")])
def test_a_measured_frequency_is_held_to_the_survey_s(more: int, words: str) -> None:
    one = report(trial(PATCH))
    assert proof_words.error_words(one, "tsc", true_hz("tsc") + more) == words


def test_without_a_truth_the_frequency_itself_is_shown() -> None:
    one = replace(report(trial(PATCH)), survey=None)
    assert proof_words.error_words(one, "tsc", TSC_HZ) == "2.500 GHz"
    assert proof_words.error_words(one, "lapic", None) == "-"


def test_the_best_trial_is_told_in_a_sentence_with_its_errors() -> None:
    one = report(trial(PATCH, ARGUMENT, tsc_hz=true_hz("tsc"), lapic_hz=1_000_000_000))
    assert proof_words.best_sentence(one) == (
        "With A + B: init reached (mountroot>) after 0.611 s; TSC measured as 2.500 GHz (0 ppm "
        "against the survey); LAPIC measured as 1.000 GHz"
    )


def test_both_pages_show_the_errors_and_the_legend() -> None:
    one = report(trial(PATCH, tsc_hz=true_hz("tsc") * 1001 // 1000))
    for page in (render(one, color=False), render_html(one)):
        assert "TSC off" in page
        assert "+1,000 ppm" in page
        assert "kernel patch xen_pvh_init_ops+8=" in page.replace("&amp;", "&")


def test_a_proof_that_measured_nothing_has_no_column_for_errors() -> None:
    assert "TSC off" not in render(jiffies_report(), color=False)
