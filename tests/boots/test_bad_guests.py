"""Guests that hang, flood, crash or are killed: each has an honest end, and its recording opens."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from boots.bare_guests import (
    build_guest,
    plugin_qemu,
    processes_with,
    record,
    sample_kernel,
    symbols_of,
    wait_until,
)
from timehands.errors import RecordingError
from timehands.machines.machine import Machine
from timehands.machines.vmm import QemuVmm
from timehands.watch import recorder as recorder_module
from timehands.watch import run
from timehands.watch.recording import Recording
from timehands.watch.records import RECORD, Kind
from timehands.watch.run import Limits

pytestmark = pytest.mark.boot

SOON = Limits(timeout_s=20, quiet_s=0.3)
MASK_PICS = "outb(0x21, 0xff); outb(0xa1, 0xff);"


def rip_of(recording: Recording) -> list[int]:
    return [spot.pc for spot in recording.header.spots]


def test_a_loop_that_never_changes_is_hung_and_is_shown_where(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "for (;;) spin();", before=_SPIN)
    made = record(tmp_path / "r", guest, limits=SOON)
    assert made.header.ended_reason == "hung"
    assert {pc & ~0xF for pc in rip_of(made)} == {symbols_of(guest)["spin"] & ~0xF}


_SPIN = '__attribute__((noinline, aligned(16))) void spin(void) { for (;;) __asm__("cli"); }'


def test_a_loop_that_waits_for_a_port_is_hung(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "while (inb(0x61) & 0x20) ; for (;;) inb(0x61);")
    assert record(tmp_path / "r", guest, limits=SOON).header.ended_reason == "hung"


def test_an_unwatched_guest_that_spins_is_hung_too(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "for (;;) ;")
    made = record(tmp_path / "r", guest, limits=SOON, watched=False)
    assert made.header.ended_reason == "hung"
    assert made.events == ()


@pytest.fixture
def burners() -> Iterator[None]:
    """Two processes that use all the CPU time that they get."""
    processes = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.kill()
        process.join()


def _burn() -> None:
    while True:
        pass


def test_a_guest_that_counts_for_long_on_a_busy_host_is_not_hung(
    tmp_path: Path, burners: None
) -> None:
    body = """for (uint32_t i = 0; i < 1500000000u; i++) __asm__ volatile("" : : "r"(i));
    put_text("counted\\n"); bare_end();"""
    looked: list[int] = []
    guest = build_guest(tmp_path, body)
    made = record(tmp_path / "r", guest, limits=Limits(timeout_s=60, quiet_s=0.2))
    looked += rip_of(made)
    assert made.header.ended_reason == "guest-reset"
    assert looked, "it ended before it was looked at"
    assert [line.text for line in made.console] == ["counted"]


def test_a_guest_that_counts_past_its_time_has_timed_out(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, 'for (uint32_t i = 0;; i++) __asm__ volatile("" : : "r"(i));')
    made = record(tmp_path / "r", guest, limits=Limits(timeout_s=1.5, quiet_s=0.3))
    assert made.header.ended_reason == "timeout"
    assert len(made.header.spots) == 1


def test_halting_with_interrupts_off_is_halted(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, '__asm__ volatile("cli; hlt");')
    made = record(tmp_path / "r", guest, limits=SOON)
    assert made.header.ended_reason == "halted"
    assert all(spot.halted and not spot.interrupts for spot in made.header.spots)


def test_waiting_for_an_interrupt_is_idle_only_after_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "IDLE_SECONDS", 1.5)
    guest = build_guest(tmp_path, MASK_PICS + ' __asm__ volatile("sti; 1: hlt; jmp 1b");')
    made = record(tmp_path / "r", guest, limits=SOON)
    assert made.header.ended_reason == "idle"
    assert made.header.ended_ns is not None
    assert made.header.ended_ns - made.header.resumed_ns > 1_500_000_000


def test_a_triple_fault_is_a_reset_and_is_shown_where(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "bare_end();")
    made = record(tmp_path / "r", guest)
    assert made.header.ended_reason == "guest-reset"
    assert "Triple fault" in made.reset_log
    last = made.reset_log.rpartition("EIP=")[2][:8]
    start = symbols_of(guest)["bare_end"]
    assert start <= int(last, 16) < start + 16


def test_a_console_flood_is_cut_counted_and_not_called_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_CONSOLE_BYTES", 64 << 10)
    guest = build_guest(tmp_path, 'for (;;) put_text("flood flood flood\\r\\n");')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = record(tmp_path / "r", guest, limits=Limits(timeout_s=3, quiet_s=0.3))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    header = made.header
    assert header.ended_reason == "timeout"
    assert header.console_dropped > 100_000
    kept = sum(len(line.text) + 2 for line in made.console)
    # The last line may be on its way: nothing else is missing (dropped counts no line ends).
    assert {line.text for line in made.console[:-1]} == {"flood flood flood"}
    assert kept + header.console_dropped * 19 // 18 >= header.console_bytes - 4096
    assert (tmp_path / "r" / "console.jsonl").stat().st_size <= 64 << 10
    assert after - before < 64 << 10  # KiB


def test_a_flood_without_line_ends_is_cut_into_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_CONSOLE_BYTES", 64 << 10)
    guest = build_guest(tmp_path, "for (;;) put_char('x');")
    made = record(tmp_path / "r", guest, limits=Limits(timeout_s=2, quiet_s=0.3))
    assert {line.text for line in made.console[:-1]} == {"x" * 4096}
    assert made.header.console_dropped > 4096


def test_a_flood_of_events_is_cut_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_EVENT_BYTES", 200 * RECORD.size)
    guest = build_guest(tmp_path, "for (int i = 0; i < 1000; i++) inb(0x40); bare_end();")
    made = record(tmp_path / "r", guest)
    assert len(made.events) < 200
    assert made.header.events_dropped > 50


def test_code_that_is_written_anew_all_the_time_takes_no_more_memory(tmp_path: Path) -> None:
    """Each turn puts CPUID at another place: more places than are ever watched."""
    before = """static uint8_t code[1 << 19];
