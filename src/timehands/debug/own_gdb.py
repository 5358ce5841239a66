"""A guest for the user's own gdb: where its stub waits, and a file of commands to begin with.

gdb takes a kernel of a system that it was not built for by that system's rules, rejects QEMU's
description of the processor, and then fails with "Remote 'g' packet reply is too long". The file
says beforehand what the processor and the rules are, and connects before it loads symbols.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timehands.errors import HostError
from timehands.kernels.enums import SymbolSource
from timehands.kernels.kernel import Kernel
from timehands.kernels.symbol_file import symbol_file

#: A Unix socket's path has at most so many bytes (sys/un.h, sun_path).
_MAX_PATH: Final = 107
COMMANDS: Final = "commands.gdb"
SOCKET: Final = "gdb.sock"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stub waits: as QEMU is told (``device``), and as gdb is (``target``)."""

    device: str
    target: str

    @classmethod
    def socket_in(cls, folder: Path) -> Place:
        """A Unix socket in a private folder. Raises `HostError` when its path is too long."""
        path = str(folder / SOCKET)
        if len(os.fsencode(path)) > _MAX_PATH:
            raise HostError(f"a socket's path is too long: {path}", mend="set TMPDIR=/tmp")
        return cls("unix:" + path.replace(",", ",,"), path)

    @classmethod
    def port(cls, number: int) -> Place:
        """A TCP port of this host alone. Whoever may log in here may connect to it."""
        return cls(f"tcp:127.0.0.1:{number}", f"127.0.0.1:{number}")


def write_commands(folder: Path, kernel: Kernel, place: Place) -> Path:
    """Write what gdb is to begin with into a private folder; returns the file for ``gdb -x``."""
    symbols = kernel.elf_path()
    if kernel.symbol_source is not SymbolSource.ELF and len(kernel.symbols):
        symbols = folder / "symbols.elf"
        symbols.write_bytes(symbol_file(kernel))
    lines = [
        "set confirm off",
        "set architecture i386:x86-64",
        "set osabi none",
        f"target remote {place.target}",
        f"symbol-file {_quoted(symbols.absolute())}",
    ]
    path = folder / COMMANDS
    path.write_text("\n".join(lines) + "\n")
    return path


def _quoted(path: Path) -> str:
    """As gdb's commands take file names."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
