"""The conformance guest, built on first use: one ELF with a PVH note and a multiboot header."""

from __future__ import annotations

from pathlib import Path

from timehands.machines.build import BARE_FLAGS, PAYLOADS, build

SOURCES = (
    "bare.S", "conform_start.S", "bare_serial.c", "conform.c", "conform_words.c", "conform_smp.c",
    "conform_discovery.c", "conform_tsc.c", "conform_pvclock.c", "conform_lapic.c",
    "conform_i8254.c", "conform_rtc.c", "conform_sleeping.c", "conform_host.c", "bare.h",
    "conform.h", "conform.ld",
)  # fmt: skip


def conformance_guest() -> Path:
    """The program. Raises `CompilerMissing`."""
    flags = (*BARE_FLAGS, "-m32", "-march=i586", "-T", str(PAYLOADS / "conform.ld"))
    return build(SOURCES, flags, "conform")
