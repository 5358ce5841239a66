"""The code around a place: its source where that is on this host, its instructions always."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from timehands.errors import UsageError
from timehands.kernels.kernel import Kernel
from timehands.kernels.lines import Source
from timehands.kernels.memory import Unreadable
from timehands.watch.stops import View

#: The longest instruction of an x86 processor, in bytes (Intel SDM volume 2, section 2.3.11).
LONGEST: Final = 15
MOST_INSTRUCTIONS: Final = 200
_AROUND: Final = 5
#: No source file of a kernel is as long.
_MOST_SOURCE: Final = 16 << 20
_RELATIVE: Final = re.compile(r"\[rip ([+-]) (0x[0-9a-f]+|[0-9])\]")
_TARGET: Final = re.compile(r"0x[0-9a-f]{6,16}")


def source_lines(source: Source) -> list[str]:
    """The lines around one of a source file, that one marked. Empty when it cannot be read here."""
    try:
        with Path(source.path).open("rb") as file:
            lines = file.read(_MOST_SOURCE).decode("utf-8", "replace").splitlines()
    except (OSError, ValueError):
        return []
    if source.line > len(lines):
        return []
    first = max(1, source.line - _AROUND)
    return [
        f"{'>' if number == source.line else ' '}{number:>5}  {text.expandtabs()}"
        for number, text in enumerate(lines[first - 1 : source.line + _AROUND], first)
    ]


def instructions(view: View, start: int, most: int, until: int | None = None) -> list[str]:
    """Instructions from an address on, as the guest has them, the next to run marked.

    At most ``most`` of them, none at ``until`` or behind. Raises `UsageError`; `Missing` where
    ``view`` reads from pages that are yet to be fetched.
    """
    if not 0 < most <= MOST_INSTRUCTIONS:
        raise UsageError(f"1 to {MOST_INSTRUCTIONS} instructions are shown at once")
    end = start + most * LONGEST if until is None else min(until, start + most * LONGEST)
    rows = list(_rows(view.kernel, _code(view, start, end), start, view.pc))[:most]
    if not rows:
        raise Unreadable(start, 1)
    return rows


def function_around(kernel: Kernel, address: int) -> tuple[int, int]:
    """Where the function that holds an address begins and ends. Raises `UsageError`."""
    place = kernel.symbols.find(address)
    if place is None:
        raise UsageError(f"no function covers {address:#x}", advice=f"x/8i {address:#x} shows it.")
    start = address - place.offset
    return start, start + max(kernel.symbols.size_of(start), place.offset + 1)


def _code(view: View, start: int, end: int) -> bytes:
    """What can be read of it: the last instruction may lie at the end of what is mapped."""
    for length in (end - start, min(end, -(-start // 4096) * 4096 or end) - start):
        if length > 0:
            try:
                return view.memory.read(start, length)
            except Unreadable:
                continue
    return b""


def _rows(kernel: Kernel, code: bytes, start: int, pc: int) -> Iterator[str]:
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    engine = Cs(CS_ARCH_X86, CS_MODE_64)
    engine.skipdata = True
    for address, size, name, operands in engine.disasm_lite(code, start):
        mark = "=>" if address == pc else "  "
        place = kernel.symbols.find(address)
        where = f"<{place.name}+{place.offset}>" if place else ""
        text = f"{mark} {address:#x} {where}  {name} {operands}".rstrip()
        yield text + _named(kernel, name, operands, address + size)


def _named(kernel: Kernel, name: str, operands: str, after: int) -> str:
    """What a jump or a call leads to, or what lies so far from the next instruction, by name."""
    if found := _RELATIVE.search(operands):
        target = after + int(found[1] + found[2], 0)
    elif name.startswith(("j", "call")) and _TARGET.fullmatch(operands):
        target = int(operands, 16)
    else:
        return ""
    place = kernel.symbols.find(target)
    if place is None:
        return ""
    return f" <{place.name}+{place.offset}>" if place.offset else f" <{place.name}>"
