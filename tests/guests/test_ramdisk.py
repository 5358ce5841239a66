from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.guests.ramdisk import Sort, contents_of, on_linux, on_netbsd
from timehands.kernels.kernel import Kernel


def kernel(*names: str) -> Kernel:
    """A kernel that has these symbols."""
    lookup: Any = lambda name: [1] if name in names else []  # noqa: E731
    return cast(Kernel, SimpleNamespace(symbols=SimpleNamespace(lookup=lookup)))


ROOT_DISK = kernel("md_root_setconf")
CPIO = b"070701" + b"0" * 104


@pytest.mark.parametrize(
    ("head", "sort"),
    [
        (b"\x7fELF\2\1", Sort.MODULE),
        (b"\x89PNG\r\n", Sort.PICTURE),
        (b"\xff\xd8\xff\xe0", Sort.PICTURE),
        (CPIO, Sort.ARCHIVE),
        (gzip.compress(CPIO, mtime=0), Sort.COMPRESSED),
        (lzma.compress(CPIO), Sort.COMPRESSED),
        (b"", Sort.EMPTY),
        (bytes(1024), Sort.OTHER),
        (b"hello", Sort.OTHER),
    ],
)
def test_the_first_bytes_tell_what_it_is(head: bytes, sort: Sort) -> None:
    assert contents_of(head).sort is sort


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="no mke2fs")
def test_a_file_system_is_known_by_its_superblock(tmp_path: Path) -> None:
    image = tmp_path / "image"
    subprocess.run(["mke2fs", "-q", "-t", "ext2", image, "256k"], check=True, timeout=30)
    assert contents_of(image.read_bytes()[:65536]).name.startswith("an ext2")


def test_netbsd_without_a_memory_disk_does_not_look_at_it() -> None:
    for head in (b"", CPIO, b"\x7fELF", bytes(4096)):
        assert "no memory disk" in (on_netbsd(kernel(), head) or "")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x7fELF", "for a kernel module"),
        (b"\x89PNG", "for a splash screen"),
        (b"\xff\xd8\xff", "for a splash screen"),
        (CPIO, "it is a cpio archive"),
        (gzip.compress(CPIO, mtime=0), "it is compressed (gzip)"),
    ],
)
def test_netbsd_takes_it_by_its_first_bytes(head: bytes, said: str) -> None:
    assert said in (on_netbsd(ROOT_DISK, head) or "")


def test_netbsd_mounts_what_may_be_a_file_system() -> None:
    ufs = bytearray(16384)
    ufs[8192 + 1372 : 8192 + 1376] = (0x011954).to_bytes(4, "little")
    assert on_netbsd(ROOT_DISK, bytes(ufs)) is None
    assert on_netbsd(ROOT_DISK, bytes(4096)) is None


def test_linux_unpacks_archives_and_drops_or_keeps_the_rest() -> None:
    assert on_linux(kernel(), CPIO) is None
    assert on_linux(kernel(), bytes(512) + CPIO) is None
    assert on_linux(kernel(), gzip.compress(CPIO, mtime=0)) is None
    assert "drops" in (on_linux(kernel(), b"\x7fELF") or "")
    assert "/dev/ram0" in (on_linux(kernel("rd_load_image"), b"\x7fELF") or "")


@given(st.binary(max_size=4096))
def test_any_bytes_are_something(head: bytes) -> None:
    assert contents_of(head).name
    for known in (kernel(), ROOT_DISK):
        for system in (on_netbsd, on_linux):
            told = system(known, head)
            assert told is None or told.isprintable()
