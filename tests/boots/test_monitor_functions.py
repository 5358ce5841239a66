"""Functions of our own monitor's guests that are watched at their entries, on the real KVM."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, header_for, symbols_of
from guest_kernels.build import System, guest_kernel
from timehands.boot import Booted, Request, boot_request
from timehands.errors import CompilerMissing, KvmUnavailable, UsageError
from timehands.kvm import Kvm
from timehands.machines.machine import Machine
from timehands.monitor.breakpoints import Kind as PointKind
from timehands.monitor.breakpoints import ask
from timehands.story.model import Mark, OutcomeKind
from timehands.watch.entered import Entered
from timehands.watch.exits import MonitorVmm
from timehands.watch.exits.entries import MOST_ENTRIES
from timehands.watch.plan import Function, Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind, RawRecord
from timehands.watch.run import Limits, run

pytestmark = pytest.mark.boot

MONITOR = Machine("kvm", "monitor", "host", memory_mib=64)
#: No test hangs: what does not end by itself is ended after this, and then the test fails.
PATIENCE_S = 120.0
CALLED = """
__attribute__((noinline, noclone, noipa, regparm(0)))
void called(int a, int b, int c) { __asm__ volatile("" :: "r"(a), "r"(b), "r"(c)); }
"""


@pytest.fixture(autouse=True)
def kvm() -> None:
    """The host's KVM tells of hardware breakpoints; or a skip that says what is wrong with it."""
    try:
        with Kvm() as opened:
            if not ask(opened).has(PointKind.EXECUTE):
                pytest.skip("this host's KVM tells of no hardware breakpoint")
    except KvmUnavailable as error:
        pytest.skip(error.message)


def recorded(folder: Path, body: str, *names: str, enough: bool = False) -> Recording:
    """A bare guest, run to its end, or with ``enough`` until a function is watched no longer."""

    def counted(record: RawRecord) -> bool:
        return record[0] == Kind.COUNT and record[6] == Kind.ENTER

    async def work() -> None:
        kernel = build_guest(folder, body, before=CALLED)
        starts = symbols_of(kernel)
        functions = tuple(Function(n, starts[n], starts[n] + 1, leave=False) for n in names)
        header = header_for(kernel, MONITOR)
        header.chosen = True
        recorder = Recorder(folder / "r", header, Plan(functions))
        limits = Limits(timeout_s=PATIENCE_S, quiet_s=PATIENCE_S)
        if enough:
            limits.stop_at_record = counted
        await run(MonitorVmm(functions), recorder, None, limits)

    asyncio.run(work())
    return Recording.open(folder / "r")


def entries(made: Recording) -> list[Event]:
    return [event for event in made.events if event.kind is Kind.ENTER]


def test_each_entry_is_an_event_with_arguments_and_caller(tmp_path: Path) -> None:
    made = recorded(tmp_path, "called(7, 8, 9); called(1, 2, 3); bare_end();", "called")
    starts = symbols_of(tmp_path / "guest")
    one, two = entries(made)
    assert one.values[:4] == (0, 7, 8, 9)
    assert two.values[:4] == (0, 1, 2, 3)
    assert one.pc == two.pc == starts["called"]
    assert starts["bare_main"] < one.values[4] < two.values[4] < starts["bare_main"] + 0x1000
    assert made.header.resumed_ns <= one.host_ns < two.host_ns
    assert made.function(one) == "called"
    assert made.header.ended_reason == "guest-reset"


def test_functions_are_told_apart_by_number(tmp_path: Path) -> None:
    made = recorded(tmp_path, "called(0, 0, 0); bare_end();", "put_text", "called", "bare_end")
    assert [made.function(event) for event in entries(made)] == ["called", "bare_end"]
    assert [(one.function, one.times) for one in made.watching.entered] == [
        ("put_text", 0), ("called", 1), ("bare_end", 1),
    ]  # fmt: skip


def test_one_that_is_entered_all_the_time_is_let_be(tmp_path: Path) -> None:
    made = recorded(tmp_path, "for (;;) called(0, 0, 0);", "called", enough=True)
    assert made.header.ended_reason == "boundary"
    assert len(entries(made)) == MOST_ENTRIES
    (entered,) = made.watching.entered
    assert entered.let_be
    assert entered.times == MOST_ENTRIES + made.watching.passed_over
    assert [event.name for event in made.machine_events] == ["FUNCTION_LET_BE"]


def booted(system: System, folder: Path, *functions: str) -> Booted:
    try:
        kernel = guest_kernel(system)
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    request = Request(
        kernel,
        MONITOR,
        until=Mark.INIT,
        timeout_s=PATIENCE_S,
        folder=folder,
        survey=False,
        functions=functions,
    )
    return asyncio.run(boot_request(request))


@pytest.mark.parametrize("system", ["freebsd", "netbsd", "openbsd"])
def test_the_story_is_the_same_and_shows_them(tmp_path: Path, system: System) -> None:
    plain, made = booted(system, tmp_path / "a"), booted(system, tmp_path / "b", "tc_init")
    (entered,) = made.report.watching.entered
    assert entered.function == "tc_init"
    assert entered.times == len(entries(made.recording)) > 0
    assert entered.caller is not None
    assert "+0x" in entered.caller
    assert made.report.story.outcome.kind is OutcomeKind.INIT_REACHED
    assert made.report.story.selected == plain.report.story.selected
    assert any("only chosen functions" in text for text in made.report.story.unknown)
    assert plain.report.watching.entered == ()


def test_one_that_never_runs_is_told_as_such(tmp_path: Path) -> None:
    made = booted("freebsd", tmp_path / "r", "panic")
    assert made.report.watching.entered == (Entered("panic", 0),)


@pytest.mark.parametrize(
    ("functions", "machine", "kaslr", "words"),
    [
        (("tc_init",), Machine(), False, "for our monitor, not for microvm"),
        (("a", "b", "c", "d", "e"), MONITOR, False, "5 functions are to be watched"),
        (("tc_init",), MONITOR, True, "moves itself"),
        (("tc_inti",), MONITOR, False, "has no function tc_inti"),
    ],
)
def test_what_cannot_be_watched_is_refused(
    tmp_path: Path, functions: tuple[str, ...], machine: Machine, kaslr: bool, words: str
) -> None:
    try:
        kernel = guest_kernel("freebsd")
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    request = Request(kernel, machine, folder=tmp_path / "r", functions=functions, kaslr=kaslr)
    with pytest.raises(UsageError, match=words):
        asyncio.run(boot_request(request))
    assert not (tmp_path / "r").exists()
