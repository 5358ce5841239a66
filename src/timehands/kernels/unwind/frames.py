"""What a backtrace is made of: frames for people, cursors for the ways to unwind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

TOP: Final = 1 << 64
WORD: Final = 8


class How(StrEnum):
    """How a frame was found, from the frame before it."""

    REGISTER = "register"
    CFI = "CFI"
    ORC = "ORC"
    FRAME_POINTER = "frame pointer"
    RETURN_ADDRESS = "return address"
    TRAP = "trap frame"
    CODE = "code"
    SCAN = "stack scan"


@dataclass(frozen=True, slots=True)
class Frame:
    """One function that was under way.

    Attributes:
        pc: where it is, as it is in the guest: the next instruction of the innermost frame and of
            one that a trap interrupted, the return address of any other.
        name: of its function; empty when no symbol covers it.
        offset: from the function's start to ``pc``, in bytes; 0 for an inlined one.
        how: how the frame was found; `How.SCAN` is a guess.
        inlined: it has no frame of its own, it is part of the next one.
        file, line: its place in the source, where DWARF tells; None for code of no line.
        cfa: the stack pointer in its caller after it returns; None when that was not found.
    """

    pc: int
    name: str
    offset: int
    how: str
    inlined: bool = False
    file: str | None = None
    line: int | None = None
    cfa: int | None = None

    @property
    def guess(self) -> bool:
        """Whether this only looks like a frame."""
        return self.how == How.SCAN

    @property
    def place(self) -> str:
        """``name+0x12``, or the bare address; the name alone of an inlined function."""
        if not self.name:
            return f"{self.pc:#x}"
        return self.name if self.inlined else f"{self.name}+{self.offset:#x}"

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        source = f" at {PurePosixPath(self.file).name}{line}" if self.file else ""
        how = "inlined" if self.inlined else f"{self.how}, a guess" if self.guess else self.how
        return f"{self.pc:#018x} {self.place}{source}  [{how}]"


class Backtrace(tuple[Frame, ...]):
    """Frames, innermost first. ``ended`` says why there are no more of them."""

    ended: str

    def __new__(cls, frames: Iterable[Frame] = (), ended: str = "") -> Backtrace:
        made = super().__new__(cls, frames)
        made.ended = ended
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """The functions, innermost first; an address where no symbol is known."""
        return tuple(frame.name or f"{frame.pc:#x}" for frame in self)

    def __str__(self) -> str:
        lines = [f"#{number:<2} {frame}" for number, frame in enumerate(self)]
        return "\n".join([*lines, f"... ({self.ended})"] if self.ended else lines)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the unwinding stands: what is known of the registers in one frame.

    ``exact`` False: ``rip`` is a return address, and what is looked up is the call before it.
    """

    registers: Mapping[str, int]
    exact: bool = True

    @property
    def pc(self) -> int:
        """The instruction pointer."""
        return self.registers["rip"]

    @property
    def lookup(self) -> int:
        """An address within the instruction that was under way."""
        return self.pc if self.exact else self.pc - 1

    @property
    def sp(self) -> int:
        """The stack pointer."""
        return self.registers["rsp"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that one of the ways found."""

    cursor: Cursor
    how: How


def returned_to(rip: int, cfa: int, how: How, kept: Mapping[str, int | None]) -> Caller:
    """The caller at a return address, its stack pointer, and the registers that are known."""
    known = {name: value % TOP for name, value in kept.items() if value is not None}
    return Caller(Cursor({**known, "rip": rip, "rsp": cfa % TOP}, exact=False), how)


class End(Exception):
    """There is no caller; the message says why, in words for the reader of a backtrace."""
