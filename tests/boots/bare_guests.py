"""Bare guests for tests: a few lines of C that run on a machine with nothing else in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import pytest

from timehands.errors import HostError
from timehands.machines.build import BARE_FLAGS, PAYLOADS, compiler
from timehands.machines.host_qemu import find_qemu
from timehands.machines.machine import Load, Machine
from timehands.machines.vmm import QemuVmm
from timehands.watch.plan import Plan
from timehands.watch.recorder import Recorder
from timehands.watch.recording import Header, KernelIdentity, Recording
from timehands.watch.run import Limits, run


@cache
def plugin_qemu() -> str:
    """The QEMU that watches; the test is skipped without."""
    try:
        return str(find_qemu().path)
    except HostError as error:
        pytest.skip(f"no QEMU with plugins: {error.message}")


def sample_kernel() -> Path:
    """TIMEHANDS_LINUX_KERNEL, or the sample that set-up unpacked; the test is skipped without."""
    named = os.environ.get("TIMEHANDS_LINUX_KERNEL")
    if named:
        return Path(named)
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = sorted((cache_home / "timehands" / "sample" / "boot").glob("vmlinuz-*"))
    return found[-1] if found else pytest.skip("no sample Linux kernel: run ./demo")


def build_guest(folder: Path, body: str, *, before: str = "") -> Path:
    """A PVH kernel whose main function has this body; ``before`` are its own functions."""
    source = folder / "guest.c"
    source.write_text(
        f'#include "bare.h"\n{before}\n'
        "void bare_main(const uint32_t *start_info)\n"
        f"{{\n    (void)start_info;\n    serial_init();\n{body}\n}}\n"
    )
    inputs = [source, PAYLOADS / "bare.S", PAYLOADS / "bare_serial.c"]
    output = folder / "guest"
    plain = (flag for flag in BARE_FLAGS if not flag.startswith("-W") or "," in flag)
    flags = (*plain, "-m32", "-march=i586", "-T", str(PAYLOADS / "bare.ld"))
    command = [compiler(), *flags, "-I", str(PAYLOADS), "-o", output, *inputs]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return output


def symbols_of(program: Path) -> dict[str, int]:
    """The address of each symbol, as nm tells them."""
    nm = shutil.which("nm") or pytest.skip("no nm")
    done = subprocess.run([nm, program], check=True, capture_output=True, text=True)
    return {name: int(at, 16) for at, _, name in map(str.split, done.stdout.splitlines())}


def processes_with(word: str) -> list[int]:
    """The processes whose command line holds that word."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return [process for process in found if process != os.getpid()]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether the condition comes true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def header_for(kernel: Path, machine: Machine, arguments: tuple[str, ...] = ()) -> Header:
    """The header of a recording of that kernel, of which nothing is known."""
    identity = KernelIdentity(str(kernel), "0" * 64, 0, "unknown", "", "ELF", "PVH", 0, None)
    return Header(identity, machine, Load(kernel, arguments), "a test")


def record(
    folder: Path,
    kernel: Path,
    *,
    machine: Machine | None = None,
    plan: Plan | None = None,
    watched: bool = True,
    arguments: tuple[str, ...] = (),
    limits: Limits | None = None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> Recording:
    """Boot and record it; ``meanwhile`` runs beside it."""

    async def boot() -> None:
        header = header_for(kernel, machine or Machine(), arguments)
        recorder = Recorder(folder, header, plan or Plan())
        used = (plan or Plan()) if watched else None
        beside = asyncio.ensure_future(meanwhile()) if meanwhile else None
        try:
            await run(QemuVmm(plugin_qemu()), recorder, used, limits or Limits(timeout_s=30))
        finally:
            if beside:
                beside.cancel()

    asyncio.run(boot())
    return Recording.open(folder)
