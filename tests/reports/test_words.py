"""The phrases that the terminal and the HTML page share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.build import (
    MS,
    TSC_FLAG,
    TSC_KHZ,
    jiffies_report,
    jiffies_story,
    proof,
    spans,
)
from timehands.reports import words
from timehands.story.model import Outcome, OutcomeKind, Rate, Span, SpanKind, WallClock


def test_time_by_kind_counts_each_moment_once() -> None:
    kinds = dict(words.by_kind(spans()))
    assert kinds[SpanKind.CALIBRATION] == (50 + 137) * MS
    assert kinds[SpanKind.CLOCK] == (52 - 50 + 140 - 137) * MS
    assert sum(kinds.values()) == 2200 * MS


NESTED = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=20)


@given(NESTED)
def test_time_by_kind_of_spans_in_a_row_is_their_sum(lengths: list[tuple[int, int]]) -> None:
    at, row = 0, []
    for gap, length in lengths:
        row.append(Span("s", SpanKind.KERNEL, at + gap, at + gap + length))
        at += gap + length
    total = sum(length for _, length in lengths)
    assert sum(length for _, length in words.by_kind(row)) == total


def test_the_longest_spans_are_listed_in_the_order_of_time() -> None:
    shares = words.where_time_went(jiffies_story(), most=3)
    assert [s.name for s in shares] == ["firmware", "start_kernel", "drivers"]
    assert shares[-1].part == pytest.approx(1080 / 2200)


def test_a_story_without_spans_has_no_list() -> None:
    assert words.where_time_went(replace(jiffies_story(), spans=())) == []


def test_proved_speaks_of_the_trial_of_this_fix_alone() -> None:
    assert words.proved(TSC_FLAG, proof()) == (
        "no change: refined-jiffies selected, 250 Hz, boot 12 ms longer"
    )
    assert words.proved(TSC_KHZ, None) is None


def test_a_trial_that_did_not_start_tells_its_error() -> None:
    told = words.trial_words(proof().trials[2])
    assert told == "did not start: QEMU ended before a guest ran no CPU flag nonsense"


def test_the_end_of_a_boot_names_its_place_once() -> None:
    hung = Outcome(OutcomeKind.HUNG, "it spins in calibrate_delay", 5, "calibrate_delay", ("e7",))
    assert words.ended(hung) == "it spins in calibrate_delay [e7]"
    assert words.ended(replace(hung, text="it spins")) == "it spins, in calibrate_delay [e7]"
    assert words.ended(replace(hung, text="", where=None)) == "hung [e7]"
    assert words.ended(replace(hung, kind=OutcomeKind.INIT_REACHED)) == ""


def test_few_references_are_all_shown_and_many_are_counted() -> None:
    assert words.references(("e1", "c2")) == "[e1, c2]"
    assert words.references(tuple(f"e{i}" for i in range(1500))) == "[e0 ... e1499, 1,500 in all]"
    assert words.references(()) == ""


def test_the_rate_of_guest_time_is_a_sandwich() -> None:
    told = words.rate_words(Rate(-40, 60, 10**9))
    assert told == "between -40 ppm and +60 ppm of host time (measured over 1 s)"
    assert words.rate_words(None) == "not measured"


@pytest.mark.parametrize(
    ("offset_ns", "told"),
    [
        (10**8, "from the RTC, within 1 s of the host's"),
        (-75 * 3600 * 10**9, "from the RTC, 4,500 min 0 s behind the host's"),
        (2 * 10**9, "from the RTC, 2 s ahead of the host's"),
    ],
)
def test_wall_clocks(offset_ns: int, told: str) -> None:
    assert words.wall_words(WallClock(offset_ns, "the RTC")) == told


def test_watching_says_what_it_saw_and_cost() -> None:
    told = words.watching_words(jiffies_report().watching)
    assert "1,961 events" in told
    assert "about 3.9 % of QEMU's CPU time" in told


def test_a_kernel_s_debug_file_is_named() -> None:
    identity = replace(
        jiffies_report().kernel, types=("dwarf", "btf"), debug_file="/usr/lib/debug/boot/vmlinux"
    )
    assert "DWARF in vmlinux, BTF" in words.kernel(identity)
    assert words.kernel_file(identity).endswith("DWARF in /usr/lib/debug/boot/vmlinux")
