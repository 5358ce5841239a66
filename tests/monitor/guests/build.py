"""Guests of a few lines of C that do to the monitor what a test is about: built at test time."""

from __future__ import annotations

from pathlib import Path

from timehands.machines.build import BARE_FLAGS, PAYLOADS, build

HERE = Path(__file__).resolve().parent
_HEADERS = tuple(str(HERE / name) for name in ("guest.h", "time_page.h"))
_COMMON = ("bare.S", "bare_serial.c", "bare.h", "bare.ld", *_HEADERS)


def guest(name: str, *others: str) -> bytes:
    """The ELF file of ``<name>.c``, of ``others`` beside it, and of what bare guests are made of.

    Raises `CompilerMissing`.
    """
    own = tuple(str(HERE / each) for each in (f"{name}.c", *others))
    script = str(PAYLOADS / "bare.ld")
    flags = (*BARE_FLAGS, "-m32", "-march=i686", "-I", str(HERE), "-T", script)
    return build((*own, *_COMMON), flags, f"test-{name}").read_bytes()
