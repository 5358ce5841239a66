"""Debug sessions on the real QEMU: our own kernels, stopped, looked at, and changed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boots.bare_guests import plugin_qemu, processes_with, sample_kernel, wait_until
from guest_kernels.build import guest_kernel
from timehands import Kernel, Machine
from timehands.boot import Booted, Request, open_recording, prepare, ready_payloads
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug import Break, Debugging, Seen, Session, Skip, debugging
from timehands.errors import CannotSteer, GdbError, UsageError
from timehands.machines import machine as machines
from timehands.story.model import OutcomeKind
from timehands.watch.interventions import Did
from timehands.watch.records import Kind
from timehands.watch.stops import Stop, parse
from timehands.watch.stops.steering import ask_tsc, jump_tsc

pytestmark = pytest.mark.boot

#: Instructions are counted, so that a stop costs no guest time, and the TSC has exactly 1 GHz.
EXACT = machines.Machine(deterministic=True)
VERBOSE = "boot_verbose=1"
CALIBRATE = "machdep.disable_tsc_calibration=0"
NETBSD = ("console=com", "-x")
#: A kernel's way past its early busy waits (CLOCKS: the fault below xen_delay).
PATCH = "xen_pvh_init_ops+8=&i8254_init,xen_pvh_init_ops+16=&i8254_delay"
Row = tuple[Stop, Seen]


def request(system: str, *arguments: str, **more: Any) -> Request:
    plugin_qemu()
    kernel = guest_kernel(system)  # type: ignore[arg-type]
    wanted = {"machine": EXACT, "survey": False, "timeout_s": 30.0, **more}
    return Request(kernel, arguments=arguments, **wanted)


def healthy(*arguments: str) -> Request:
    """FreeBSD's kernel on its way to the end: its early busy waits have a clock."""
    return request("freebsd", VERBOSE, CALIBRATE, *arguments, patches=(PATCH,))


def debug(
    booted: Request,
    *breaks: Break,
    at_stop: Callable[[Session, Stop], Awaitable[None]] | None = None,
    **more: Any,
) -> tuple[list[Row], Session, Booted]:
    """Everything that a session shows, and what came of the boot."""
    prepared = prepare(booted)
    ready_payloads(prepared)

    async def run() -> tuple[list[Row], Session]:
        rows: list[Row] = []
        async with debugging(prepared, Debugging(booted, breaks, **more)) as session:
            while (stop := await session.next()) is not None:
                rows.append((stop, await session.attend(stop)))
                if at_stop:
                    await at_stop(session, stop)
        return rows, session

    rows, session = asyncio.run(run())
    assert not processes_with(str(session.folder))
    return rows, session, open_recording(session.folder)


def test_the_four_tc_init_calls_of_netbsd_and_who_made_them() -> None:
    wanted = Break(parse("tc_init"), prints=("tc->tc_name", "tc->tc_quality"), backtrace=4)
    rows, _, booted = debug(request("netbsd", *NETBSD), wanted)
    names = [dict(seen.values)["tc->tc_name"].split('"')[1] for _, seen in rows]
    assert names == ["i8254", "lapic", "clockinterrupt", "TSC"]
    first = rows[0][1].backtrace
    assert first is not None
    assert first.names[:3] == ("tc_init", "startrtclock", "cpu_configure")
    assert [stop.values for stop in booted.recording.stops] == [dict(s.values) for _, s in rows]
    assert booted.recording.stops[0].backtrace == first.names
    assert booted.report.stops == booted.recording.stops


def test_a_session_without_stops_is_a_boot_as_any_other() -> None:
    rows, session, booted = debug(request("netbsd", *NETBSD))
    assert rows == []
    assert session.reason == "boundary"
    assert booted.report.story.outcome.kind is OutcomeKind.INIT_REACHED
    assert booted.recording.stops == ()


def test_the_failing_assertion_and_the_variable_that_mends_it() -> None:
    words = (VERBOSE, "invariants=1")
    plain = debug(request("freebsd", *words))[2]
    assert "TSC not initialized" in plain.report.story.outcome.text
    wanted = Break(
        parse("lapic_init"),
        prints=("cpu_feature & CPUID_TSC", "tsc_freq"),
        sets=("tsc_freq = 1000000000",),
    )
    ((stop, seen),), _, booted = debug(request("freebsd", *words), wanted)
    assert dict(seen.values) == {"cpu_feature & CPUID_TSC": "16", "tsc_freq": "0"}
    (done,) = booted.recording.interventions
    assert (done.kind, done.what) == (Did.VARIABLE, "tsc_freq = 1000000000 (was 0)")
    assert done.stop == stop.index
    assert "TSC not initialized" not in booted.report.story.outcome.text
    assert booted.report.interventions == (done,)


