"""``timehands kernel FILE``: what a kernel file says.

``--json`` prints one object with the keys that docs/kernel.md lists.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from timehands.kernels.kernel import Kernel

JSON_SCHEMA: Final = 1
WIDTH: Final = 100
_LABEL: Final = 11


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command's parser."""
    parser = subparsers.add_parser(
        "kernel",
        help="say what a kernel file says",
        description="Says what a kernel file says: system and version, format, entry points, "
        "symbols, types, embedded configuration, and which clock functions it holds.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="bzImage, ELF, or compressed ELF")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument("--no-cache", action="store_true", help="read it anew, and keep nothing")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the kernel and print what it says.

    Raises:
        KernelError: the file is no kernel, or a damaged one.
    """
    from timehands.kernels.kernel import Kernel

    kernel = Kernel.open(args.file, cache=not args.no_cache)
    if args.json:
        print(json.dumps(as_json(kernel), indent=2, ensure_ascii=False))
    else:
        print("\n".join(page(kernel)))
    return 0


def as_json(kernel: Kernel) -> dict[str, Any]:
    """What the kernel says as plain values; docs/kernel.md lists the keys."""
    source = kernel.symbol_source
    return {
        "schema": JSON_SCHEMA,
        "path": str(kernel.path),
        "size": kernel.size,
        "sha256": kernel.sha256,
        "os": kernel.os,
        "os_version": kernel.os_version,
        "banner": kernel.banner,
        "arch": kernel.arch,
        "format": kernel.container.value,
        "compression": kernel.compression.value,
        "unpacked_size": kernel.facts.unpacked_size,
        "entry": {
            "elf64": kernel.entry64,
            "pvh": kernel.pvh_entry,
            "bzimage64": kernel.bzimage_64bit_entry,
        },
        "symbols": {"source": source.value if source else None, "count": len(kernel.symbols)},
        "types": [one.value for one in kernel.types],
        "debug_file": str(kernel.debug_file.path) if kernel.debug_file else None,
        "debug_refused": [{"path": str(r.path), "why": r.why} for r in kernel.debug_refused],
        "orc": kernel.orc,
        "config": kernel.config,
        "clock_functions": kernel.clock_functions,
    }


def page(kernel: Kernel) -> Iterator[str]:
    """The lines that people read, none wider than 100 columns unless the path is."""
    yield _title(kernel)
    yield ""
    for label, text in _rows(kernel):
        yield from _row(label, text)
    yield ""
    yield from _clock_lines(kernel)


def _title(kernel: Kernel) -> str:
    from timehands.kernels.descriptions import OPERATING_SYSTEM

    name = OPERATING_SYSTEM.get(kernel.os, kernel.os)
    system = f"{name} {kernel.os_version}".strip()
    return f"{kernel.path}: {system}"


def _rows(kernel: Kernel) -> Iterator[tuple[str, str]]:
    if kernel.banner:
        yield "Banner", kernel.banner
    yield "Format", _format(kernel)
    yield "Entry", _entries(kernel)
    yield "Symbols", _symbols(kernel)
    yield "Types", _types(kernel)
    for one in kernel.debug_refused:
        yield "Not used", f"{one.path}: {one.why}"
    yield "Unwinding", "ORC" if kernel.orc else "no ORC tables"
    yield "Config", _config(kernel)
    yield "SHA-256", kernel.sha256


def _row(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _format(kernel: Kernel) -> str:
    text = f"{kernel.format}, {kernel.arch}, {_mib(kernel.size)}"
    if kernel.facts.is_plain_elf:
        return text
    return f"{text}, unpacks to {_mib(kernel.facts.unpacked_size)}"


def _entries(kernel: Kernel) -> str:
    pvh = kernel.pvh_entry
    entries = ["no PVH note: QEMU cannot boot its ELF" if pvh is None else f"PVH {pvh:#x}"]
    if kernel.entry64 is not None:
        entries.append(f"64-bit ELF {kernel.entry64:#x}")
    if kernel.bzimage_64bit_entry:
        entries.append("64-bit bzImage")
    return ", ".join(entries)


def _symbols(kernel: Kernel) -> str:
    from timehands.kernels.descriptions import SYMBOL_SOURCE

    source = kernel.symbol_source
    if source is None:
        return "none: neither an ELF symbol table nor kallsyms"
    return f"{len(kernel.symbols):,} from {SYMBOL_SOURCE[source]}"


def _types(kernel: Kernel) -> str:
    from timehands.kernels.descriptions import TYPE_SOURCE

    names = [TYPE_SOURCE[one] for one in kernel.types]
    if kernel.debug_file:
        names[0] += f" in {kernel.debug_file.path} ({kernel.debug_file.how})"
    return " and ".join(names) or "none: neither DWARF nor BTF"


def _config(kernel: Kernel) -> str:
    if kernel.config is None:
        return "not embedded"
    options = sum(line.startswith("CONFIG_") for line in kernel.config.splitlines())
    return f"embedded (IKCONFIG), {options:,} options set"


def _clock_lines(kernel: Kernel) -> Iterator[str]:
    """The clock functions by clock, of each system that has some."""
    from timehands.kernels.clockfunctions import CLOCK_FUNCTIONS
    from timehands.kernels.descriptions import OPERATING_SYSTEM

    if not kernel.clock_functions:
        yield "No clock function of a known operating system was found in its symbols."
    for system, names in kernel.clock_functions.items():
        clocks: dict[str, list[str]] = {}
        for one in CLOCK_FUNCTIONS[system]:
            if one.name in names:
                clocks.setdefault(one.clock, []).append(one.name)
        yield f"Clock functions of {OPERATING_SYSTEM[system]}: {len(names)}"
        for clock, found in clocks.items():
            yield from _row(f"  {clock}", " ".join(found))
