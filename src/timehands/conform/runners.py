"""The VMMs that the conformance guest runs on, by the names that ``timehands conform`` takes.

A runner is an async context manager that gives a `Vmm`. A new VMM is a class here (or a command
line in `commands`) and a line in `RUNNERS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from timehands.conform import commands
from timehands.conform.guest import conformance_guest
from timehands.conform.monitor_vmm import run_monitor
from timehands.conform.talk import Heard, Vmm
from timehands.conform.wish import MEMORY_MIB, WAITING, Wish, stand_still
from timehands.errors import AcceleratorUnavailable, VmmMissing
from timehands.machines.guest import Guest, die_with
from timehands.machines.host_kvm import survey_kvm
from timehands.machines.host_qemu import find_qemu
from timehands.machines.machine import Accelerator, Load, Machine
from timehands.monitor.settings import Clocks, IrqChips, Maker, Policy, Published

Runner = Callable[[Wish], AbstractAsyncContextManager[Vmm]]


class _Sink:
    """Takes what QEMU's guest says."""

    def __init__(self) -> None:
        self.heard: Heard = asyncio.Queue(WAITING)

    def console(self, host_ns: int, data: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.heard.put_nowait((host_ns, data))

    def stream(self, _host_ns: int, _data: bytes) -> None:
        """Nothing watches."""

    def machine_event(self, _host_ns: int, name: str, _data: dict[str, Any]) -> None:
        if name == "SHUTDOWN":
            with contextlib.suppress(asyncio.QueueFull):
                self.heard.put_nowait(None)


class QemuVmm:
    """A guest of QEMU."""

    can = frozenset({"pause"})
    cannot: Mapping[str, str] = {
        "snapshot": "not done with QEMU here",
        "migration": "not done with QEMU here",
    }

    def __init__(self, guest: Guest, heard: Heard) -> None:
        self._guest, self.heard = guest, heard

    def send(self, data: bytes) -> None:
        """Type on its serial line."""
        self._guest.send(data)

    async def do(self, _what: str) -> str:
        """Stop all vCPUs for a while, as a person does at QEMU's monitor."""
        await self._guest.pause()
        least_ns = await stand_still()
        await self._guest.resume()
        return f"least={least_ns:#x}"


@asynccontextmanager
async def run_qemu(accelerator: Accelerator, wish: Wish) -> AsyncIterator[Vmm]:
    """QEMU's microvm. Raises `QemuMissing`, `AcceleratorUnavailable`, `QemuFailed`."""
    if accelerator == "kvm" and not (kvm := survey_kvm()).usable:
        raise AcceleratorUnavailable(f"KVM cannot be used: {kvm.error}")
    machine = Machine(accelerator=accelerator, vcpus=wish.vcpus, memory_mib=MEMORY_MIB)
    sink = _Sink()
    load = Load(conformance_guest(), arguments=wish.arguments)
    guest = await Guest.start(str(find_qemu().path), machine, load, sink)
    async with guest:
        await guest.resume()
        yield QemuVmm(guest, sink.heard)


class CommandVmm:
    """Any program that has the guest's serial line on its standard input and output."""

    can: frozenset[str] = frozenset()
    cannot: Mapping[str, str] = dict.fromkeys(
        ("pause", "snapshot", "migration"), "a VMM by its command line is not steered"
    )

    def __init__(self, process: asyncio.subprocess.Process, heard: Heard) -> None:
        self._process, self.heard = process, heard

    def send(self, data: bytes) -> None:
        """Type on its serial line, if it listens."""
        if self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(data)

    async def do(self, _what: str) -> str:
        """Nothing: see `can`."""
        return ""


@asynccontextmanager
async def run_command(command: tuple[str, ...]) -> AsyncIterator[Vmm]:
    """A VMM by its command line. Raises `VmmMissing` when it cannot be run."""
    heard: Heard = asyncio.Queue(WAITING)
    owner = os.getpid()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: die_with(owner),
        )
    except OSError as error:
        raise VmmMissing(f"{command[0]}: {error.strerror}") from error
    reading = asyncio.create_task(_read(process, heard))
    try:
        yield CommandVmm(process, heard)
    finally:
        reading.cancel()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _read(process: asyncio.subprocess.Process, heard: Heard) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(1 << 16):
        await heard.put((time.monotonic_ns(), data))
    await heard.put(None)


def by_command(command: str) -> Runner:
    """A VMM by a command line with ``{guest}`` in it. Raises `UsageError`, `VmmMissing`."""
    words = commands.given(command)
    return lambda _wish: run_command(words)


def _by(make: Callable[[int, tuple[str, ...], Path], tuple[str, ...]]) -> Runner:
    @asynccontextmanager
    async def run(wish: Wish) -> AsyncIterator[Vmm]:
        with tempfile.TemporaryDirectory(prefix="timehands-") as folder:
            async with run_command(make(wish.vcpus, wish.arguments, Path(folder))) as vmm:
                yield vmm

    return run


def _monitor(**clocks: Any) -> Runner:
    return lambda wish: run_monitor(Clocks(**clocks), wish)


#: The VMMs that are known by name.
RUNNERS: dict[str, Runner] = {
    "qemu-tcg": lambda wish: run_qemu("tcg", wish),
    "qemu-kvm": lambda wish: run_qemu("kvm", wish),
    "monitor": _monitor(
        pvclock=Maker.OURS, pit=Maker.OURS, published=(Published.TIMING, Published.CRYSTAL)
    ),
    "monitor-wall": _monitor(pvclock=Maker.OURS, policy=Policy.WALL),
    "monitor-kvm": _monitor(pvclock=Maker.KVM),
    "monitor-split": _monitor(pvclock=Maker.OURS, pit=Maker.OURS, irqchip=IrqChips.SPLIT),
    "monitor-none": _monitor(pvclock=Maker.NONE),
    "firecracker": _by(commands.firecracker),
    "cloud-hypervisor": _by(commands.cloud_hypervisor),
}
