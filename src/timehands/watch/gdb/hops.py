"""Getting past a breakpoint without running the guest: the first instruction done by us.

Each time that a guest runs and stops again costs ten times as much as asking for its registers. The
instruction under a breakpoint at a function's entry is mostly one of a few, whose whole effect is
known: a no-operation, ``endbr64``, ``push %reg``, ``mov %reg,%reg``. Intel SDM volume 2, "NOP",
"ENDBR64", "PUSH", "MOV"; none changes a flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

#: No-operations (SDM, table "Recommended Multi-Byte Sequence of NOP Instruction") and endbr64/32:
#: the same in 32 and 64 bits.
_NOTHING: Final = re.compile(
    rb"\xf3\x0f\x1e[\xfa\xfb]|\x66?\x90"
    rb"|\x66*\x2e?\x0f\x1f(?:\x00|\x04\x00|\x40.|\x44\x00.|\x80....|\x84\x00....)",
    re.DOTALL,
)
#: In 64 bits: push %rax..%rdi, %r8..%r15; mov between 64-bit registers, both encodings.
_PUSH: Final = re.compile(rb"(\x41?)([\x50-\x57])")
_MOVE: Final = re.compile(rb"([\x48\x49\x4c\x4d])([\x89\x8b])([\xc0-\xff])", re.DOTALL)
_NAMES: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                 "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")  # fmt: skip
#: From here up an address is of the upper half, which only 64-bit code has.
_UPPER: Final = 1 << 47
CODE_BYTES: Final = 15


class Hop(NamedTuple):
    """What one instruction does: where it ends, and what it leaves in a register or in memory."""

    pc: int
    register: tuple[str, int] | None = None
    memory: tuple[int, bytes] | None = None


def hop(code: bytes, registers: Mapping[str, int]) -> Hop | None:
    """The effect of the first instruction in ``code``, which stands at ``rip``; None: not known.

    ``code`` has at least `CODE_BYTES`.
    """
    pc = registers["rip"]
    if (nothing := _NOTHING.match(code)) is not None:
        return Hop(pc + len(nothing[0]))
    if pc < _UPPER:
        return None  # may be 32-bit code, where the same bytes mean something else
    if (push := _PUSH.match(code)) is not None:
        value = registers[_NAMES[push[2][0] - 0x50 + (8 if push[1] else 0)]]
        top = (registers["rsp"] - 8) % (1 << 64)
        return Hop(pc + len(push[0]), ("rsp", top), (top, value.to_bytes(8, "little")))
    if (move := _MOVE.match(code)) is not None:
        return Hop(pc + 3, _moved(move[1][0], move[2][0], move[3][0], registers))
    return None


def _moved(rex: int, opcode: int, modrm: int, registers: Mapping[str, int]) -> tuple[str, int]:
    """The register that ``mov`` sets, and its value (REX.R extends reg, REX.B extends r/m)."""
    reg = _NAMES[(modrm >> 3 & 7) + (8 if rex & 4 else 0)]
    rm = _NAMES[(modrm & 7) + (8 if rex & 1 else 0)]
    target, source = (rm, reg) if opcode == 0x89 else (reg, rm)
    return target, registers[source]
