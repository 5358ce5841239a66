"""Changing a kernel's data without building it again: in a private copy of its file.

A patch is words, separated by commas, each ``place=value``::

    xen_pvh_init_ops+16=&i8254_delay            a pointer to a function or variable
    xen_pvh_init_ops.early_delay=&i8254_delay   by member, where the file has types
    tsc_skip_calibration:4=0                    a number of so many bytes

A place is a symbol, then members (``.name``), then an offset (``+16``), then a size in bytes
(``:8``). The size may be left out where a type, the symbol table, or ``&`` tells it. Numbers
are C's (``0x10``, ``-1``) and become little endian.

Everything is checked before anything is written: symbols exist, and what is changed lies in bytes
that the file has (a variable without an initial value has none: it is zero when the kernel starts,
and can be set at a stop).
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timehands.errors import HostError, PatchImpossible
from timehands.kernels.kernel import Kernel
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.types import Struct, Type, strip

_WORD = re.compile(
    r"(?P<symbol>[A-Za-z_]\w*)(?P<members>(?:\.[A-Za-z_]\w*)*)(?:\+(?P<offset>0[xX][0-9a-fA-F]+|\d+))?"
    r"(?::(?P<size>[1248]))?=(?:&(?P<target>[A-Za-z_]\w*)|(?P<number>-?(?:0[xX][0-9a-fA-F]+|\d+)))",
    re.ASCII,
)
_SIZES = (1, 2, 4, 8)
_POINTER = 8
_MOST_WORDS = 64
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Change:
    """One word, resolved: ``old`` becomes ``new`` at ``offset`` of the unpacked file.

    ``address`` is the virtual address of what is changed; ``text`` says it in words.
    """

    words: str
    address: int
    offset: int
    old: bytes
    new: bytes
    text: str


def changes(kernel: Kernel, patch: str) -> tuple[Change, ...]:
    """What a patch changes in this kernel.

    Raises:
        PatchImpossible: it is no patch, or does not fit the kernel; names the nearest symbols.
        KernelDamaged: the file's types or segments cannot be read.
    """
    words = [word.strip() for word in patch.split(",")]
    if len(words) > _MOST_WORDS:
        raise PatchImpossible(f"more than {_MOST_WORDS} changes", words=patch[:_LONGEST])
    found = tuple(_change(kernel, word) for word in words)
    ordered = sorted(found, key=lambda one: one.offset)
    for first, second in itertools.pairwise(ordered):
        if second.offset < first.offset + len(first.new):
            raise PatchImpossible(f"{first.words!r} changes the same bytes", words=second.words)
    return found


@contextmanager
def patched(kernel: Kernel, patches: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """A private copy (mode 0600) of the unpacked kernel with the patches in it, while it is needed.

    Args:
        folder: where to put it, such as the folder of a recording; it is removed afterwards.

    Raises:
        PatchImpossible, KernelDamaged: as `changes` raises them.
        HostError: the copy cannot be written.
    """
    found = changes(kernel, ",".join(patches))
    path = folder / "kernel.patched"
    try:
        _write(kernel, path, found)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write(kernel: Kernel, path: Path, found: tuple[Change, ...]) -> None:
    try:
        _copy(kernel, path)
        with path.open("r+b") as file:
            for one in found:
                file.seek(one.offset)
                file.write(one.new)
    except OSError as error:
        raise HostError(f"no patched copy of the kernel: {error.strerror or error}") from error


def _copy(kernel: Kernel, path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        os.fdopen(os.open(path, flags, 0o600), "wb") as file,
        kernel.elf_path().open("rb") as original,
    ):
        shutil.copyfileobj(original, file, 1 << 20)


def _change(kernel: Kernel, words: str) -> Change:
    match = _WORD.fullmatch(words) if len(words) <= _LONGEST else None
    if match is None:
        advice = "A patch is place=value, such as tsc_shift:4=0 or ops.early_delay=&i8254_delay."
        raise PatchImpossible("it is not place=value", words=words[:_LONGEST], advice=advice)
    place, size = _place(kernel, match, words)
    new = _value(kernel, match, size, words)
    offset = _file_offset(kernel, place, len(new), words)
    old = bytes(kernel.unpacked()[offset : offset + len(new)])
    named = match[0].partition("=")[0].partition(":")[0]
    text = f"{named} = {_shown(kernel, new)} (was {_shown(kernel, old)})"
    return Change(words, place, offset, old, new, text)


def _place(kernel: Kernel, match: re.Match[str], words: str) -> tuple[int, int | None]:
    """The address of what is changed, and its size as far as it is told."""
    symbol = match["symbol"]
    address = _address(kernel.symbols, symbol, words)
    told: int | None = kernel.symbol_sizes.get(symbol) if not match["offset"] else None
    if match["members"]:
        offset, told = _member(kernel, symbol, match["members"][1:].split("."), words)
        address += offset
    address += _number(match["offset"] or "0")
    size = int(match["size"]) if match["size"] else told
    return address, size if size in _SIZES else None


def _address(symbols: SymbolTable, name: str, words: str) -> int:
    known = symbols.lookup(name)
    if len(known) == 1:
        return known[0]
    if known:
        at = ", ".join(f"{address:#x}" for address in known[:4])
        raise PatchImpossible(f"{len(known)} symbols are called {name} ({at})", words=words)
    near = ", ".join(symbols.nearest(name))
    advice = f"Did you mean {near}?" if near else ""
    raise PatchImpossible(f"the kernel has no symbol {name}", words=words, advice=advice)


def _member(kernel: Kernel, symbol: str, path: list[str], words: str) -> tuple[int, int]:
    """Offset and size of a member of a variable, by the kernel's types."""
    variable = kernel.type_source.variable(symbol) if kernel.type_source else None
    if variable is None:
        advice = "Give its offset in bytes instead: symbol+16=..."
        raise PatchImpossible(f"the type of {symbol} is not known", words=words, advice=advice)
    kind: Type = strip(variable.type)
    offset = 0
    for name in path:
        member = kind.member(name) if isinstance(kind, Struct) else None
        if member is None or member.bit_size:
            has = [m.name for m in kind.named_members()] if isinstance(kind, Struct) else []
            advice = f"It has {', '.join(has[:20])}." if has else ""
            raise PatchImpossible(f"{kind} has no member {name}", words=words, advice=advice)
        offset += member.offset
        kind = strip(member.type)
    return offset, kind.size