def test_which_functions_of_a_source_file_were_reached() -> None:
    _, session, _ = debug(request("freebsd", VERBOSE), files=("tsc.c",))
    (placed,) = session.files
    names = {site.point.address: site.name for site in placed.sites}
    reached = [names[address] for address in placed.reached]
    assert reached[0] == "tsc_init"
    assert "start_TSC" in reached
    assert "tsc_get_timecount" in {site.name for site in placed.unreached}
    assert len(placed.reached) + len(placed.unreached) == len(placed.sites)


def test_who_wrote_a_variable() -> None:
    wanted = Break(parse("write of tsc_freq"))
    rows, _, _ = debug(healthy(), wanted)
    (stop, seen) = rows[0]
    assert stop.why == "write of tsc_freq"
    assert "tsc" in stop.where
    value, was = dict(seen.values)["tsc_freq"].split(" (was ")
    assert abs(int(value) - 10**9) < 10**6
    assert was == "0)"


def test_cpuid_asked_in_the_guest_is_no_event_of_its_own() -> None:
    leaves = ((0x80000000, 0), (0, 0), (0x40000000, 0))
    wanted = Break(parse("tsc_init"), asks=leaves)
    ((_, seen),), _, booted = debug(request("freebsd", VERBOSE), wanted)
    plain = debug(request("freebsd", VERBOSE))[2]
    answers = {leaf: answer for leaf, _, answer in seen.leaves}
    assert answers[0].ebx.to_bytes(4, "little") == b"Auth"
    assert answers[0x80000000].eax >> 16 == 0x8000
    assert [done.kind for done in booted.recording.interventions] == [Did.ASK] * 3

    def asked(one: Booted) -> list[tuple[int, int]]:
        return [event.leaf for event in one.recording.events if event.kind is Kind.CPUID]

    assert asked(booted) == asked(plain)


def test_a_leaf_that_we_answer_is_what_the_kernel_believes() -> None:
    answers = {
        0x40000000: Leaf(0x40000010, 0x4B4D564B, 0x564B4D56, 0x4D),
        0x40000010: Leaf(1_234_567, 1_000_000, 0, 0),
    }
    wanted = Break(parse("lapic_init"), prints=("tsc_freq",))
    rows, _, booted = debug(request("freebsd", VERBOSE), wanted, answers=answers)
    assert dict(rows[0][1].values)["tsc_freq"] == "1234567000"
    kinds = {done.kind for done in booted.recording.interventions}
    assert kinds == {Did.CPUID}
    assert any("0x40000010" in done.what for done in booted.recording.interventions)


def test_a_function_that_is_left_out_did_not_run() -> None:
    skips = (Skip("lapic_init", 0),)
    _, _, booted = debug(request("freebsd", VERBOSE, "invariants=1"), skips=skips)
    assert "TSC not initialized" not in booted.report.story.outcome.text
    (done,) = booted.recording.interventions
    assert (done.kind, done.what) == (Did.SKIP, "left out lapic_init, which returns 0x0")


def test_ports_and_msrs_by_what_the_guest_does() -> None:
    breaks = [Break(parse(text, most=2)) for text in ("out 0x43", "in 0x40", "rdmsr 0x1b")]
    rows, session, _ = debug(healthy(), *breaks)
    whys = [stop.why for stop, _ in rows]
    assert [why.split(" = ")[0] for why in whys if why.startswith("out")] == ["out 0x43"] * 2
    assert whys.count("in 0x40") == 2
    assert all(placed.stops <= 2 for placed in session.breaks)


def test_a_deterministic_machine_s_time_stands_still_at_a_stop() -> None:
    """The guest is held for 50 ms each time; its TSC counts ns, and goes on by far less."""
    ticks: list[tuple[int, int]] = []

    async def wait(session: Session, _stop: Stop) -> None:
        before = await ask_tsc(session.stops)
        await asyncio.sleep(0.05)
        ticks.append((before, await ask_tsc(session.stops)))

    debug(healthy(), Break(parse("DELAY", most=8)), at_stop=wait)
    held = [after - before for before, after in ticks]
    between = [now[0] - last[1] for last, now in itertools.pairwise(ticks)]
    assert len(ticks) == 8
    assert all(0 < one < 50_000_000 for one in held)
    assert all(0 < one < 50_000_000 for one in between)


