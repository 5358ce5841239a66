"""The guest's file: what loaders look for is where they look for it."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from timehands.conform.elf64 import widened
from timehands.conform.guest import conformance_guest
from timehands.errors import CompilerMissing
from timehands.kernels.kernel import Kernel
from timehands.machines.build import compiler

MULTIBOOT = 0x1BADB002
ADDRESSES = 1 << 16


@pytest.fixture
def guest() -> bytes:
    try:
        compiler()
        return conformance_guest().read_bytes()
    except CompilerMissing as error:
        pytest.skip(error.message)


def test_it_is_small_and_elf64(guest: bytes) -> None:
    assert len(guest) < 64 << 10
    assert guest[:6] == b"\x7fELF\x02\x01"  # rust-vmm's loader takes no ELF32


def test_its_pvh_entry_is_its_entry(guest: bytes) -> None:
    assert Kernel.open(conformance_guest()).pvh_entry == struct.unpack_from("<Q", guest, 24)[0]


def test_readelf_finds_the_note_and_one_segment() -> None:
    readelf = shutil.which("readelf") or pytest.skip("no readelf")
    try:
        words = [readelf, "-W", "-l", "-n", str(conformance_guest())]
    except CompilerMissing as error:
        pytest.skip(error.message)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    loaded = [line for line in lines if line[:1] == ["LOAD"]]
    assert [line[2] for line in loaded] == ["0x0000000000100000"]
    assert ["Xen", "0x00000008"] in [line[:2] for line in lines]
    assert not done.stderr


def test_its_multiboot_header_tells_where_all_of_it_belongs(guest: bytes) -> None:
    at = next(at for at in range(0, 8192, 4) if struct.unpack_from("<I", guest, at)[0] == MULTIBOOT)
    magic, flags, checksum, header, load, load_end, bss_end, entry = struct.unpack_from(
        "<8I", guest, at
    )
    assert (magic + flags + checksum) % (1 << 32) == 0
    assert flags == ADDRESSES
    assert at - (header - load) + (load_end - load) == len(guest)
    assert load < entry < load_end < bss_end
    assert entry == struct.unpack_from("<Q", guest, 24)[0]


def test_a_file_of_two_segments_is_refused() -> None:
    header = b"\x7fELF\x01\x01\x01".ljust(24, b"\0") + struct.pack("<II", 0x1000, 52)
    header = header.ljust(44, b"\0") + struct.pack("<H", 2)
    program = struct.pack("<8I", 1, 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="2 loaded segments"):
        widened(header.ljust(52, b"\0") + 2 * program)
