"""Callers by Linux' ORC tables: .orc_unwind_ip, .orc_unwind.

The layout of an entry changed; what this kernel has is told by its own types (BTF), or by the
entries: most are of calls, which is type 0 up to Linux 6.3 and type 2 since 6.4.

Sources: Linux arch/x86/include/asm/orc_types.h, arch/x86/kernel/unwind_orc.c (unwind_next_frame);
commits ffb1b4a41016 (6.3: the bit ``signal``), fb799447ae29 (6.4: types UNDEFINED, END_OF_STACK).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import add, le
from struct import Struct
from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.kernels.unwind.frames import TOP, WORD, Caller, Cursor, End, How, returned_to
from timehands.kernels.unwind.image import Image, read_word

_ENTRY: Final = Struct("<hhH")
_IP: Final = Struct("<i")
_MAX_ENTRIES: Final = 8_000_000
_SAMPLE: Final = 4096
# ORC_REG_*
_PREV_SP, _BP, _SP, _BP_INDIRECT, _SP_INDIRECT = 1, 4, 5, 8, 9
_BASES: Final = {2: "rdx", 3: "rdi", 6: "r10", 7: "r13"}
# struct pt_regs (arch/x86/include/asm/ptrace.h), 8 bytes each; the hardware's part is the last five
_PT_REGS: Final = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_ax", "rip", "cs", "eflags", "rsp", "ss",
)  # fmt: skip
_HARDWARE: Final = _PT_REGS[16:]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the bits of an entry's last 16 are, and what its types mean."""

    type_bits: int
    call: int
    regs: int
    partial: int
    end_type: int | None
    end_bit: int | None


#: Up to Linux 6.2; Linux 6.3; since Linux 6.4.
_OLD: Final = Layout(type_bits=2, call=0, regs=1, partial=2, end_type=None, end_bit=10)
_OLD_SIGNAL: Final = Layout(type_bits=2, call=0, regs=1, partial=2, end_type=None, end_bit=11)
_NEW: Final = Layout(type_bits=3, call=2, regs=3, partial=4, end_type=1, end_bit=None)


class Orc:
    """The ORC tables of one kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def usable(self) -> bool:
        """Whether the kernel has tables that can be used."""
        return self._kernel.orc and bool(self._ips)

    @cached_property
    def _data(self) -> memoryview:
        section = self._kernel.elf_headers.section(".orc_unwind")
        return self._kernel.elf.contents(section) if section else memoryview(b"")

    @cached_property
    def _ips(self) -> list[int]:
        """From which address on each entry holds, ascending (scripts/sorttable.c sorts them)."""
        section = self._kernel.elf_headers.section(".orc_unwind_ip")
        data = self._kernel.elf.contents(section) if section else memoryview(b"")
        count = min(len(data) // _IP.size, len(self._data) // _ENTRY.size, _MAX_ENTRIES)
        if section is None or not count:
            return []
        places = range(section.address, section.address + _IP.size * count, _IP.size)
        ips = list(map(add, data[: _IP.size * count].cast("i"), places))
        return ips if all(map(le, ips, ips[1:])) else []

    @cached_property
    def layout(self) -> Layout:
        """How this kernel's entries are laid out."""
        try:
            btf = self._kernel.btf
            struct = btf.struct("orc_entry") if btf else None
            bits = (
                {m.name: m.bit_offset - 32 for m in btf.members(struct)} if btf and struct else {}
            )
        except KernelDamaged:
            bits = {}
        if "type" in bits:
            return _by_members(bits)
        return self._by_frequency()

    def _by_frequency(self) -> Layout:
        step = max(1, len(self._ips) // _SAMPLE)
        samples = range(0, len(self._ips), step)
        types = Counter(self._word(index) >> 8 & 7 for index in samples)
        return _NEW if types.most_common(1)[0][0] == _NEW.call else _OLD

    def _word(self, index: int) -> int:
        return int(_ENTRY.unpack_from(self._data, index * _ENTRY.size)[2])

    def caller(self, image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
        """The caller; None: nothing covers this. Raises `End` and `Unreadable`."""
        index = bisect_right(self._ips, image.linked(cursor.lookup)) - 1
        if index < 0 or not image.in_text(cursor.lookup):
            return None
        sp_offset, bp_offset, bits = _ENTRY.unpack_from(self._data, index * _ENTRY.size)
        layout, kind = self.layout, bits >> 8 & (1 << self.layout.type_bits) - 1
        if kind == layout.end_type or (layout.end_bit is not None and bits >> layout.end_bit & 1):
            raise End("ORC says that the stack ends here")
        sp = _stack(bits & 0xF, sp_offset, cursor.registers, memory)
        if sp is None:
            return None
        if kind == layout.call:
            rbp = _base_pointer(bits >> 4 & 0xF, bp_offset, sp, cursor.registers, memory)
            return returned_to(read_word(memory, sp - WORD), sp, How.ORC, {"rbp": rbp})
        if kind == layout.regs:
            return _interrupted(_PT_REGS, sp, {}, memory)
        if kind == layout.partial:
            rbp = _base_pointer(bits >> 4 & 0xF, bp_offset, sp, cursor.registers, memory)
            return _interrupted(_HARDWARE, sp, {"rbp": rbp}, memory)
        return None


def _by_members(bits: Mapping[str, int]) -> Layout:
    if "end" not in bits:
        return _NEW
    return _OLD_SIGNAL if bits.get("signal", 99) < bits["end"] else _OLD


def _stack(base: int, offset: int, registers: Mapping[str, int], memory: Memory) -> int | None:
    """The caller's stack pointer (or where its registers are); None: not to be known."""
    if base == _SP:
        return (registers["rsp"] + offset) % TOP
    if base == _SP_INDIRECT:
        return (read_word(memory, registers["rsp"]) + offset) % TOP
    rbp = registers.get("rbp")
    if base in (_BP, _BP_INDIRECT):
        if rbp is None:
            return None
        return (rbp + offset) % TOP if base == _BP else read_word(memory, rbp + offset)
    value = registers.get(_BASES.get(base, ""))
    return None if value is None else (value + offset) % TOP


def _base_pointer(
    base: int, offset: int, sp: int, registers: Mapping[str, int], memory: Memory
) -> int | None:
    """The caller's rbp."""
    rbp = registers.get("rbp")
    if base == _PREV_SP:
        return read_word(memory, sp + offset)
    if base == _BP and rbp is not None:
        return read_word(memory, rbp + offset)
    return rbp


def _interrupted(
    names: tuple[str, ...], at: int, kept: Mapping[str, int | None], memory: Memory
) -> Caller:
    """What a trap or interrupt interrupted, by the registers that it saved."""
    data = memory.read(at, WORD * len(names))
    saved = dict(zip(names, Struct(f"<{len(names)}Q").unpack(data), strict=True))
    if saved["cs"] & 3:
        raise End("user mode")
    known = {name: value for name, value in kept.items() if value is not None}
    return Caller(Cursor({**known, **saved}), How.ORC)