def test_calibrations_name_the_stops_that_fell_into_them() -> None:
    asked = healthy()
    _, _, booted = debug(asked, Break(parse("i8254_delay", most=3)))
    inside = [c for c in booted.report.story.calibrations if c.stops]
    known = {stop.reference for stop in booted.recording.stops}
    assert inside
    assert all(set(c.stops) <= known for c in inside)


def test_a_hang_is_told_and_can_be_looked_at() -> None:
    async def run() -> tuple[str, str]:
        prepared = prepare(healthy("hang=loop"))
        ready_payloads(prepared)
        async with debugging(prepared, Debugging(prepared.request)) as session:
            assert await session.next() is None
            stop = await session.stops.interrupt()
            return session.reason, stop.where

    assert asyncio.run(run())[0] == "hung"


def test_a_time_that_is_over_ends_the_session() -> None:
    asked = replace(healthy("hang=loop"), timeout_s=0.5)
    rows, session, booted = debug(asked)
    assert (rows, session.reason) == ([], "timeout")
    assert booted.report.story.outcome.kind is OutcomeKind.TIMED_OUT


def test_a_machine_that_dies_is_an_outcome_not_an_error() -> None:
    async def kill(session: Session, _stop: Stop) -> None:
        os.kill(session.guest.process_id, signal.SIGKILL)

    rows, session, booted = debug(request("freebsd"), Break(parse("tsc_init")), at_stop=kill)
    assert len(rows) == 1
    assert session.reason == "lost"
    assert booted.report.story.outcome.kind is OutcomeKind.VM_LOST


def test_a_machine_that_died_while_it_was_looked_at_is_one_too() -> None:
    async def kill_and_look(session: Session, stop: Stop) -> None:
        os.kill(session.guest.process_id, signal.SIGKILL)
        with pytest.raises(GdbError):
            await stop.backtrace()
        seen = await session.attend(stop)
        assert seen.backtrace is None and "no backtrace" in seen.troubles[0]

    wanted = Break(parse("tsc_init"), backtrace=2)
    _, session, booted = debug(request("freebsd"), wanted, at_stop=kill_and_look)
    assert session.reason == "lost"
    assert booted.report.story.outcome.kind is OutcomeKind.VM_LOST


def test_what_cannot_be_placed_is_said_before_anything_is_started(tmp_path: Path) -> None:
    asked = request("freebsd", folder=tmp_path / "never")
    for text in ("tc_inti", "write of nothing", "tc_init if 1 +"):
        with pytest.raises(UsageError):
            debug(asked, Break(parse(text)))
    with pytest.raises(UsageError, match="KASLR"):
        debug(replace(asked, kaslr=True))
    assert not (tmp_path / "never").exists()


def test_the_tsc_does_not_jump_under_tcg() -> None:
    seen: list[str] = []

    async def jump(session: Session, _stop: Stop) -> None:
        before = await ask_tsc(session.stops)
        with pytest.raises(CannotSteer, match="does not jump"):
            await jump_tsc(session.stops, 10**6)
        assert await ask_tsc(session.stops) >= before
        seen.append("tried")

    debug(request("freebsd", VERBOSE), Break(parse("tsc_init")), at_stop=jump)
    assert seen == ["tried"]


