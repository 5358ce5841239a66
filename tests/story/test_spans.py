from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings import MS, Tape, healthy_boot
from timehands.guests.linux import Linux
from timehands.story.model import Boundary, Mark, Span, SpanKind
from timehands.story.spans import (
    MAX_SPANS,
    SHORTEST_SPAN_NS,
    Call,
    call_spans,
    calls_of,
    open_calls,
    stretches,
)
from timehands.watch.recording import Recording


def _recording(tape: Tape, folder: Path) -> Recording:
    if tape.ended is None:
        tape.ends("guest-reset", ms=1000)
    return tape.write(folder)


def _spans(recording: Recording) -> tuple[Span, ...]:
    calls = calls_of(recording)
    return call_spans(calls, recording, lambda _c: SpanKind.KERNEL, lambda c: c.name)


def test_a_call_lasts_from_entry_to_return_and_keeps_its_result(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("tsc_init", ms=10, until_ms=15, result=42)
    (call,) = calls_of(_recording(tape, tmp_path))
    assert (call.name, call.duration_ns, call.result, call.depth) == ("tsc_init", 5 * MS, 42, 0)


def test_calls_within_calls_are_deeper(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("setup_arch", ms=10)
    tape.call("tsc_early_init", ms=11, until_ms=12)
    tape.leave("setup_arch", ms=13)
    calls = calls_of(_recording(tape, tmp_path))
    assert [(c.name, c.depth) for c in calls] == [("setup_arch", 0), ("tsc_early_init", 1)]


def test_a_function_that_calls_itself_is_left_from_the_inside_out(tmp_path: Path) -> None:
    tape = Tape()
    for ms in (10, 11, 12):
        tape.enter("do_one_initcall", ms=ms)
    for ms, result in ((13, 3), (14, 2), (15, 1)):
        tape.leave("do_one_initcall", result, ms=ms)
    calls = calls_of(_recording(tape, tmp_path))
    assert [(c.depth, c.result) for c in calls] == [(0, 1), (1, 2), (2, 3)]
    assert [c.duration_ns for c in calls] == [5 * MS, 3 * MS, 1 * MS]


def test_a_call_that_ends_in_a_jump_has_no_result(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("time_init", ms=10, until_ms=12, result=None)
    (call,) = calls_of(_recording(tape, tmp_path))
    assert call.left is not None
    assert call.result is None
    assert call.duration_ns == 2 * MS


def test_a_call_whose_return_was_missed_ends_with_the_call_around_it(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("setup_arch", ms=10)
    tape.enter("kvmclock_init", ms=11)
    tape.leave("setup_arch", ms=14)
    tape.call("time_init", ms=20, until_ms=21)
    calls = {c.name: c for c in calls_of(_recording(tape, tmp_path))}
    assert calls["kvmclock_init"].left is None
    assert calls["kvmclock_init"].end_ns == calls["setup_arch"].end_ns
    assert calls["time_init"].depth == 0


def test_a_return_without_an_entry_changes_nothing(tmp_path: Path) -> None:
    tape = Tape()
    tape.leave("time_init", ms=9)
    tape.enter("setup_arch", ms=10)
    tape.leave("time_init", ms=11)
    tape.leave("setup_arch", 7, ms=12)
    (call,) = calls_of(_recording(tape, tmp_path))
    assert (call.name, call.result) == ("setup_arch", 7)


def test_functions_watched_at_their_entry_only_make_no_calls(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("start_kernel", ms=10)
    tape.enter("panic", ms=11)
    assert calls_of(_recording(tape, tmp_path)) == ()


def test_vcpus_have_calls_of_their_own(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("calibrate_delay", ms=10, vcpu=0)
    tape.enter("setup_arch", ms=11, vcpu=1)
    tape.leave("calibrate_delay", 5, ms=12, vcpu=0)
    tape.leave("setup_arch", 6, ms=13, vcpu=1)
    calls = {c.name: c for c in calls_of(_recording(tape, tmp_path))}
    assert {name: (c.result, c.depth) for name, c in calls.items()} == {
        "calibrate_delay": (5, 0),
        "setup_arch": (6, 0),
    }


def test_a_task_that_migrates_leaves_its_call_on_the_other_vcpu(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("do_one_initcall", ms=10, vcpu=0)
    tape.leave("do_one_initcall", ms=14, vcpu=1)
    tape.call("do_one_initcall", ms=20, until_ms=21, vcpu=0)
    calls = calls_of(_recording(tape, tmp_path))
    assert [(c.duration_ns, c.depth) for c in calls] == [(4 * MS, 0), (1 * MS, 0)]


def test_a_call_that_never_ended_is_open_and_lasts_to_the_end(tmp_path: Path) -> None:
    tape = Tape()
    tape.call("setup_arch", ms=5, until_ms=6)
    tape.enter("x86_late_time_init", ms=10)
    tape.enter("calibrate_delay", ms=20)
    tape.ends("hung", ms=3020)
    recording = _recording(tape, tmp_path)
    opened = open_calls(calls_of(recording), recording)
    assert [c.name for c in opened] == ["x86_late_time_init", "calibrate_delay"]
    assert [c.duration_ns for c in opened] == [3010 * MS, 3000 * MS]


def test_a_recording_without_an_end_ends_with_its_last_event(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("calibrate_delay", ms=20)
    tape.port_in(0x42, 1, ms=50)
    (call,) = calls_of(tape.write(tmp_path))
    assert call.duration_ns == 30 * MS


def test_short_calls_make_no_spans(tmp_path: Path) -> None:
    tape = Tape()
    shortest_ms = SHORTEST_SPAN_NS / MS
    tape.call("time_init", ms=10, until_ms=10 + shortest_ms * 0.9)
    tape.call("tsc_init", ms=20, until_ms=20 + shortest_ms)
    assert [s.name for s in _spans(_recording(tape, tmp_path))] == ["tsc_init"]


def test_a_span_points_to_its_entry_and_return(tmp_path: Path) -> None:
    tape = Tape()
    tape.port_in(0x42, 1, ms=1)
    tape.call("tsc_init", ms=10, until_ms=20)
    (span,) = _spans(_recording(tape, tmp_path))
    assert span.evidence == ("e1", "e2")
    assert (span.start_ns, span.end_ns, span.depth) == (10 * MS, 20 * MS, 1)


def test_there_is_a_bound_on_spans(tmp_path: Path) -> None:
    tape = Tape()
    for at in range(MAX_SPANS + 50):
        tape.call("do_one_initcall", ms=2 * at, until_ms=2 * at + 1)
    assert len(_spans(_recording(tape, tmp_path))) == MAX_SPANS


_NAMES = ("setup_arch", "tsc_init", "calibrate_delay", "do_one_initcall")
_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(_NAMES),
        st.booleans(),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    max_size=60,
)


def _soup(steps: list[tuple[str, bool, int, int]], vcpus: int) -> Tape:
    tape, ms = Tape(), 0
    for name, entered, vcpu, pause_ms in steps:
        ms += pause_ms
        if entered:
            tape.enter(name, ms=ms, vcpu=vcpu % vcpus)
        else:
            tape.leave(name, ms=ms, vcpu=vcpu % vcpus)
    tape.ends("guest-reset", ms=ms + 1)
    return tape


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=_STEPS, vcpus=st.integers(1, 3))
def test_every_entry_makes_one_call_and_no_call_ends_before_it_began(
    tmp_path: Path, steps: list[tuple[str, bool, int, int]], vcpus: int
) -> None:
    calls = calls_of(_soup(steps, vcpus).write(tmp_path))
    assert len(calls) == sum(entered for _, entered, _, _ in steps)
    assert len({c.entered.index for c in calls}) == len(calls)
    assert all(c.duration_ns >= 0 for c in calls)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=_STEPS)
def test_spans_of_one_vcpu_nest(tmp_path: Path, steps: list[tuple[str, bool, int, int]]) -> None:
    spans = _spans(_soup(steps, 1).write(tmp_path))
    for at, span in enumerate(spans):
        around = [s for s in spans[:at] if s.end_ns > span.start_ns]
        assert span.depth == len(around) + 1
        assert all(s.start_ns <= span.start_ns and span.end_ns <= s.end_ns for s in around)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=_STEPS)
def test_spans_of_one_depth_never_overlap(
    tmp_path: Path, steps: list[tuple[str, bool, int, int]]
) -> None:
    spans = _spans(_soup(steps, 3).write(tmp_path))
    for depth in {s.depth for s in spans}:
        row = [s for s in spans if s.depth == depth]
        assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(row))


def _boundaries(**at_ns: int | None) -> tuple[Boundary, ...]:
    return tuple(Boundary(mark, at_ns.get(mark.value)) for mark in Mark)


def test_the_boot_is_cut_at_its_boundaries_without_gaps() -> None:
    cut = stretches(
        _boundaries(
            process_started=0, vm_ready=4, first_instruction=10, kernel_entry=25, init=90, ended=100
        )
    )
    assert [(s.name, s.start_ns, s.end_ns) for s in cut] == [
        ("QEMU starts", 0, 10),
        ("firmware", 10, 25),
        ("kernel", 25, 90),
        ("init", 90, 100),
    ]
    assert {s.depth for s in cut} == {0}


@pytest.mark.parametrize(
    ("at_ns", "names"),
    [
        ({"process_started": 0, "ended": 9}, ["QEMU starts"]),
        ({"process_started": 0, "first_instruction": 3, "ended": 9}, ["QEMU starts", "firmware"]),
        ({"process_started": 0, "kernel_entry": 3}, ["QEMU starts"]),
        ({}, []),
    ],
)
def test_boundaries_that_were_not_seen_cut_nothing(at_ns: dict[str, int], names: list[str]) -> None:
    assert [s.name for s in stretches(_boundaries(**at_ns))] == names


@pytest.mark.parametrize("names", [("tsc_init",), _NAMES])
def test_twenty_thousand_events_are_told_in_two_seconds(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    tape = healthy_boot()
    for at in range(10_000):
        name = names[at % len(names)]
        tape.enter(name, ms=100 + at / 1000)
        tape.port_in(0x42, at & 0xFF, ms=100 + at / 1000)
    recording = tape.write(tmp_path)
    assert len(recording.events) > 20_000
    began = time.process_time()  # a walk over all open calls for each would take a minute
    story = Linux().tell(recording)
    assert time.process_time() - began < 2
    assert story.selected == "tsc"


def test_returns_that_were_never_entered_cost_no_walk_over_the_open_calls(tmp_path: Path) -> None:
    tape = Tape()
    for at in range(20_000):
        tape.enter("do_one_initcall", ms=at / 1000)
        tape.leave("tsc_init", ms=at / 1000)
    recording = _recording(tape, tmp_path)
    assert len(recording.events) == 40_000
    began = time.process_time()
    calls: tuple[Call, ...] = calls_of(recording)
    assert time.process_time() - began < 1
    assert len(calls) == 20_000
