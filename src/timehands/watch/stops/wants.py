"""Where to stop a guest, as people write it.

::

    tc_init                     a function, at its first instruction
    pvclock_*                   every function whose name fits
    tc_init+0x1f                an address in a function
    0xffffffff80c5b7c0          an address
    local_apic.c:547            a source line
    pvclock.c:*                 every function that a source file defines
    cpuid   cpuid 0x40000010    what the guest does: every such instruction, or of one leaf
    rdmsr 0x1b   wrmsr 0x6e0    of one MSR
    in 0x40   out 0x43          of one port
    rdtsc   hlt
    write of tsc_freq           who writes a variable; ``read of``, ``access of``

Each may be followed by ``if EXPRESSION``, a C expression that must not be zero at the stop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from timehands.errors import UsageError

#: Instructions that can be stopped at wherever the kernel has them. What follows the name in a
#: want is the leaf, the MSR, or the port.
OPERATIONS: Final = ("cpuid", "rdmsr", "wrmsr", "rdtsc", "in", "out", "hlt")
_WITH_OPERAND: Final = frozenset(("cpuid", "rdmsr", "wrmsr", "in", "out"))
_HIGHEST: Final = {"in": 0xFFFF, "out": 0xFFFF}
_TOP: Final = 1 << 64
_CONDITION: Final = re.compile(r"\s+if\s+")
_DATA: Final = re.compile(r"(write|read|access) of\s+(.+)")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,19}", re.ASCII)
_ADDRESS: Final = re.compile(r"\*?\s*(0[xX][0-9a-fA-F]{1,16})")
_LINE: Final = re.compile(r"([^:\s]+\.[A-Za-z]+):([0-9]{1,7}|\*)")
_SYMBOL: Final = re.compile(r"([A-Za-z_][\w.$]*)\s*\+\s*(0[xX][0-9a-fA-F]{1,8}|0|[1-9][0-9]{0,7})")
_PATTERN: Final = re.compile(r"[A-Za-z_*?\[][\w.$*?\[\]!-]*")
MAX_TEXT: Final = 1000
_HOW: Final = (
    "Give a function (tc_init, pvclock_*, tc_init+0x1f), file.c:547, file.c:*, 0xADDRESS, an "
    "operation (cpuid 0x15, out 0x43, wrmsr 0x6e0), or write of VARIABLE."
)


class Access(Enum):
    """What is done to a variable; the value is the word for it."""

    WRITE = "write"
    READ = "read"
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name, ``offset`` bytes into it, or all whose names fit a shell pattern."""

    name: str
    offset: int = 0

    @property
    def is_pattern(self) -> bool:
        """Whether it may be several."""
        return any(mark in self.name for mark in "*?[")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a source file."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class File:
    """Every function of a source file."""

    path: str


@dataclass(frozen=True, slots=True)
class Address:
    """A virtual address."""

    address: int


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction by what it does; ``operand`` None: whatever its leaf, MSR or port is."""

    name: str
    operand: int | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """An access to what a C expression names."""

    access: Access
    expression: str


Where = Function | Line | File | Address | Operation | Data


@dataclass(frozen=True, slots=True)
class Want:
    """One wish: where to stop, and when. ``text`` is what was written, without the condition.

    ``condition`` is a C expression, empty for none; ``passes`` how often it is passed over first;
    ``most`` after how many stops it is over, None for never.
    """

    text: str
    where: Where
    condition: str = ""
    passes: int = 0
    most: int | None = None


def parse(text: str, *, passes: int = 0, most: int | None = None) -> Want:
    """What was written, as a value. Raises `UsageError` saying what can be written."""
    if len(text) > MAX_TEXT:
        raise UsageError(f"a place to stop at has at most {MAX_TEXT} characters")
    if passes < 0 or (most is not None and most < 1):
        raise UsageError("give a count of at least 1")
    place, *condition = _CONDITION.split(f" {text.strip()} ", maxsplit=1)
    place = place.strip()
    words = condition[0].strip() if condition else ""
    if condition and not words:
        raise UsageError(f"{text!r}: after if, a C expression is expected")
    return Want(place, _where(place), words, passes, most)


def _where(text: str) -> Where:
    if found := _DATA.fullmatch(text):
        return Data(Access(found[1]), found[2].strip())
    if found := _ADDRESS.fullmatch(text):
        return Address(int(found[1], 16))
    if found := _LINE.fullmatch(text):
        return File(found[1]) if found[2] == "*" else _line(found[1], int(found[2]))
    if found := _SYMBOL.fullmatch(text):
        return Function(found[1], int(found[2], 0))
    first, *rest = text.split() or [""]
    if first in OPERATIONS:
        return _operation(text, first, rest)
    if _PATTERN.fullmatch(text):
        return Function(text)
    raise UsageError(f"{text!r} is no place to stop at", advice=_HOW)


def _line(path: str, line: int) -> Line:
    if line < 1:
        raise UsageError(f"{path}:{line}: lines count from 1")
    return Line(path, line)


def _operation(text: str, name: str, operands: list[str]) -> Operation:
    if not operands:
        return Operation(name)
    if name not in _WITH_OPERAND or len(operands) > 1:
        raise UsageError(f"{text!r}: {name} takes {'one number' if operands[1:] else 'no number'}")
    highest = _HIGHEST.get(name, 0xFFFFFFFF)
    value = int(operands[0], 0) if _NUMBER.fullmatch(operands[0]) else _TOP
    if value > highest:
        raise UsageError(f"{text!r}: {operands[0]} is no number from 0 to {highest:#x}")
    return Operation(name, value)
