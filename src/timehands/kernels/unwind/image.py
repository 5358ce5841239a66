"""What unwinding asks of a kernel file: its code, by address."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import Final, NamedTuple

from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.kernels.unwind.frames import TOP, WORD

_SHF_EXECINSTR: Final = 4
_PF_X: Final = 1
#: The longest call instruction that is looked for, with its displacement, in bytes.
_LONGEST_CALL: Final = 8
#: Addresses whose function is kept.
_MOST_KEPT: Final = 4096


class Function(NamedTuple):
    """A function of the symbol table: where it starts in the guest, its size, its name."""

    start: int
    size: int
    name: str


class Image:
    """A kernel's code at the addresses that it has in the guest.

    ``slide`` is how far it was moved from where it was linked (KASLR), in bytes.
    """

    def __init__(self, kernel: Kernel, slide: int = 0) -> None:
        self.kernel = kernel
        self.slide = slide
        self._functions: dict[int, Function | None] = {}

    def linked(self, address: int) -> int:
        """Where an address of the guest was linked."""
        return (address - self.slide) % TOP

    @cached_property
    def _text(self) -> list[tuple[int, int]]:
        headers = self.kernel.elf_headers
        spans = [(s.address, s.size) for s in headers.sections if s.flags & _SHF_EXECINSTR]
        spans = spans or [(s.vaddr, s.memsz) for s in headers.loaded if s.flags & _PF_X]
        return sorted((start, start + size) for start, size in spans if start and size)

    def in_text(self, address: int) -> bool:
        """Whether an address is in the kernel's code."""
        address = self.linked(address)
        at = bisect_right(self._text, (address, TOP)) - 1
        return at >= 0 and address < self._text[at][1]

    def function(self, address: int) -> Function | None:
        """The symbol that covers an address; None: there is none, or it is no code."""
        if address not in self._functions:
            if len(self._functions) >= _MOST_KEPT:
                self._functions.clear()
            self._functions[address] = self._find(address)
        return self._functions[address]

    def _find(self, address: int) -> Function | None:
        if not self.in_text(address):
            return None
        found = self.kernel.symbols.find(self.linked(address))
        return Function(address - found.offset, found.size, found.name) if found else None

    def code(self, address: int, length: int) -> bytes:
        """Bytes of the kernel file at an address; fewer where the file has no more."""
        address = self.linked(address)
        for segment in self.kernel.elf_headers.loaded:
            offset = address - segment.vaddr
            if 0 <= offset < segment.filesz:
                length = min(length, segment.filesz - offset)
                return bytes(self.kernel.unpacked()[segment.offset + offset :][:length])
        return b""

    def after_call(self, address: int) -> bool:
        """Whether an address can be a return address: in the code, behind a call instruction."""
        if not self.in_text(address) or not self.in_text(address - 1):
            return False
        lengths = range(_LONGEST_CALL, 1, -1)  # fewer where the code begins
        before = next((code for n in lengths if (code := self.code(address - n, n))), b"")
        return _ends_in_call(before.rjust(_LONGEST_CALL, b"\0"))


def _ends_in_call(code: bytes) -> bool:
    """Whether the bytes end in ``call`` (E8 with a displacement, or FF /2 with its operand)."""
    if code[-5] == 0xE8:
        return True
    return any(
        code[-length] == 0xFF
        and code[1 - length] >> 3 & 7 == 2
        and _length(code[1 - length :]) == length - 1
        for length in (2, 3, 4, 6, 7)
    )


def _length(operand: bytes) -> int:
    """Bytes of a ModRM operand: ModRM itself, SIB, displacement."""
    mod, rm = operand[0] >> 6, operand[0] & 7
    if mod == 3:
        return 1
    sib = int(rm == 4)
    if mod == 0:
        far = rm == 5 or (sib and len(operand) > 1 and operand[1] & 7 == 5)
        return 1 + sib + (4 if far else 0)
    return 1 + sib + (1 if mod == 1 else 4)


def read_word(memory: Memory, address: int) -> int:
    """A 64-bit number in guest memory. Raises `Unreadable`."""
    return int.from_bytes(memory.read(address % TOP, WORD), "little")