static void turn(uint32_t i)
{
    uint8_t *p = code + i * 4;
    p[0] = 0x0f; p[1] = 0xa2; p[2] = 0xc3; /* cpuid; ret */
    __asm__ volatile("call *%0" : "+r"(p) : : "eax", "ebx", "ecx", "edx", "memory");
}"""
    body = "for (uint32_t i = 0; i < 100000; i++) turn(i); bare_end();"
    made = record(tmp_path / "r", build_guest(tmp_path, body, before=before))
    assert made.header.ended_reason == "guest-reset"
    own = [event for event in made.events if event.kind is Kind.CPUID and event.pc >= 1 << 20]
    assert len(own) == len({event.pc for event in own}) == 100_000


def test_a_qemu_that_is_killed_is_a_lost_machine(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, 'for (;;) put_text("on and on\\n");')

    async def murder() -> None:
        await asyncio.sleep(0.5)
        (process,) = processes_with(str(tmp_path / "guest"))
        os.kill(process, signal.SIGKILL)

    made = record(tmp_path / "r", guest, meanwhile=murder)
    assert made.header.ended_reason == "lost"
    assert made.header.exit_status == -signal.SIGKILL
    assert made.console[0].text == "on and on"


def test_a_boundary_ends_the_guest_at_once(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, 'put_text("here\\n"); for (;;) ;')

    def at_line(text: str) -> bool:
        return text == "here"

    made = record(tmp_path / "r", guest, limits=Limits(timeout_s=20, stop_at_line=at_line))
    assert made.header.ended_reason == "boundary"
    assert not processes_with(str(guest))


def test_a_folder_that_is_deleted_meanwhile_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    guest = build_guest(tmp_path, "for (;;) ;")

    async def delete() -> None:
        await asyncio.sleep(0.2)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    with pytest.raises(RecordingError, match="cannot be written"):
        record(folder, guest, limits=SOON, meanwhile=delete)
    assert not processes_with(str(guest))


def test_spaces_and_commas_in_paths_are_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / "a folder, with a comma"
    folder.mkdir()
    guest = build_guest(folder, "cpuid(0, 0); bare_end();")
    made = record(folder / "r, too", guest)
    assert (0, 0) in [event.leaf for event in made.events if event.kind is Kind.CPUID]


@pytest.mark.parametrize("kind", ["microvm", "q35", "pc"])
def test_every_machine_type_starts_in_the_sandbox_and_ends(tmp_path: Path, kind: str) -> None:
    guest = build_guest(tmp_path, 'put_text("hello\\n"); bare_end();')
    made = record(tmp_path / "r", guest, machine=Machine(type=kind))  # type: ignore[arg-type]
    assert "-sandbox" in made.header.command
    assert made.header.ended_reason == "guest-reset"
    assert "hello" in [line.text for line in made.console]


def test_a_kernel_that_boots_slowly_is_not_hung(tmp_path: Path, burners: None) -> None:
    """A real kernel as bzImage, which unpacks itself first, looked at all the time."""
    kernel = sample_kernel()
    machine = Machine(memory_mib=512)
    arguments = ("console=ttyS0", "nokaslr", "reboot=t", "panic=-1")
    limits = Limits(timeout_s=90, quiet_s=0.05)
    made = record(tmp_path / "r", kernel, machine=machine, arguments=arguments, limits=limits)
    assert made.header.ended_reason == "guest-reset"
    assert any("Kernel panic" in line.text for line in made.console)


def test_nothing_is_left_when_qemu_cannot_be_waited_for(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "for (;;) ;")

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await asyncio.to_thread(lambda: None)
                await _record(tmp_path / "r", guest)

    asyncio.run(give_up())
    assert wait_until(lambda: not processes_with(str(guest)))
    assert Recording.open(tmp_path / "r").header.ended_reason == "interrupted"


async def _record(folder: Path, guest: Path) -> None:
    from boots.bare_guests import header_for
    from timehands.watch.plan import Plan
    from timehands.watch.recorder import Recorder
    from timehands.watch.run import run

    recorder = Recorder(folder, header_for(guest, Machine()), Plan())
    await run(QemuVmm(plugin_qemu()), recorder, Plan(), Limits(timeout_s=30))
