"""Stops inside the plugin, on the real QEMU: what they tell is what the stub tells."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boots.bare_guests import build_guest, plugin_qemu, processes_with, symbols_of, wait_until
from guest_kernels.build import Form, System, guest_kernel
from timehands.boot import Booted, Request, boot_request, open_recording, prepare, ready_payloads
from timehands.debug import Break, Debugging, Seen, Session, debugging
from timehands.errors import CannotSteer, GdbError
from timehands.machines.guest import Guest
from timehands.machines.machine import Load, Machine
from timehands.story.model import OutcomeKind
from timehands.watch.gdb import BreakKind, Breakpoint, Cause
from timehands.watch.interventions import Stopped
from timehands.watch.plan import Plan
from timehands.watch.plugin import watcher_for
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind
from timehands.watch.stops import Stop, parse
from timehands.watch.stops.inside import InsideClient
from timehands.watch.stops.steering import set_value

pytestmark = pytest.mark.boot

EXACT = Machine(deterministic=True)
WORDS = ("boot_verbose=1", "machdep.disable_tsc_calibration=0")
#: A kernel's way past its early busy waits (CLOCKS: the fault below xen_delay).
PATCH = "xen_pvh_init_ops+8=&i8254_init,xen_pvh_init_ops+16=&i8254_delay"
Row = tuple[Stop, Seen]
AtStop = Callable[[Session, Stop], Awaitable[None]]


def request(
    system: System, *arguments: str, form: Form = "dwarf", machine: Machine = EXACT, **more: Any
) -> Request:
    plugin_qemu()
    kernel = guest_kernel(system, form)
    wanted = {"survey": False, "timeout_s": 90.0, **more}
    return Request(kernel, machine, arguments=arguments, **wanted)


def healthy(*arguments: str, form: Form = "dwarf", **more: Any) -> Request:
    """FreeBSD's kernel on its way to the end: its early busy waits have a clock."""
    patches = (PATCH,) if form == "dwarf" else ()
    return request("freebsd", *WORDS, *arguments, form=form, patches=patches, **more)


def debug(
    booted: Request, *breaks: Break, inside: bool = True, at_stop: AtStop | None = None, **more: Any
) -> tuple[list[Row], Session, Booted]:
    """Everything that a session shows, and what came of the boot."""
    prepared = prepare(booted)
    ready_payloads(prepared)
    asked = Debugging(booted, breaks, inside=inside, **more)

    async def run() -> tuple[list[Row], Session]:
        rows: list[Row] = []
        async with debugging(prepared, asked) as session:
            while (stop := await session.next()) is not None:
                rows.append((stop, await session.attend(stop)))
                if at_stop:
                    await at_stop(session, stop)
        return rows, session

    rows, session = asyncio.run(run())
    assert not processes_with(str(session.folder))
    return rows, session, open_recording(session.folder)


def timeless(stops: tuple[Stopped, ...]) -> list[Stopped]:
    return [replace(one, host_ns=0, resumed_ns=0, instrument="") for one in stops]


def without_times(recording: Recording) -> list[Event]:
    """The events without host times and without the sums at the end."""
    timed = (Kind.HELLO, Kind.COST, Kind.COUNT)
    return [replace(e, host_ns=0) for e in recording.events if e.kind not in timed]


def looks(form: Form) -> tuple[Break, ...]:
    """Nothing of what is shown depends on the time: a stop of the stub costs some µs of it."""
    named = ("tc->tc_name", "tc->tc_quality") if form == "dwarf" else ("arg0",)
    common = (
        Break(parse("tc_init"), prints=(*named, "1 / 0", "nothing"), backtrace=6),
        Break(parse("rdtsc", most=2), backtrace=32),
        Break(parse("DELAY if arg0 > 100000000"), prints=("arg0",)),
        Break(parse("DELAY+0x1", most=1), prints=("*(unsigned long *)$rsp",)),
    )
    # Without its patch the kernel dies before; what is passed then is the console's.
    ports = (
        Break(parse("in 0x40", most=3, passes=2), prints=("$sp", "$edx"), backtrace=2),
        Break(parse("out 0x43", most=1)),
    )
    return (*common, *ports) if form == "dwarf" else common


