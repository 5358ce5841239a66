"""Simulations in words and in a terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from reports.build import HOSTILE
from reports.build_simulation import MS, S, extreme, good, hostile, outcome, vcpu
from timehands.reports import simulation_words as words
from timehands.reports.simulation_terminal import render, render_comparison
from timehands.simulate.expectations import parse
from timehands.simulate.outcome import EventOutcome, Outcome, judged
from timehands.simulate.truth import together

ALL = [outcome(), good(), hostile(), extreme(), outcome(200)]


def test_the_verdict_comes_first_with_what_was_not_as_expected() -> None:
    lines = render(outcome(), color=False).splitlines()
    assert lines[0].startswith("✗ not as expected: worst_jump <= 1 us, but it was 194.335 us")
    assert lines[0].endswith("1 of 2 expectations met")
    assert lines[1].strip().startswith("the clock goes back from one vCPU to another 12 times, by")
    assert "loses 43 ms a second" in " ".join(map(str.strip, lines[1:4]))


def test_every_vcpu_has_its_row_and_all_have_one() -> None:
    rows = [line.split() for line in render(outcome(3), color=False).splitlines()]
    assert [row[0] for row in rows if len(row) > 3 and row[1] in ("5,000", "15,000")] == [
        "0", "1", "2", "all",
    ]  # fmt: skip
    assert "Across vCPUs 12 readings are below one taken before, by 28.639 ms at worst." in render(
        outcome(3), color=False
    )


def test_events_are_told_with_their_jump_and_what_came_of_them() -> None:
    text = render(outcome(), color=False)
    assert re.search(r"1 +5 s +paused for 75 h +-194\.335 us +guest told that it was stopped", text)
    assert "The guest's date at the end: 75 h behind." in text


def test_expectations_are_marked() -> None:
    text = render(outcome(), color=False)
    assert re.search(r"✓ +warps = 0 +0$", text, re.MULTILINE)
    assert re.search(r"✗ +worst_jump <= 1 us +194\.335 us$", text, re.MULTILINE)


def test_a_good_clock_is_said_to_be_one() -> None:
    lines = render(good(), color=False).splitlines()
    assert lines[0].startswith("✓ the clock keeps time")
    assert lines[1].strip() == "the clock never goes back and stays within 4 ns of what is due"
    assert "stalls" not in lines[6] and "refused" not in lines[6]


@pytest.mark.parametrize("one", ALL)
@pytest.mark.parametrize("width", [100, 72, 40])
def test_no_line_is_wider_than_the_page(one: Outcome, width: int) -> None:
    for text in (
        render(one, width=width, color=False),
        render_comparison([one, good(), one], width=width, color=False),
    ):
        assert max(map(len, text.splitlines())) <= width
        assert HOSTILE not in text and "\x1b" not in text


def test_one_hundred_columns_keep_every_number_in_one_piece() -> None:
    text = render(outcome(), color=False)
    assert "-412 ms" in text and "-4.3 %" in text


@pytest.mark.parametrize("one", ALL)
def test_ascii_is_enough(one: Outcome) -> None:
    assert render(one, color=False, unicode=False).isascii()
    assert render_comparison([one, one], color=False, unicode=False).isascii()


def test_colour_is_only_where_it_was_asked_for() -> None:
    assert "\x1b[" in render(outcome(), color=True)


def test_a_comparison_has_a_row_and_a_sentence_for_each() -> None:
    text = render_comparison([outcome(), good()], color=False)
    lines = text.splitlines()
    assert lines[0] == "nvmm-loaded: TSC as timecounter on a loaded host"
    heads, nvmm, kvm = lines[3:6]
    assert heads.split()[:3] == ["provider", "warps", "worst"]
    assert nvmm.split()[:4] == ["nvmm", "12", "28.639", "ms"]
    assert kvm.split()[:3] == ["kvm", "0", "–"]
    assert "kvm   the clock never goes back and stays within 4 ns of what is due" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refused": 5000}, "cannot be read"),
        ({"refused": 3}, "cannot be read 3 times"),
        ({"warps": 1, "worst_warp_ns": 68_000}, "goes back once, by 68 us at worst"),
        ({"stalls": 2, "worst_stall_ns": 5 * MS}, "stands still for up to 5 ms"),
        ({"worst_rate_error_ppb": 0, "offset_worst_ns": -1_582_000}, "is up to 1.582 ms behind"),
        ({"worst_rate_error_ppb": 41_200_000}, "gains 41.2 ms a second"),
        ({"rate_error_ppb": -41_200_000, "worst_rate_error_ppb": None}, "loses 41.2 ms a second"),
        ({"worst_rate_error_ppb": -499_999, "offset_worst_ns": -9}, ""),
    ],
)
def test_troubles_are_told_by_name(changes: dict[str, int | None], said: str) -> None:
    row = vcpu(0, **changes)
    one = replace(good(), vcpus=(row,), all=together((row,)))
    told = "; ".join(words.troubles(one))
    assert said in told if said else told == ""


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (EventOutcome(S, "x", 3 * S, (3 * S,)), "jumps by 3 s"),
        (EventOutcome(S, "x", 0, (0,), lockup=True), "makes the guest's watchdog cry once"),
        (EventOutcome(S, "x", 0, (0,), timer_late_ns=S), "has a timer that fires 1 s late"),
        (EventOutcome(S, "x", 0, (0,), timer_lost=True), "has a timer that never fires"),
        (EventOutcome(S, "x", 0, (0,), dropped=True), "ignores a write to the TSC"),
        (EventOutcome(S, "x", -900, (-900,)), ""),
    ],
)
def test_what_events_did_is_told(event: EventOutcome, said: str) -> None:
    assert "; ".join(words.troubles(replace(good(), events=(event,)))) == said


def test_the_date_is_told_when_it_is_off_and_does_not_count_against_the_clock() -> None:
    one = replace(good(), wall_offset_ns=-75 * 3600 * S)
    assert words.summary(one).endswith("of what is due; the guest's date ends 75 h behind")
    assert words.verdict(one).mood == "good"


def test_pages_without_tsc_stable_are_told() -> None:
    row = vcpu(0, unstable_reads=5000)
    one = replace(good(), vcpus=(row,), all=together((row,)))
    assert "Every reading found a page without TSC_STABLE." in render(one, color=False)
    assert "TSC_STABLE" not in render(good(), color=False)
    row = vcpu(0, unstable_reads=40)
    lost = replace(good(), vcpus=(row,), all=together((row,)))
    assert "; TSC_STABLE gets lost" in words.summary(lost)


def test_moods_go_by_what_was_expected() -> None:
    met = judged((parse("warps", 0),), outcome())
    assert words.verdict(outcome(expectations=met)).headline == "as expected"
    assert words.verdict(outcome(expectations=())).mood == "doubtful"
    nothing = judged((parse("worst_timer_late", "<= 1 us"),), good())
    assert "but it was not told" in words.verdict(outcome(expectations=nothing)).headline