def timehands(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "timehands", *map(str, words)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_prints_stops_and_what_was_never_hit() -> None:
    plugin_qemu()
    done = timehands(
        "debug", guest_kernel("netbsd"), "--append", " ".join(NETBSD), "--deterministic",
        "--break", "tc_init", "--print", "tc->tc_name", "--backtrace", "3", "--count", "2",
        "--break", "gettick", "--count", "3",
    )  # fmt: skip
    assert done.stderr.startswith("[")
    lines = done.stdout.splitlines()
    assert sum("tc_init at kern_tc.c" in line and line.startswith("s") for line in lines) == 2
    assert any(line.strip().startswith("#1  startrtclock at") for line in lines)
    assert max(map(len, lines)) <= 100
    assert "never hit: gettick" in done.stdout or done.returncode == 0


def test_the_command_as_json_is_an_object_a_line() -> None:
    plugin_qemu()
    done = timehands(
        "debug", guest_kernel("freebsd"), "--append", VERBOSE, "--deterministic", "--json",
        "--break", "tsc_init", "--print", "tsc_freq", "--ask-cpuid", "0x80000000",
        "--break", "tsc_get_timecount",
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["why"] for row in rows[:-1]] == ["tsc_init"]
    assert rows[0]["values"] == {"tsc_freq": "0"}
    assert rows[0]["cpuid"][0]["leaf"] == 0x80000000
    summary = rows[-1]["summary"]
    assert [placed["stops"] for placed in summary["breaks"]] == [1, 0]
    assert Path(summary["recording"]).is_dir()
    assert done.returncode == 1


def test_python_reads_as_well() -> None:
    plugin_qemu()
    names = []
    with Machine(deterministic=True).start(Kernel(guest_kernel("netbsd")), NETBSD) as guest:
        qemu = guest._session.guest.process_id
        for stop in guest.stops_at("tc_init"):
            names.append(str(stop.arg("tc").tc_name))
            assert stop.backtrace().names[0] == "tc_init"
        assert guest.reason == "boundary"
    assert names == ["i8254", "lapic", "clockinterrupt", "TSC"]
    assert guest.end().report.story.outcome.kind is OutcomeKind.INIT_REACHED
    assert not Path(f"/proc/{qemu}").exists()


def test_python_steers_a_guest() -> None:
    plugin_qemu()
    kernel = Kernel(guest_kernel("freebsd"))
    with Machine(deterministic=True).start(kernel, [VERBOSE, "invariants=1"]) as guest:
        assert int(guest.value("tsc_freq")) == 0
        stop = guest.run(until="lapic_init")
        assert stop is not None
        assert guest.ask_cpuid(0).ebx == 0x68747541
        assert guest.set("tsc_freq = 1000000000").what == "tsc_freq = 1000000000 (was 0)"
        assert int(guest.value("tsc_freq")) == 10**9
        guest.resume()
        pause = guest.pause()
        assert "TSC not initialized" not in "\n".join(guest.console())
        with pytest.raises(UsageError, match="is over"):
            stop.value("tsc_freq").format()
        assert pause.registers["rip"] == pause.pc
        assert guest.run() is None
    assert guest.end().recording.interventions[-1].kind is Did.VARIABLE
    with pytest.raises(UsageError, match="has been ended"):
        guest.set("tsc_freq = 1")


def test_python_ends_the_guest_when_a_block_is_left_by_an_error() -> None:
    plugin_qemu()
    with (
        pytest.raises(ZeroDivisionError),
        Machine().start(guest_kernel("freebsd"), VERBOSE) as guest,
    ):
        qemu = guest._session.guest.process_id
        guest.run(until="tsc_init")
        raise ZeroDivisionError
    assert not Path(f"/proc/{qemu}").exists()


@pytest.mark.parametrize("system", ["own", "linux"])
def test_ones_own_gdb_gets_a_stub_and_symbols(system: str) -> None:
    plugin_qemu()
    gdb = shutil.which("gdb") or pytest.skip("no gdb")
    kernel = guest_kernel("freebsd") if system == "own" else sample_kernel()
    words = [sys.executable, "-m", "timehands", "run", str(kernel), "--gdb"]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        commands = Path(process.stderr.readline().split(" -x ")[1].strip())
        stub = commands.parent / "gdb.sock"
        assert wait_until(stub.exists)
        assert commands.parent.stat().st_mode & 0o777 == 0o700
        assert stub.stat().st_mode & 0o777 == 0o600
        asked = ["break *tsc_init", "continue", "info symbol $pc", "kill"]
        extra = [word for one in asked for word in ("-ex", one)]
        done = subprocess.run(
            [gdb, "-q", "-nx", "-batch", "-x", commands, *extra],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "tsc_init in section .text" in done.stdout
        process.communicate(timeout=30)
    assert not commands.parent.exists()


def test_an_interrupted_session_leaves_nothing_behind(tmp_path: Path) -> None:
    plugin_qemu()
    folder = tmp_path / "recorded"
    words = [sys.executable, "-m", "timehands", "debug", str(guest_kernel("freebsd"))]
    words += ["--append", f"{VERBOSE} {CALIBRATE} hang=loop", "--patch", PATCH]
    words += ["--break", "tsc_init", "--record", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"inside the plugin" in process.stdout.readline()
        assert b"tsc_init" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
        assert process.returncode == 130
        assert b"recording: " in told
    assert not processes_with(str(folder))
    assert open_recording(folder).recording.stops


def documented_python() -> list[str]:
    """The Python of docs/debug.md."""
    text = (Path(__file__).parents[2] / "docs" / "debug.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(documented_python())))
def test_the_python_of_the_documents_runs(number: int, tmp_path: Path) -> None:
    """On our own kernels, under the names that the document gives to the real ones."""
    plugin_qemu()
    for name, system in (("netbsd.gdb", "netbsd"), ("kernel.full", "freebsd")):
        (tmp_path / name).symlink_to(guest_kernel(system))  # type: ignore[arg-type]
    command = [sys.executable, "-c", documented_python()[number]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