@pytest.mark.parametrize("form", ["dwarf", "symbols"])
@pytest.mark.parametrize("system", ["freebsd", "netbsd"])
def test_stops_values_and_callers_are_those_of_the_stub(system: System, form: Form) -> None:
    booted = (
        healthy(form=form)
        if system == "freebsd"
        else request("netbsd", "console=com", "-x", form=form)
    )
    breaks = looks(form) if system == "freebsd" else looks(form)[:1]
    files = ("tsc.c",) if form == "dwarf" else ()
    here = debug(booted, *breaks, files=files)
    there = debug(booted, *breaks, files=files, inside=False)
    assert here[1].inside and not there[1].inside
    assert len(here[0]) >= 3
    assert [seen for _, seen in here[0]] == [seen for _, seen in there[0]]
    assert [(s.why, s.where, s.notes) for s, _ in here[0]] == [
        (s.why, s.where, s.notes) for s, _ in there[0]
    ]
    assert timeless(here[2].recording.stops) == timeless(there[2].recording.stops)
    assert {stop.instrument for stop in here[2].recording.stops} == {"plugin"}
    assert {stop.instrument for stop in there[2].recording.stops} == {"stub"}
    for mine, other in zip(
        (*here[1].breaks, *here[1].files), (*there[1].breaks, *there[1].files), strict=True
    ):
        assert (mine.hits, mine.met, mine.stops) == (other.hits, other.met, other.stops)
        assert mine.reached == other.reached
    assert here[2].report.story.outcome.kind is there[2].report.story.outcome.kind


def test_a_deterministic_guest_does_not_notice() -> None:
    """Event by event: the guest's own clocks are in them."""
    stopped = debug(healthy(), *looks("dwarf"))[2]
    plain = asyncio.run(boot_request(healthy()))
    assert len(stopped.recording.stops) > 10
    both = [without_times(one.recording) for one in (stopped, plain)]
    shorter, longer = sorted(both, key=len)  # one ran on a little longer when it was to end
    assert len(shorter) > 1000
    assert longer[: len(shorter)] == shorter
    consoles = [[line.text for line in one.recording.console] for one in (stopped, plain)]
    few, many = sorted(consoles, key=len)
    assert few and many[: len(few)] == few
    story, other = stopped.report.story, plain.report.story
    assert [c.result_hz for c in story.calibrations] == [c.result_hz for c in other.calibrations]
    assert story.selected == other.selected


def test_calibrations_name_the_stops_that_fell_into_them() -> None:
    booted = debug(healthy(machine=Machine()), Break(parse("i8254_delay", most=3)))[2]
    known = {stop.reference for stop in booted.recording.stops}
    inside = [set(c.stops) for c in booted.report.story.calibrations if c.stops]
    assert inside and all(stops <= known for stops in inside)
    assert all(
        stop.resumed_ns is not None and stop.host_ns <= stop.resumed_ns
        for stop in booted.recording.stops
    )


def test_what_only_the_stub_can_is_the_stubs() -> None:
    booted, place = healthy(), parse("tc_init")

    def note(*breaks: Break, asked: Request = booted, **more: Any) -> str:
        from timehands.debug.choice import choose

        return choose(prepare(asked), Debugging(asked, breaks, inside=True, **more)).note

    assert "inside the plugin: nothing is changed" in note(Break(place, prints=("$rdi",)))
    assert "costs no guest time" in note(Break(place))
    assert "runs on meanwhile" in note(Break(place), asked=replace(booted, machine=Machine()))
    for one, why in (
        (Break(place, sets=("tsc_freq = 1",)), "--set 'tsc_freq = 1'"),
        (Break(place, asks=((0, 0),)), "--ask-cpuid"),
        (Break(parse("write of tsc_freq")), "'write of tsc_freq'"),
        (Break(place, prints=("1 + (int)$cr3",)), "$cr3"),
        (Break(parse("tc_init if $cs & 3")), "$cs"),
    ):
        assert "by QEMU's stub" in note(one) and why in note(one)
    assert "plugin is not there" in note(Break(place), asked=replace(booted, watch=False))
    assert note() == ""


