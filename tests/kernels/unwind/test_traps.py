"""Trap frames as FreeBSD and NetBSD lay them out, seen from the handler that was called."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernels.unwind.stacks import CALL, STACK, Stack, kernel
from timehands.kernels.unwind import How, backtrace

FRAMED = b"\x55\x48\x89\xe5" + CALL + b"\x5d\xc3"
FREEBSD = b"@(#)FreeBSD 14.2-RELEASE GENERIC\n\0FreeBSD 14.2-RELEASE GENERIC\0"
NETBSD = b"NetBSD 10.99.12 (MICROVM) #0: Sat Jan 11 00:00:00 UTC 2025\n\0"
#: Words before the processor's part, and which of them is rbp.
SYSTEMS = {"freebsd": (FREEBSD, 19, 8), "netbsd": (NETBSD, 25, 16)}


def _stack(at: dict[str, int], words: int, rbp: int, cs: int, extra: int = 0) -> Stack:
    """trap() was called by calltrap with a frame of ``a``, which was called by ``start``."""
    frame = [0x11] * words
    top = STACK + 8 * (2 + extra + words + 5)
    frame[rbp] = top
    hardware = [at["a"] + 4, cs, 0x10246, top, 0 if cs & 3 == 0 else 0x23]
    below = [STACK + 8, at["calltrap"] + 5] + [0xFFFF] * extra
    return Stack.of(*below, *frame, *hardware, 0, at["main"] + 9, 0, 0)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("extra", [0, 1], ids=["frame", "a word below it"])
def test_the_interrupted_function_and_its_callers_are_found(
    system: str, extra: int, tmp_path: Path
) -> None:
    banner, words, rbp = SYSTEMS[system]
    codes = {"main": FRAMED, "calltrap": CALL * 4, "trap": FRAMED, "a": FRAMED}
    opened, at = kernel(tmp_path, codes, banner=banner)
    assert opened.os == system
    registers = {"rip": at["trap"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, _stack(at, words, rbp, 0x20, extra))
    assert trace.names == ("trap", "calltrap", "a", "main")
    assert trace[2].how == How.TRAP
    assert trace[2].pc == at["a"] + 4


def test_a_trap_from_user_mode_is_the_end(tmp_path: Path) -> None:
    codes = {"main": FRAMED, "calltrap": CALL * 4, "trap": FRAMED, "a": FRAMED}
    opened, at = kernel(tmp_path, codes, banner=FREEBSD)
    registers = {"rip": at["trap"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, _stack(at, 19, 8, 0x43))
    assert trace.names == ("trap", "calltrap")
    assert trace.ended == "user mode"


def test_of_an_unknown_system_the_processor_s_part_is_enough(tmp_path: Path) -> None:
    codes = {"main": FRAMED, "Xtimerint": CALL * 4, "handler": FRAMED, "a": FRAMED}
    opened, at = kernel(tmp_path, codes)
    calls = {**at, "calltrap": at["Xtimerint"]}
    registers = {"rip": at["handler"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, _stack(calls, 11, 3, 0x08))
    assert trace.names[:3] == ("handler", "Xtimerint", "a")
