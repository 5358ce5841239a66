"""What a trap or an interrupt interrupted, where assembly without tables saved the registers.

The kernels' entry code pushes the interrupted registers (struct trapframe) and calls a handler in
C; seen from that handler, its caller is the entry code, and the frame lies where the stack pointer
is, or a few words above (NetBSD keeps an interrupt level below it). The processor's own part has so
little freedom (code and stack selectors, a flag that is always set) that it is known when seen.

Sources: FreeBSD sys/x86/include/frame.h, sys/amd64/amd64/exception.S (alltraps, calltrap);
NetBSD sys/arch/amd64/include/frame_regs.h, sys/arch/amd64/amd64/{amd64_trap,vector}.S.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from timehands.kernels.memory import Memory, Unreadable
from timehands.kernels.unwind.frames import TOP, WORD, Caller, Cursor, End, How
from timehands.kernels.unwind.image import Image

#: Entry code by its names in the symbol table: calltrap, alltraps, Xtimerint, Xapic_isr1, ...
_ENTRY_CODE: Final = re.compile(
    r"X\w+|(?:nmi_)?(?:calltrap|alltraps)\w*|(?:intr|recurse|resume|handle)_\w+|doreti\w*"
)
# struct trapframe, 8 bytes each up to err; "" are what nobody needs here
_FREEBSD: Final = (
    "rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "rbx", "rbp", "r10", "r11", "r12", "r13", "r14",
    "r15", "", "", "", "",
)  # fmt: skip
_NETBSD: Final = (
    "rdi", "rsi", "rdx", "r10", "r8", "r9", "", "", "", "", "rcx", "r11", "r12", "r13", "r14",
    "r15", "rbp", "rbx", "rax", "", "", "", "", "", "",
)  # fmt: skip
_LAYOUTS: Final = {"freebsd": _FREEBSD, "netbsd": _NETBSD}
#: The processor's part: rip, cs, rflags, rsp, ss.
_HARDWARE: Final = struct.Struct("<5Q")
#: How far above the stack pointer that part may begin, in words.
_FURTHEST: Final = 40
_SELECTORS: Final = range(0x08, 0x100)
_ALWAYS_ONE: Final = 1 << 1
_FLAGS: Final = (1 << 22) - 1


@dataclass(frozen=True, slots=True)
class _Saved:
    """The processor's part of a frame, and where it is."""

    at: int
    rip: int
    cs: int
    flags: int
    rsp: int
    ss: int


def by_trap_frame(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """What was interrupted, when the cursor is in entry code; None: it is not. Raises `End`."""
    function = image.function(cursor.lookup)
    if function is None or not _ENTRY_CODE.fullmatch(function.name):
        return None
    saved = _find(image, cursor.sp, memory)
    if saved is None:
        return None
    if saved.cs & 3:
        raise End("user mode")
    kept = {name: value for name, value in cursor.registers.items() if name in ("rbx", "rbp")}
    registers = {**kept, **_general(image, saved, memory), "rip": saved.rip, "rsp": saved.rsp}
    return Caller(Cursor(registers), How.TRAP)


def _find(image: Image, sp: int, memory: Memory) -> _Saved | None:
    for at in range(sp, sp + _FURTHEST * WORD, WORD):
        try:
            saved = _Saved(at, *_HARDWARE.unpack(memory.read(at % TOP, _HARDWARE.size)))
        except Unreadable:
            return None
        if _plausible(image, saved):
            return saved
    return None


def _plausible(image: Image, saved: _Saved) -> bool:
    if saved.cs not in _SELECTORS or not (saved.ss == 0 or saved.ss in _SELECTORS):
        return False
    if not saved.flags & _ALWAYS_ONE or saved.flags & ~_FLAGS:
        return False
    return bool(saved.cs & 3) or image.in_text(saved.rip) or not saved.rip


def _general(image: Image, saved: _Saved, memory: Memory) -> dict[str, int]:
    """The general registers, where the system's layout is known."""
    names = _LAYOUTS.get(image.kernel.os, ())
    start = saved.at - WORD * len(names)
    if not names or start < 0:
        return {}
    try:
        values = struct.unpack(f"<{len(names)}Q", memory.read(start, WORD * len(names)))
    except Unreadable:
        return {}
    return {name: value for name, value in zip(names, values, strict=True) if name}
