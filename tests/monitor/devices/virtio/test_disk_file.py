"""The file under a guest's disk: what is one, who may have it, and what becomes of writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from timehands.errors import MachineError
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile, Identity, Writes
from timehands.monitor.devices.virtio.overlay import SECTOR


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A disk of four sectors, filled with their numbers."""
    result = tmp_path / "disk"
    result.write_bytes(b"".join(bytes([each]) * SECTOR for each in range(4)))
    return result


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("writes", [Writes.KEPT, Writes.DROPPED])
def test_what_is_written_is_read_again_and_in_the_file_if_it_is_kept(
    path: Path, writes: Writes
) -> None:
    before, new = path.read_bytes(), b"x" * SECTOR
    with DiskFile(Disk(path, writes)) as file:
        assert file.sectors == 4
        file.write(1, new)
        file.flush()
        assert file.read(0, 3) == before[:SECTOR] + new + before[2 * SECTOR : 3 * SECTOR]
        assert file.wrote is (writes is Writes.DROPPED)
    kept = before[:SECTOR] + new + before[2 * SECTOR :]
    assert path.read_bytes() == (kept if writes is Writes.KEPT else before)


def test_the_end_of_a_disk_that_is_only_read_is_filled_with_zeros(path: Path) -> None:
    path.write_bytes(b"y" * (SECTOR + 1))
    for writes in (Writes.REFUSED, Writes.DROPPED):
        with DiskFile(Disk(path, writes)) as file:
            assert file.sectors == 2
            assert file.read(1, 1) == b"y".ljust(SECTOR, b"\0")


@pytest.mark.parametrize("writes", list(Writes))
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this disk is empty"),
        (b"QFI\xfb" + bytes(508), "qemu-img convert -O raw"),
    ],
)
def test_files_that_are_no_disks(path: Path, writes: Writes, content: bytes, words: str) -> None:
    path.write_bytes(content)
    before = descriptors()
    with pytest.raises(MachineError) as caught:
        DiskFile(Disk(path, writes))
    assert words in str(caught.value) + caught.value.advice
    assert descriptors() == before


def test_a_disk_that_is_written_is_of_whole_sectors(path: Path) -> None:
    path.write_bytes(bytes(SECTOR + 1))
    with pytest.raises(MachineError, match="513 bytes, which are no whole sectors") as caught:
        DiskFile(Disk(path))
    assert "truncate -s %512" in caught.value.advice


def test_what_is_no_file_is_not_even_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(MachineError, match="a file or a block device, which this is not"):
            DiskFile(Disk(path))


@pytest.mark.parametrize("name", ["nowhere", "no\0path", "no\ud800path", "x" * 300])
def test_what_cannot_be_opened_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(MachineError, match="the disk cannot be opened"):
        DiskFile(Disk(tmp_path / name))


def test_one_that_writes_has_it_alone(path: Path) -> None:
    before = descriptors()
    with DiskFile(Disk(path)):
        for writes in Writes:
            with pytest.raises(MachineError, match="another guest has this disk"):
                DiskFile(Disk(path, writes))
    others = Disk(path, Writes.REFUSED), Disk(path, Writes.DROPPED)
    refused = pytest.raises(MachineError, match="another guest has this disk")
    with DiskFile(others[0]), DiskFile(others[1]), refused:
        DiskFile(Disk(path))
    assert descriptors() == before


def test_it_is_known_again_until_it_is_written(path: Path) -> None:
    with DiskFile(Disk(path)) as file:
        first = file.identity()
        file.write(0, b"1" * SECTOR)
        second = file.identity()
        assert file.identity() == second != first
    with DiskFile(Disk(path, Writes.REFUSED)) as file:
        assert file.identity() == second
    with DiskFile(Disk(path)) as file:
        assert file.identity() == second
        file.write(0, b"2" * SECTOR)
    with DiskFile(Disk(path)) as file:
        assert file.identity() != second


def test_what_is_dropped_leaves_it_as_it_was(path: Path) -> None:
    with DiskFile(Disk(path, Writes.DROPPED)) as file:
        before = file.identity()
        file.write(0, b"1" * SECTOR)
        assert file.identity() == before
    assert before == Identity(4 * SECTOR, path.stat().st_mtime_ns)


def test_one_that_was_closed_answers_with_an_error(path: Path) -> None:
    file = DiskFile(Disk(path))
    file.close()
    file.close()
    for access in (lambda: file.read(0, 1), lambda: file.write(0, bytes(SECTOR)), file.flush):
        with pytest.raises(OSError, match="Bad file descriptor"):
            access()