def test_nothing_can_be_changed_where_one_only_looks() -> None:
    async def change(session: Session, _stop: Stop) -> None:
        with pytest.raises(CannotSteer, match="only look"):
            await set_value(session.stops, "tsc_freq = 1")
        with pytest.raises(GdbError, match="inside the plugin"):
            await session.stops.place(parse("tsc_init"))
        with pytest.raises(CannotSteer, match="only look"):
            await session.stops.step()

    rows, _, booted = debug(healthy(), Break(parse("tc_init", most=1)), at_stop=change)
    assert len(rows) == 1
    assert booted.recording.interventions[1:] == () or all(
        done.stop is None for done in booted.recording.interventions
    )


def test_a_hang_is_told_and_a_time_that_is_over_too() -> None:
    assert debug(healthy("hang=loop"), Break(parse("tc_init")))[1].reason == "hung"
    over = replace(healthy("hang=loop"), timeout_s=0.5)
    assert debug(over, Break(parse("tc_init")))[1].reason == "timeout"


def test_a_guest_that_stops_again_and_again_is_ended_in_time() -> None:
    """It is looked at while its vCPU waits for us, or is about to."""
    booted = replace(healthy(), timeout_s=6.0)
    rows, session, _ = debug(booted, Break(parse("out 0x43 if $rsp == 1")))
    assert rows == []
    assert session.reason == "timeout"
    (placed,) = session.breaks
    assert placed.hits > 1000 and not placed.stops


@pytest.mark.parametrize("at_stop", [True, False])
def test_a_machine_that_dies_is_an_outcome_not_an_error(at_stop: bool) -> None:
    async def kill(session: Session, stop: Stop) -> None:
        os.kill(session.guest.process_id, signal.SIGKILL)
        if at_stop:
            with pytest.raises(GdbError):
                for number in range(100):
                    await stop.number(f"*(char *)(0xffffffff80200000 + {number} * 256)")

    rows, session, booted = debug(healthy(), Break(parse("tsc_init")), at_stop=kill)
    assert len(rows) == 1
    assert session.reason == "lost"
    assert booted.report.story.outcome.kind is OutcomeKind.VM_LOST


