"""Where a kernel's code has the instructions that clocks are made of.

::

    find(kernel, "cpuid")       # (Site(address=0xffffffff8105c8a2, mnemonic="cpuid", ...), ...)
    find(kernel, "out", port=0x43)

The bytes of such an instruction are also found inside of others: each place that looks like one is
believed only when the function that holds it, disassembled from its start, comes by there. Code
that the kernel patches while it runs (Linux' alternatives) is seen as the file has it.

Source: Intel SDM volume 2 (opcodes).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from timehands.errors import UsageError
from timehands.kernels.kernel import Kernel

_SHF_EXECINSTR: Final = 4
_PF_X: Final = 1
#: Code that is copied elsewhere before it runs (Linux).
_NEVER_RUN: Final = (".altinstr_replacement",)
#: More sites than this of one instruction are not kept: no kernel has them.
MOST: Final = 100_000
#: Each instruction with what its bytes hold (without the prefix of a smaller operand).
_OPCODES: Final = {
    "cpuid": rb"\x0f\xa2",
    "rdmsr": rb"\x0f\x32",
    "wrmsr": rb"\x0f\x30",
    "rdtsc": rb"\x0f\x31",
    "rdtscp": rb"\x0f\x01\xf9",
    "in": rb"[\xe4\xe5\xec\xed]",
    "out": rb"[\xe6\xe7\xee\xef]",
    "hlt": rb"\xf4",
}
MNEMONICS: Final = tuple(_OPCODES)
"""What `find` knows."""


@dataclass(frozen=True, slots=True)
class Site:
    """One instruction.

    Attributes:
        address: virtual, as linked.
        mnemonic: one of `MNEMONICS`.
        length: in bytes.
        port: of ``in`` and ``out``, where it is in the instruction; None: it is in %dx.
        function: that holds it; empty when no symbol does. Then it was found by going through the
            code from the last function (or the section's start) on, and may be data.
    """

    address: int
    mnemonic: str
    length: int
    port: int | None
    function: str

    @property
    def sure(self) -> bool:
        """Whether a function's code leads to it."""
        return bool(self.function)


_found: WeakKeyDictionary[Kernel, dict[str, tuple[Site, ...]]] = WeakKeyDictionary()


def find(kernel: Kernel, mnemonic: str, *, port: int | None = None) -> tuple[Site, ...]:
    """Where the kernel's code has an instruction, by ascending address.

    Takes up to some seconds the first time that a kernel is asked for ``in`` or ``out``.

    Args:
        kernel: a 64-bit one; any other has no sites.
        mnemonic: one of `MNEMONICS`.
        port: keep only ``in`` and ``out`` that may be of this port: those that name it, and those
            whose port is in %dx.

    Raises:
        UsageError: the instruction is not one of those.
    """
    if mnemonic not in _OPCODES:
        known = ", ".join(MNEMONICS)
        raise UsageError(f"no such instruction: {mnemonic}", advice=f"Known are: {known}.")
    sites = _found.setdefault(kernel, {})
    if mnemonic not in sites:
        sites[mnemonic] = _kept(kernel, mnemonic)
    return tuple(site for site in sites[mnemonic] if port is None or site.port in (None, port))


def _kept(kernel: Kernel, mnemonic: str) -> tuple[Site, ...]:
    """The sites from the cache, or found and put there."""
    stored = kernel.cache.read_sites() if kernel.cache else {}
    try:
        return tuple(_site(mnemonic, row) for row in stored[mnemonic])
    except (KeyError, TypeError, ValueError):
        pass
    sites = tuple(_search(kernel, mnemonic))
    if kernel.cache:
        rows = [astuple(site) for site in sites]
        kernel.cache.write_sites({**stored, mnemonic: rows})
    return sites


def _site(mnemonic: str, row: Any) -> Site:
    address, _, length, port, function = row
    known = None if port is None else int(port)
    return Site(int(address), mnemonic, int(length), known, str(function))


def _search(kernel: Kernel, mnemonic: str) -> Iterator[Site]:
    if kernel.facts.bits != 64:
        return
    count = 0
    names = _functions(kernel)
    for start, code in _sections(kernel):
        pieces = _pieces(start, len(code), sorted(names))
        for at in _with_candidates(code, start, mnemonic, pieces):
            end = pieces[bisect_right(pieces, at)]
            part = code[at - start : end - start]
            for site in _sites_in(bytes(part), at, mnemonic, names.get(at, "")):
                count += 1
                if count > MOST:
                    return
                yield site


def _functions(kernel: Kernel) -> Mapping[int, str]:
    """The symbols of code, by address; the first name of several."""
    names: dict[int, str] = {}
    for symbol in kernel.symbols:
        if symbol.type in "tTwW":
            names.setdefault(symbol.address, symbol.name)
    return names


def _sections(kernel: Kernel) -> Iterator[tuple[int, memoryview]]:
    """The kernel's code: each part with its address."""
    elf = kernel.elf
    found = [s for s in elf.sections if s.flags & _SHF_EXECINSTR and s.name not in _NEVER_RUN]
    if found:
        yield from ((section.address, elf.contents(section)) for section in found)
        return
    for segment in elf.loaded:
        if segment.flags & _PF_X:
            yield segment.vaddr, elf.data[segment.offset : segment.offset + segment.filesz]


def _pieces(start: int, size: int, functions: list[int]) -> list[int]:
    """Where the functions of a section begin; its start and its end too."""
    first, last = bisect_right(functions, start), bisect_right(functions, start + size - 1)
    return [start, *functions[first:last], start + size]


def _with_candidates(
    code: memoryview, start: int, mnemonic: str, pieces: list[int]
) -> Iterator[int]:
    """The beginnings of the functions that hold the bytes of the instruction."""
    before = -1
    for match in re.finditer(_OPCODES[mnemonic], code, re.DOTALL):
        at = pieces[bisect_right(pieces, start + match.start()) - 1]
        if at != before:
            yield at
        before = at


def _sites_in(code: bytes, start: int, mnemonic: str, function: str) -> Iterator[Site]:
    """The instruction in one function's code, which begins at an instruction."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    engine = Cs(CS_ARCH_X86, CS_MODE_64)
    engine.skipdata = True
    for address, length, name, operands in engine.disasm_lite(code, start):
        if name == mnemonic:
            yield Site(address, mnemonic, length, _port(operands), function)


def _port(operands: str) -> int | None:
    """The port that the operands of ``in`` and ``out`` name; None: it is in %dx."""
    numbers = re.findall(r"0x[0-9a-f]+|\b\d+", operands)
    return int(numbers[0], 0) if numbers else None
