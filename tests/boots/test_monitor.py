"""Guests of our own monitor on the real KVM, booted and told as those of QEMU are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, header_for, symbols_of
from guest_kernels.build import System, guest_kernel
from timehands import live
from timehands.boot import Booted, Request, boot_request
from timehands.errors import CompilerMissing, KvmUnavailable, MachineError
from timehands.kvm import Kvm
from timehands.machines.machine import Machine
from timehands.machines.survey import Survey, survey
from timehands.story.model import ClockState, Mark, OutcomeKind
from timehands.watch.exits import MonitorVmm
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Recording
from timehands.watch.records import Kind
from timehands.watch.run import Limits, run
from timehands.watch.stuck import stuck_in

pytestmark = pytest.mark.boot

MONITOR = Machine("kvm", "monitor", "host", memory_mib=64)
#: No test hangs: what does not end by itself is ended after this, and then the test fails.
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def kvm() -> None:
    """The host's KVM can be opened; or a skip that says what is wrong with it."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)


def recorded(
    folder: Path, body: str, *, before: str = "", machine: Machine = MONITOR, quiet_s: float = 0.3
) -> Recording:
    """A bare guest with this body, run to its end."""

    async def work() -> None:
        kernel = build_guest(folder, body, before=before)
        recorder = Recorder(folder / "r", header_for(kernel, machine), Plan())
        limits = Limits(timeout_s=PATIENCE_S, quiet_s=quiet_s)
        await run(MonitorVmm(), recorder, None, limits)

    asyncio.run(work())
    return Recording.open(folder / "r")


def booted(system: System, folder: Path, *arguments: str, machine: Machine = MONITOR) -> Booted:
    try:
        kernel = guest_kernel(system)
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    request = Request(
        kernel,
        machine,
        arguments,
        until=Mark.INIT,
        timeout_s=PATIENCE_S,
        folder=folder / "r",
        survey=False,
    )
    return asyncio.run(boot_request(request))


def test_accesses_are_events_and_serial_ports_are_the_console(tmp_path: Path) -> None:
    body = 'outb(0x43, 0x34); inb(0x40); inb(0x71); put_text("one\\ntwo\\n"); bare_end();'
    made = recorded(tmp_path, body)
    assert made.header.ended_reason == "guest-reset"
    assert [line.text for line in made.console] == ["one", "two"]
    seen = [(e.kind, e.values[0]) for e in made.events if e.kind in (Kind.IN, Kind.OUT)]
    assert seen[:3] == [(Kind.OUT, 0x43), (Kind.IN, 0x40), (Kind.IN, 0x71)]
    kinds = [e.kind for e in made.events]
    assert kinds[:2] == [Kind.HELLO, Kind.FIRST]
    assert made.events[2].values[1] == 0x34
    start = symbols_of(tmp_path / "guest")["bare_main"]
    assert 0 < made.events[2].pc - start < 0x1000


def test_a_flood_of_accesses_is_recorded_and_counted(tmp_path: Path) -> None:
    body = "for (int i = 0; i < 3000; i++) inb(0x40); bare_end();"
    made = recorded(tmp_path, body)
    reads = [e for e in made.events if e.kind is Kind.IN and e.values[0] == 0x40]
    assert len(reads) + sum(e.passed for e in reads) + _left(made) == 3000


def _left(made: Recording) -> int:
    """What was passed over after the last event of its place."""
    counts = [e for e in made.events if e.kind is Kind.COUNT and e.values[0] == Kind.IN]
    told = sum(e.passed for e in made.events if e.kind is Kind.IN and e.values[0] == 0x40)
    return sum(e.values[2] for e in counts) - told


def test_one_that_spins_is_hung_and_shown_where(tmp_path: Path) -> None:
    spin = '__attribute__((noinline, aligned(16))) void spin(void) { for (;;) __asm__("cli"); }'
    made = recorded(tmp_path, "spin();", before=spin)
    assert made.header.ended_reason == "hung"
    at = symbols_of(tmp_path / "guest")["spin"]
    assert {spot.pc & ~0xF for spot in made.header.spots} == {at}


def test_one_that_halts_for_good_is_halted(tmp_path: Path) -> None:
    made = recorded(tmp_path, '__asm__("cli; hlt");')
    assert made.header.ended_reason == "halted"


