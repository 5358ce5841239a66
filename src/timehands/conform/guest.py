"""The conformance guest, built on first use: one ELF64 with a PVH note and a multiboot header."""

from __future__ import annotations

import tempfile
from pathlib import Path

from timehands.conform.elf64 import widened
from timehands.machines.build import BARE_FLAGS, PAYLOADS, build

SOURCES = (
    "bare.S", "conform_start.S", "bare_serial.c", "conform.c", "conform_words.c", "conform_smp.c",
    "conform_turns.c", "conform_discovery.c", "conform_tsc.c", "conform_pvclock.c",
    "conform_pvclock_smp.c", "conform_lapic.c", "conform_i8254.c", "conform_rtc.c",
    "conform_sleeping.c", "conform_host.c", "bare.h", "conform.h", "conform_turns.h",
    "conform_pvclock.h", "conform.ld",
)  # fmt: skip


def conformance_guest() -> Path:
    """The program. Raises `CompilerMissing`."""
    flags = (*BARE_FLAGS, "-m32", "-march=i586", "-T", str(PAYLOADS / "conform.ld"))
    narrow = build(SOURCES, flags, "conform")
    wide = narrow.with_name(f"{narrow.name}64")
    if not wide.exists():
        _write(wide, widened(narrow.read_bytes()))
    return wide


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing: others may be doing the same."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(path)
