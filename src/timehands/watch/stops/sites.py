"""From where somebody wants to stop to the addresses where a breakpoint goes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from timehands.errors import KernelDamaged, UsageError
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.search import Group
from timehands.kernels.dwarf.units import Unit
from timehands.kernels.instructions import Site as Instruction
from timehands.kernels.instructions import find
from timehands.kernels.kernel import Kernel
from timehands.kernels.lines import Lines
from timehands.kernels.memory import Unreadable
from timehands.kernels.symbols import Symbol
from timehands.watch.gdb import BreakKind, Breakpoint
from timehands.watch.stops.view import View
from timehands.watch.stops.wants import (
    Access,
    Address,
    Data,
    File,
    Function,
    Line,
    Operation,
    Want,
    Where,
)

#: One want may be so many places.
MAX_SITES: Final = 8192
#: A function is followed so far, in bytes, to know where its instructions begin.
_MAX_DECODED: Final = 1 << 16
MAX_DATA: Final = 4096
_MAX_UNITS: Final = 64
_CODE: Final = "tTwWiI"
_KINDS: Final = {
    Access.WRITE: BreakKind.WRITE,
    Access.READ: BreakKind.READ,
    Access.ACCESS: BreakKind.ACCESS,
}
#: What a compiler or a build puts beside a function: no entry of it.
_NO_ENTRY: Final = re.compile(r"\.cold(\.\d+)?$|^__(pfx|cfi)_")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Site:
    """One place: the breakpoint, and what it is called (``tc_init``, ``local_apic.c:547``).

    ``instruction`` is what stands there, where it is that which is waited for.
    """

    point: Breakpoint
    name: str
    instruction: Instruction | None = None


@dataclass(frozen=True, slots=True)
class Sites:
    """All places of a want. ``note`` is what the reader should know of how they were found."""

    sites: tuple[Site, ...]
    note: str = ""


def sites_of(kernel: Kernel, want: Want, view: View) -> Sites:
    """Where to put breakpoints for a want.

    ``view`` is what expressions are evaluated in: the guest as it stands, or the kernel's file.

    Raises:
        UsageError: there is no such function, line, variable; the message suggests others.
    """
    found = _sites(kernel, want.where, view)
    if len(found.sites) > MAX_SITES:
        raise UsageError(f"{want.text} is {len(found.sites):,} places: at most {MAX_SITES:,}")
    if isinstance(want.where, Address) or (isinstance(want.where, Function) and want.where.offset):
        note = "; ".join(filter(None, (_amid(kernel, s.point.address) for s in found.sites)))
        return Sites(found.sites, note or found.note)
    return found


def _amid(kernel: Kernel, address: int) -> str:
    """What to know of an address at which no instruction begins; empty when one does.

    A breakpoint is not met there, and one that is written into the code (KVM) breaks that code.
    """
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    place = kernel.symbols.find(address)
    if place is None or not 0 < place.offset < _MAX_DECODED:
        return ""
    start = address - place.offset
    try:
        code = kernel.file_memory.read(start, place.offset + 1)
    except Unreadable:
        return ""
    after = start
    for at, size, _, _ in Cs(CS_ARCH_X86, CS_MODE_64).disasm_lite(code + bytes(14), start):
        if at >= address:
            break
        before, after = at - start, at + size
        if after > address:
            return (
                f"no instruction begins at {place.name}+{place.offset:#x}, only at +{before:#x} "
                f"and +{after - start:#x}: it will not be hit"
            )
    return ""


def _sites(kernel: Kernel, where: Where, view: View) -> Sites:
    match where:
        case Function() if where.is_pattern:
            return _pattern(kernel, where.name)
        case Function():
            return _function(kernel, where)
        case Line():
            return _line(kernel, where)
        case File():
            return _file(kernel, where)
        case Address():
            return Sites((_code_site(where.address, _place_name(kernel, where.address)),))
        case Operation():
            return _operation(kernel, where)
        case Data():
            return _data(kernel, where, view)


def _code_site(address: int, name: str) -> Site:
    return Site(Breakpoint(BreakKind.SOFTWARE, address), name)


def _place_name(kernel: Kernel, address: int) -> str:
    place = kernel.symbols.find(address)
    if place is None:
        return f"{address:#x}"
    return f"{place.name}+{place.offset:#x}" if place.offset else place.name


# ---- functions


def _pattern(kernel: Kernel, pattern: str) -> Sites:
    fits = {s.address: s for s in _entries(kernel.symbols.match(pattern))}
    if not fits:
        raise UsageError(f"no function of this kernel fits {pattern}")
    return Sites(tuple(_code_site(s.address, s.name) for s in fits.values()))


def _entries(symbols: Iterable[Symbol]) -> list[Symbol]:
    return [s for s in symbols if s.type in _CODE and not _NO_ENTRY.search(s.name)]


def _function(kernel: Kernel, where: Function) -> Sites:
    found = _entries(kernel.symbols.symbols(where.name))
    note = ""
    if not found:
        found = _entries(kernel.symbols.variants(where.name))
        note = f"{where.name} was compiled as {', '.join(s.name for s in found)}" if found else ""
    inlined = () if where.offset else _inlined(kernel, where.name)
    if not found and not inlined:
        raise _no_function(kernel, where.name)
    if inlined:
        own = "also" if found else "has no code of its own:"
        places = f"{len(inlined)} places" if inlined[1:] else "one place"
        note = f"{where.name} {own} inlined at {places}"
    return Sites((*_own(kernel, where, found), *inlined), note)


def _own(kernel: Kernel, where: Function, found: list[Symbol]) -> Iterator[Site]:
    """The function itself, under each of its addresses."""
    offset = f"+{where.offset:#x}" if where.offset else ""
    for symbol in found:
        size = kernel.symbols.size_of(symbol.address)
        if where.offset and size and where.offset >= size:
            raise UsageError(f"{where.name} has {size:#x} bytes: there is no {where.offset:#x}")
        yield _code_site(symbol.address + where.offset, symbol.name + offset)


def _no_function(kernel: Kernel, name: str) -> UsageError:
    symbols = kernel.symbols
    if not len(symbols):
        return UsageError(
            f"no function {name} can be found: this kernel file has no symbols",
            advice="Give an address, an operation (cpuid, out 0x43), or a file with symbols.",
        )
    if any(s.type not in _CODE for s in symbols.symbols(name)):
        return UsageError(f"{name} is a variable", advice=f"Give: write of {name}")
    near = symbols.nearest(name)
    return UsageError(
        f"this kernel has no function {name}",
        advice=f"Perhaps {', '.join(near)}." if near else "It may have been inlined or left out.",
    )


def _inlined(kernel: Kernel, name: str) -> tuple[Site, ...]:
    """The places where a function was inlined. Raises `UsageError` when all of it was left out."""
    dwarf = kernel.dwarf
    function = dwarf.function(name) if dwarf else None
    if dwarf is None or function is None or not (function.inlined or function.low_pc is None):
        return ()
    places: set[int] = set()
    units: dict[int, Unit] = {}
    for entry in dwarf.search.find(Group.FUNCTION, name):
        if len(units) < _MAX_UNITS:
            units[entry.unit.offset] = entry.unit
    for unit in units.values():
        with contextlib.suppress(KernelDamaged):
            places.update(_inlined_in(dwarf, unit, name))
    if not places and function.low_pc is None:
        declared = f"{PurePosixPath(function.file).name}:{function.line}"
        raise UsageError(f"no code came of {name} ({declared}): the compiler left it out")
    return tuple(
        _code_site(at, f"{name}, inlined in {_place_name(kernel, at)}") for at in sorted(places)
    )


def _inlined_in(dwarf: DwarfTypes, unit: Unit, name: str) -> Iterator[int]:
    """Where copies of a function begin in a unit's code."""
    at = unit.first
    while at < unit.end:
        after, shape, _, _ = unit.skim(at)
        if shape is not None and shape.tag == n.TAG_INLINED_SUBROUTINE:
            entry = unit.entry(at)
            if entry is not None and dwarf.search.origin_name(entry) == name:
                spans = unit.ranges(entry)
                place = unit.address(entry, n.AT_ENTRY_PC) or unit.address(entry, n.AT_LOW_PC)
                if place or spans:
                    yield place or spans[0][0]
        at = after