def _value(kernel: Kernel, match: re.Match[str], size: int | None, words: str) -> bytes:
    if match["target"]:
        if size not in (None, _POINTER):
            raise PatchImpossible("an address has 8 bytes", words=words)
        return _address(kernel.symbols, match["target"], words).to_bytes(_POINTER, "little")
    if size is None:
        advice = f"Say how many: {match['symbol']}:4=..."
        raise PatchImpossible("how many bytes it has is not known", words=words, advice=advice)
    number = _number(match["number"])
    if not -(1 << 8 * size - 1) <= number < 1 << 8 * size:
        raise PatchImpossible(f"{number} does not fit {size} bytes", words=words)
    return (number % (1 << 8 * size)).to_bytes(size, "little")


def _number(text: str) -> int:
    return int(text, 16 if "x" in text.lower() else 10)


def _file_offset(kernel: Kernel, address: int, length: int, words: str) -> int:
    for segment in kernel.elf_headers.loaded:
        start = address - segment.vaddr
        if start >= 0 and start + length <= segment.filesz:
            return segment.offset + start
        if 0 <= start < segment.memsz:
            raise PatchImpossible(
                "it has no bytes in the file: it is zero when the kernel starts",
                words=words,
                advice="Set it when the kernel has started: timehands debug --break ... --set ...",
            )
    raise PatchImpossible("it lies in no part of the kernel that is loaded", words=words)


def _shown(kernel: Kernel, raw: bytes) -> str:
    """A pointer to a symbol by its name, else the number."""
    number = int.from_bytes(raw, "little")
    place = kernel.symbols.find(number) if len(raw) == _POINTER and number else None
    return f"&{place.name}" if place and not place.offset else f"{number:#x}"