def timehands(folder: Path) -> list[str]:
    words = [sys.executable, "-m", "timehands", "debug", str(guest_kernel("freebsd"))]
    words += ["--append", " ".join((*WORDS, "hang=loop")), "--patch", PATCH]
    return [*words, "--break", "tsc_init", "--break", "in 0x40 if 0", "--record", str(folder)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_machine_outlives_its_session(tmp_path: Path, how: signal.Signals) -> None:
    plugin_qemu()
    folder = tmp_path / "recorded"
    with subprocess.Popen(
        timehands(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"inside the plugin" in process.stdout.readline()
        assert b"tsc_init" in process.stdout.readline()
        assert wait_until((folder / "stops.jsonl").read_bytes)  # it is over
        process.send_signal(how)
        process.communicate(timeout=30)
        assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert wait_until(lambda: not processes_with(str(folder)))
    assert Recording.open(folder).stops[-1].instrument == "plugin"


# ---- the plugin's client by itself

TICK = "volatile uint32_t n; __attribute__((noinline)) void tick(void) { n++; }"
#: The second vCPU's code, at 0x8000 in real mode: lock incl 0x9000; jmp back.
SECOND = 0x8000
TWO = f"""
    static const uint8_t code[] = {{0xf0, 0x66, 0xff, 0x06, 0x00, 0x90, 0xeb, 0xf8}};
    volatile uint32_t *lapic = (volatile uint32_t *)0xfee00000;
    for (unsigned i = 0; i < sizeof code; i++)
        ((volatile uint8_t *){SECOND:#x})[i] = code[i];
    lapic[0xf0 / 4] |= 0x100;
    lapic[0x310 / 4] = 1 << 24;
    lapic[0x300 / 4] = 0x4500;
    for (volatile int i = 0; i < 100000; i++)
        ;
    lapic[0x300 / 4] = 0x4600 | {SECOND:#x} >> 12;
    for (;;)
        tick();
"""


class Heard:
    """A sink that keeps the console."""

    def __init__(self) -> None:
        self.text = b""

    def console(self, _host_ns: int, data: bytes, /) -> None:
        self.text += data

    def stream(self, _host_ns: int, _data: bytes, /) -> None:
        """Records are of no interest here."""

    def machine_event(self, _host_ns: int, _name: str, _data: dict[str, Any], /) -> None:
        """Neither are QEMU's events."""


@asynccontextmanager
async def watched(
    kernel: Path, *places: int, machine: Machine | None = None, heard: Heard | None = None
) -> AsyncIterator[tuple[Guest, InsideClient]]:
    """A guest before its first instruction, and its client; all places are inserted."""
    plan = Plan(stops=places)
    (kernel.parent / "plan.txt").write_text(plan.text())
    watcher = watcher_for(kernel.parent / "plan.txt", plan, steady=False)
    guest = await Guest.start(
        plugin_qemu(), machine or Machine(), Load(kernel), heard or Heard(), watcher=watcher
    )
    async with guest:
        assert guest.stops is not None
        process = None if machine else guest.process_id
        client = InsideClient(guest.stops, places, guest.resume, process=process)
        for place in places:
            await client.insert(Breakpoint(BreakKind.SOFTWARE, place))
        try:
            yield guest, client
        finally:
            client.close()


async def number(client: InsideClient, address: int) -> int:
    data = await client.read(address, 4)
    assert data is not None
    return int.from_bytes(data, "little")


async def next_stop(client: InsideClient) -> tuple[int, int]:
    """The vCPU and where it is."""
    await client.resume()
    reply = await client.wait_stop(20)
    assert reply is not None and reply.cause is Cause.BREAKPOINT and reply.thread is not None
    return reply.thread.thread - 1, (await client.registers())["rip"]


def test_each_call_is_one_stop_and_memory_is_of_that_moment(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, "for (;;) tick();", before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        async with watched(kernel, symbols["tick"]) as (_, client):
            for calls in range(200):
                assert await next_stop(client) == (0, symbols["tick"])
                assert await number(client, symbols["n"]) == calls
            whole = await client.read(symbols["tick"] & ~0xFFFF, 1 << 18)
            assert whole is not None and len(whole) == 1 << 18
            assert await client.read_each([(symbols["n"], 4), (symbols["n"], 1 << 20)]) == [
                (199).to_bytes(4, "little"), None,
            ]  # fmt: skip

    asyncio.run(run())


def test_two_vcpus_wait_for_their_turn(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, TWO, before=TICK)
    symbols = symbols_of(kernel)

    async def run() -> None:
        places = (symbols["tick"], SECOND)
        async with watched(kernel, *places, machine=Machine(vcpus=2)) as (guest, client):
            seen = {0: 0, 1: 0}
            while min(seen.values()) < 300:
                vcpu, pc = await next_stop(client)
                assert pc == places[vcpu]
                counter = 0x9000 if vcpu else symbols["n"]
                assert await number(client, counter) == seen[vcpu]
                seen[vcpu] += 1
            await client.remove(Breakpoint(BreakKind.SOFTWARE, symbols["tick"]))
            for _ in range(20):
                assert await next_stop(client) == (1, SECOND)
            client.close()
            await guest.pause()  # both go on

    asyncio.run(run())


def test_console_qmp_and_timers_do_not_wait_for_the_end_of_a_storm_of_stops(
    tmp_path: Path,
) -> None:
    kernel = build_guest(tmp_path, "for (;;) { tick(); put_char('.'); }", before=TICK)
    heard, before = Heard(), os.sched_getaffinity(0)
    tick = symbols_of(kernel)["tick"]

    async def run() -> None:
        async with watched(kernel, tick, heard=heard) as (guest, client):
            asked = asyncio.create_task(guest.qmp("query-status"))
            slept = asyncio.create_task(asyncio.sleep(0.02))
            for calls in range(200_000):
                await next_stop(client)
                if asked.done() and slept.done() and calls >= 1000 and len(heard.text) > 100:
                    break
            assert asked.done() and slept.done() and len(heard.text) > 100

    asyncio.run(run())
    assert os.sched_getaffinity(0) == before


def test_when_the_owner_goes_the_guest_goes_on(tmp_path: Path) -> None:
    kernel = build_guest(tmp_path, "for (;;) { tick(); put_char('.'); }", before=TICK)
    heard = Heard()

    async def run() -> None:
        async with watched(kernel, symbols_of(kernel)["tick"], heard=heard) as (guest, client):
            for _ in range(3):
                await next_stop(client)
            assert len(heard.text) <= 3
            client.close()
            async with asyncio.timeout(20):
                while len(heard.text) < 1000:
                    await asyncio.sleep(0.01)
            assert (await guest.end()).exit_status == 0

    asyncio.run(run())