def test_a_triple_fault_is_told_with_its_place(tmp_path: Path) -> None:
    body = '__asm__("lidt %0; ud2" :: "m"(*(const char(*)[6])"\\0\\0\\0\\0\\0\\0"));'
    made = recorded(tmp_path, body)
    assert made.header.ended_reason == "guest-reset"
    assert made.reset_log.startswith("Triple fault\n")
    assert "RIP=" in made.reset_log


def test_one_that_kvm_cannot_run_is_lost_with_the_place(tmp_path: Path) -> None:
    # No memory is there: KVM would have to emulate the fetch of an instruction.
    made = recorded(tmp_path, "((void (*)(void))0xd0000000)();")
    if made.header.ended_reason == "guest-reset":
        pytest.skip("this KVM makes a triple fault of a fetch from where no memory is")
    stuck = stuck_in(made.machine_events)
    assert made.header.ended_reason == "lost"
    assert stuck is not None
    assert stuck.pc == 0xD0000000


@pytest.mark.parametrize("system", ["freebsd", "netbsd", "openbsd"])
def test_our_guest_kernels_come_to_their_prompts(tmp_path: Path, system: System) -> None:
    made = booted(system, tmp_path)
    story = made.report.story
    assert story.outcome.kind is OutcomeKind.INIT_REACHED, story.outcome.text
    entered = next(b for b in story.boundaries if b.name is Mark.KERNEL_ENTRY)
    assert entered.how == "PVH entry, by the monitor"
    assert entered.at_ns == story.boundary_ns(Mark.FIRST_INSTRUCTION)
    assert next(span.name for span in story.spans if span.depth == 0) == "the monitor starts"
    assert made.recording.looked


def test_the_guest_has_the_clocks_that_words_set(tmp_path: Path) -> None:
    machine = MONITOR.with_clock("pvclock=none").with_clock("told-tsc-khz=1000000")
    story = booted("freebsd", tmp_path, machine=machine).report.story
    facts = {fact.name: fact.value for fact in story.facts}
    assert facts["tsc_freq"] == 1_000_000_000
    assert story.clock("kvmclock") is None


def test_pvclock_by_us_is_seen_being_asked_for(tmp_path: Path) -> None:
    made = booted("freebsd", tmp_path)
    writes = [e for e in made.recording.events if e.kind is Kind.WRMSR]
    assert 0x4B564D01 in [e.values[0] for e in writes]
    clock = made.report.story.clock("kvmclock")
    assert clock is not None
    assert clock.state is not ClockState.OFFERED


def test_the_survey_asks_the_monitors_machine(tmp_path: Path) -> None:
    found: Survey = asyncio.run(survey(MONITOR, MonitorVmm(), timeout_s=PATIENCE_S))
    assert found.offer("pvclock") is not None
    assert found.offer("i8254") is not None
    assert found.offer("rtc") is not None
    bare = MONITOR.with_clock("pvclock=none").with_device("pit", False).with_device("rtc", False)
    found = asyncio.run(survey(bare, MonitorVmm(), timeout_s=PATIENCE_S))
    for clock in ("pvclock", "i8254", "rtc"):
        assert found.offer(clock) is None, clock


def test_a_session_stops_at_functions_by_the_monitors_own_stub(tmp_path: Path) -> None:
    try:
        kernel = guest_kernel("freebsd")
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    machine = live.Machine("kvm", "monitor", "host", memory_mib=64)
    with machine.start(kernel, until=Mark.INIT, timeout_s=PATIENCE_S, folder=tmp_path / "r") as one:
        stop = one.run(until="tsc_init")
        assert stop is not None, one.reason
        assert stop.where.startswith("tsc_init")
        assert one.run() is None
    assert one.end().report.story.outcome.kind is OutcomeKind.INIT_REACHED


def test_a_machine_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(b"QFI\xfb".ljust(4096, b"\0"))
    kernel = build_guest(tmp_path, "bare_end();")
    request = Request(kernel, MONITOR, disk=disk, folder=tmp_path / "r", survey=False)
    with pytest.raises(MachineError, match="qcow2"):
        asyncio.run(boot_request(request))
    assert Recording.open(tmp_path / "r").header.ended_reason == "interrupted"
