"""One running machine: it can be talked to, asked, killed, and never outlives its owner."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from boots.bare_guests import build_guest, plugin_qemu, processes_with, wait_until
from timehands.errors import MachineError, QemuFailed
from timehands.machines.guest import SEND_BYTES, Guest
from timehands.machines.machine import Load, Machine

pytestmark = pytest.mark.boot

ECHO = """int c;
    put_char('>');
    for (;;)
        if ((c = get_char()) >= 0) {
            put_char((char)c);
            if (c == '!') bare_end();
        }"""


class Heard:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.text = b""
        self.times: list[int] = []
        self.events: list[str] = []

    def console(self, host_ns: int, data: bytes, /) -> None:
        self.text += data
        self.times.append(host_ns)

    def stream(self, _host_ns: int, _data: bytes, /) -> None:
        raise AssertionError("nobody watches")

    def machine_event(self, _host_ns: int, name: str, _data: dict[str, Any], /) -> None:
        self.events.append(name)


async def started(kernel: Path, sink: Heard, **options: Any) -> Guest:
    return await Guest.start(plugin_qemu(), Machine(), Load(kernel), sink, **options)


def test_what_is_sent_to_the_console_arrives_in_order(tmp_path: Path) -> None:
    sent = bytes(range(0x30, 0x7F)) * 20 + b"!"

    async def talk() -> tuple[Heard, str | None]:
        heard = Heard()
        async with await started(build_guest(tmp_path, ECHO), heard) as guest:
            await guest.resume()
            while not heard.text:
                await asyncio.sleep(0.01)
            for at in range(0, len(sent), 7):
                guest.send(sent[at : at + 7])
            return heard, await guest.wait(60)

    heard, reason = asyncio.run(talk())
    assert (heard.text, reason) == (b">" + sent, "guest-reset")


def test_input_that_nobody_takes_is_kept_to_a_bound(tmp_path: Path) -> None:
    async def talk() -> None:
        async with await started(build_guest(tmp_path, "for (;;) ;"), Heard()) as guest:
            for _ in range(100):
                guest.send(b"x" * SEND_BYTES)
            assert len(guest._console._waiting) <= SEND_BYTES
            await guest.kill()
            guest.send(b"too late")

    asyncio.run(talk())


def test_console_times_lie_between_start_and_end(tmp_path: Path) -> None:
    async def talk() -> tuple[Heard, Guest, int]:
        heard = Heard()
        async with await started(build_guest(tmp_path, 'put_text("a"); bare_end();'), heard) as g:
            await g.resume()
            await g.wait(60)
            ended = await g.end()
        return heard, g, ended.host_ns

    before = time.monotonic_ns()
    heard, guest, ended_ns = asyncio.run(talk())
    assert before <= guest.started_ns <= guest.ready_ns <= heard.times[0] <= ended_ns
    assert heard.events[:2] == ["RESUME", "SHUTDOWN"]


def test_cpu_time_is_what_the_process_used(tmp_path: Path) -> None:
    async def talk() -> tuple[int, int, int]:
        async with await started(build_guest(tmp_path, "for (;;) ;"), Heard()) as guest:
            stopped = guest.cpu_ns()
            await guest.resume()
            before = time.monotonic_ns()
            await asyncio.sleep(0.3)
            ran = guest.cpu_ns()
            after = time.monotonic_ns()
        assert stopped is not None
        assert ran is not None
        assert guest.cpu_ns() is None
        return stopped, ran, after - before

    stopped, ran, wall = asyncio.run(talk())
    assert 0 < ran - stopped <= wall * 2 + 20_000_000


def test_registers_show_where_a_stopped_guest_is(tmp_path: Path) -> None:
    async def talk() -> str:
        body = """__asm__ volatile(
            "mov $0x12345678, %ebx; mov $0x3f8, %edx; mov $'>', %al; out %al, %dx; 1: jmp 1b");"""
        heard = Heard()
        async with await started(build_guest(tmp_path, body), heard) as guest:
            await guest.resume()
            while not heard.text:
                await asyncio.sleep(0.01)
            await guest.pause()
            return await guest.registers()

    assert "EBX=12345678" in asyncio.run(talk())


def test_resets_without_number_take_no_disk_and_little_memory(tmp_path: Path) -> None:
    """An INIT to itself resets the CPU, and QEMU notes its registers each time."""
    body = """*mmio(0xfee000f0) = 0x1ff;
    for (int i = 0; i < 200; i++) { *mmio(0xfee00310) = 1 << 24; *mmio(0xfee00300) = 0x4500; }
    bare_end();"""

    async def talk() -> str:
        machine = Machine(vcpus=2)
        load = Load(build_guest(tmp_path, body))
        async with await Guest.start(plugin_qemu(), machine, load, Heard()) as guest:
            await guest.resume()
            assert await guest.wait(60) == "guest-reset"
            await guest.end()
            return guest.resets

    resets = asyncio.run(talk())
    assert "CPU Reset (CPU 1)" in resets
    assert 1000 < len(resets) <= 64 << 10


def test_a_killed_qemu_is_lost_and_tells_its_status(tmp_path: Path) -> None:
    async def talk() -> tuple[str | None, int | None]:
        async with await started(build_guest(tmp_path, "for (;;) ;"), Heard()) as guest:
            await guest.resume()
            os.kill(guest.process_id, signal.SIGKILL)
            reason = await guest.wait(60)
            with pytest.raises(QemuFailed, match="did not answer"):
                await guest.registers()
            return reason, (await guest.end()).exit_status

    assert asyncio.run(talk()) == ("lost", -signal.SIGKILL)


@pytest.mark.parametrize(
    ("kernel", "words"), [("/nonexistent", "could not load|No such file|nonexistent")]
)
def test_a_refusal_is_told_in_qemus_words(kernel: str, words: str) -> None:
    async def talk() -> None:
        await started(Path(kernel), Heard())

    with pytest.raises(QemuFailed, match=words):
        asyncio.run(talk())


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat", "/nonexistent/qemu", "/etc/passwd"])
def test_what_is_no_qemu_is_refused_soon(tmp_path: Path, program: str) -> None:
    async def talk() -> None:
        await Guest.start(program, Machine(), Load(tmp_path / "k"), Heard())

    begun = time.monotonic()
    with pytest.raises(QemuFailed):
        asyncio.run(talk())
    assert time.monotonic() - begun < 10


def test_a_forward_cannot_smuggle_in_options(tmp_path: Path) -> None:
    load = Load(tmp_path / "k", network=True, forwards=("tcp::1-:2,restrict=off",))

    async def talk() -> None:
        await Guest.start(plugin_qemu(), Machine(), load, Heard())

    with pytest.raises(MachineError, match="comma"):
        asyncio.run(talk())


def test_it_starts_without_a_sandbox_where_there_is_none(tmp_path: Path) -> None:
    async def talk() -> tuple[str, ...]:
        guest = await started(build_guest(tmp_path, "bare_end();"), Heard(), sandbox=False)
        async with guest:
            await guest.resume()
            assert await guest.wait(60) == "guest-reset"
        return guest.command

    assert "-sandbox" not in asyncio.run(talk())


OWNER = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {path!r}
from boots.test_guest import Heard, started

async def own():
    guest = await started(Path({kernel!r}), Heard())
    await guest.resume()
    print(guest.process_id, flush=True)
    await asyncio.sleep(60)

asyncio.run(own())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
def test_it_dies_with_its_owner(tmp_path: Path, number: signal.Signals) -> None:
    kernel = build_guest(tmp_path, "for (;;) ;")
    program = OWNER.format(path=sys.path, kernel=str(kernel))
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert owner.stdout is not None
    guest = int(owner.stdout.readline())
    assert guest in processes_with(str(kernel))
    owner.send_signal(number)
    owner.wait(60)
    owner.stdout.close()
    assert wait_until(lambda: not processes_with(f"-kernel\0{kernel}"))


def test_nothing_of_it_has_a_name_in_a_folder(tmp_path: Path) -> None:
    async def talk() -> str:
        async with await started(build_guest(tmp_path, "for (;;) ;"), Heard()) as guest:
            return Path(f"/proc/{guest.process_id}/net/unix").read_text()

    ours = asyncio.run(talk())
    assert not re.search(r"\S*(timehands|qmp)\S*$", ours, re.MULTILINE)
