"""Reading the memory of a guest that stands still: while it runs, and when its boot is over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from boots.bare_guests import build_guest, plugin_qemu, symbols_of
from boots.test_guest import Heard
from timehands.kernels.memory import Memory, Unreadable
from timehands.machines.guest import Guest
from timehands.machines.machine import Load, Machine
from timehands.machines.vmm import QemuVmm
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Header, KernelIdentity, Recording
from timehands.watch.run import Limits, run

pytestmark = pytest.mark.boot

WORDS = "uint32_t words[2000] = {1, 2, 3}; uint32_t count;"
ENDS = "for (unsigned i = 0; i < 2000; i++) words[i] = i * i; count = 2000; bare_end();"
EXPECTED = b"".join((i * i).to_bytes(4, "little") for i in range(2000))
IDENTITY = KernelIdentity("guest", "00" * 32, 1, "unknown", "", "ELF32", "PVH", 0, None)


async def booted(kernel: Path, folder: Path, look: Any, timeout_s: float = 30) -> Recording:
    header = Header(IDENTITY, Machine(), Load(kernel), "console")
    recorder = Recorder(folder, header, Plan())
    await run(QemuVmm(plugin_qemu()), recorder, None, Limits(timeout_s, look=look))
    return Recording.open(folder)


def test_variables_are_read_when_the_guest_has_reset_itself(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, ENDS, before=WORDS)
    symbols = symbols_of(guest)

    def look(memory: Memory) -> dict[str, Any]:
        count = int.from_bytes(memory.read(symbols["count"], 4), "little")
        return {"words": memory.read(symbols["words"], 4 * count).hex()}

    recording = asyncio.run(booted(guest, tmp_path / "r", look))
    assert recording.header.ended_reason == "guest-reset"
    assert bytes.fromhex(recording.looked["words"]) == EXPECTED


def test_a_look_that_meets_no_memory_leaves_the_recording_as_it_is(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "bare_end();")

    def look(memory: Memory) -> dict[str, Any]:
        return {"never": memory.read(1 << 40, 8).hex()}

    recording = asyncio.run(booted(guest, tmp_path / "r", look))
    assert recording.looked == {}
    assert recording.header.ended_reason == "guest-reset"


def test_memory_that_cannot_be_read_is_told_and_the_guest_goes_on(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, "for (;;) ;", before=WORDS)
    words = symbols_of(guest)["words"]

    async def talk() -> None:
        async with await Guest.start(plugin_qemu(), Machine(), Load(guest), Heard()) as running:
            assert await running.memory(words, 12) == bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])
            assert await running.memory(words, 4) == bytes([1, 0, 0, 0])
            assert await running.memory(1 << 45, 4) is None
            await running.resume()
            assert await running.wait(0.1) is None

    asyncio.run(talk())


def test_a_reader_s_own_trouble_with_memory_ends_its_look_only(tmp_path: Path) -> None:
    guest = build_guest(tmp_path, ENDS, before=WORDS)

    def look(_memory: Memory) -> dict[str, Any]:
        raise Unreadable(0, 8)

    assert asyncio.run(booted(guest, tmp_path / "r", look)).looked == {}