# ---- source


def _lines_of(kernel: Kernel, asked: str) -> Lines:
    if kernel.lines is None:
        raise UsageError(
            f"{asked}: this kernel file knows no source lines (it has no DWARF)",
            advice="Give the file with debug information (kernel.full, netbsd.gdb, vmlinux), or a "
            "function.",
        )
    return kernel.lines


def _line(kernel: Kernel, where: Line) -> Sites:
    code = _lines_of(kernel, where.path).addresses(where.path, where.line)
    name = f"{PurePosixPath(code.path).name}:{code.line}"
    note = f"line {where.line} has no code: {name} instead" if code.line != where.line else ""
    sites = tuple(
        _code_site(at, f"{name} in {_place_name(kernel, at).split('+')[0]}")
        for at in code.addresses
    )
    if not sites:
        raise UsageError(f"{where.path}:{where.line} has no code")
    return Sites(sites, note)


def _file(kernel: Kernel, where: File) -> Sites:
    functions = _lines_of(kernel, where.path).functions_of(where.path)
    found = {f.low_pc: f.name for f in functions if f.low_pc}
    return Sites(tuple(_code_site(at, name) for at, name in found.items()))


# ---- what is done


def _operation(kernel: Kernel, where: Operation) -> Sites:
    port = where.operand if where.name in ("in", "out") else None
    found = find(kernel, where.name, port=port)
    if where.name == "rdtsc":
        found += find(kernel, "rdtscp")
    if not found:
        raise UsageError(f"no {where.name} instruction was found in this kernel's code")
    return Sites(
        tuple(
            Site(Breakpoint(BreakKind.SOFTWARE, one.address), _place_name(kernel, one.address), one)
            for one in found
        )
    )


def _data(kernel: Kernel, where: Data, view: View) -> Sites:
    address, length = _extent(kernel, where.expression, view)
    if not 0 < length <= MAX_DATA:
        raise UsageError(f"{where.expression} has {length} bytes: 1 to {MAX_DATA} can be watched")
    return Sites((Site(Breakpoint(_KINDS[where.access], address, length), where.expression),))


def _extent(kernel: Kernel, expression: str, view: View) -> tuple[int, int]:
    """Where what an expression names lies, and its size in bytes."""
    value = view.environment.lookup(expression) if _IDENTIFIER.fullmatch(expression) else None
    if value is None:
        value = view.value(expression)
    if value.address is None:
        raise UsageError(f"{expression} is not in memory: only what is can be watched")
    size = value.type.size
    if not size:
        gap = kernel.symbols.size_of(value.address)
        size = next((one for one in (8, 4, 2, 1) if one <= gap), 1)
    return value.address, size
