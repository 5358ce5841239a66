from __future__ import annotations

import pytest

from kernels import build
from timehands.kernels.elf import ElfImage, Note
from timehands.kernels.identity import Identity, identify, pvh_entry


def _elf(text: bytes, notes: bytes = b"") -> ElfImage:
    parts = [build.Part(".rodata", b"x" * 40 + text + b"\0" * 40, build.TEXT)]
    if notes:
        parts.append(build.Part(".notes", notes, kind=7, segment=4))
    return ElfImage.parse(memoryview(build.elf(parts)))


LINUX = b"Linux version 6.12.1-micro (me@host) (gcc 14) #1 SMP Fri\n"
FREEBSD = b"@(#)FreeBSD 14.2-RELEASE releng/14.2-n269506 FIRECRACKER\n"
NETBSD = b"@(#)NetBSD 10.1 (MICROVM) #0: Mon Dec 16"
OPENBSD = b"@(#)OpenBSD 7.6 (GENERIC) #332: Mon Sep 30"


@pytest.mark.parametrize(
    ("text", "os", "release"),
    [
        (LINUX, "linux", "6.12.1-micro"),
        (FREEBSD, "freebsd", "14.2-RELEASE"),
        (NETBSD, "netbsd", "10.1"),
        (OPENBSD, "openbsd", "7.6"),
        (b"Linux version %s, FreeBSD 4 compatible", "unknown", ""),
    ],
)
def test_a_banner_tells_the_system(text: bytes, os: str, release: str) -> None:
    found = identify(_elf(text))
    assert (found.os, found.release) == (os, release)


def test_a_note_is_believed_before_a_banner() -> None:
    found = identify(_elf(LINUX + FREEBSD, build.note(b"Xen", 6, b"FreeBSD\0")))
    assert (found.os, found.release) == ("freebsd", "14.2-RELEASE")


def test_a_note_of_its_own_tells_the_system() -> None:
    netbsd = build.note(b"NetBSD", 1, (1001000000).to_bytes(4, "little"))
    assert identify(_elf(b"", netbsd)) == Identity("netbsd", "", "")


def test_the_banner_with_a_build_number_is_the_real_one() -> None:
    draft = LINUX.replace(b"#1", b"#")
    assert "#1 SMP" in identify(_elf(draft + LINUX)).banner
    assert identify(_elf(draft)).release == "6.12.1-micro"


def test_a_banner_has_nothing_that_a_terminal_obeys() -> None:
    assert "\x1b" not in identify(_elf(b"Linux version 6.1\x1b[2J (x) #1\n")).banner


@pytest.mark.parametrize("size", [4, 8])
def test_the_pvh_entry_may_have_four_bytes_or_eight(size: int) -> None:
    notes = (Note(b"Linux", 18, b"1234"), Note(b"Xen", 18, (0x1000850).to_bytes(size, "little")))
    assert pvh_entry(notes) == 0x1000850


def test_a_pvh_note_of_another_size_is_none() -> None:
    assert pvh_entry((Note(b"Xen", 18, b"123"),)) is None
