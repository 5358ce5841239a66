"""The disk, as a driver of virtio's block device finds it."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.devices.virtio.driver import DATA, MEMORY_BYTES, SIZE, WRITE, Driver, Part
from timehands.monitor.devices.virtio.block import Block
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile, Writes

SECTOR, SECTORS = 512, 8
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8
OK, ERROR, UNSUPPORTED = 0, 1, 2
HEADER, STATUS, BUFFER = DATA, DATA + 0x100, DATA + 0x1000
CONTENT = b"".join(bytes([each]) * SECTOR for each in range(SECTORS))
CAN_FLUSH = 1 << 9


class Drive(Driver):
    """A driver of a disk."""

    def __init__(self, path: Path, writes: Writes = Writes.KEPT, *, without: int = 0) -> None:
        path.write_bytes(CONTENT)
        self.file = DiskFile(Disk(path, writes))
        super().__init__(Block(self.file), without=without)

    def request(self, kind: int, sector: int, *parts: Part) -> tuple[int, int]:
        """The status, and how many bytes were written."""
        self.memory.write(HEADER, struct.pack("<IIQ", kind, 0, sector))
        self.memory.write(STATUS, b"\xee")
        written = self.ask(Part(HEADER, 16), *parts, Part(STATUS, 1, WRITE))
        return self.memory.read(STATUS, 1)[0], written

    def load(self, sector: int, size: int) -> tuple[int, int]:
        """Read to `BUFFER`."""
        return self.request(IN, sector, Part(BUFFER, size, WRITE))

    def store(self, sector: int, data: bytes) -> int:
        """Write; the status."""
        self.memory.write(BUFFER, data)
        return self.request(OUT, sector, Part(BUFFER, len(data)))[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the disk is."""
    return tmp_path / "disk"


@pytest.fixture
def drive(path: Path) -> Iterator[Drive]:
    """A driver of a disk that keeps what is written."""
    made = Drive(path)
    yield made
    made.file.close()


def test_it_says_how_large_it_is(drive: Drive) -> None:
    assert drive.read(0x008) == 2
    config = bytes(drive.transport.read(0x100 + at, 1) for at in range(32))
    assert struct.unpack_from("<QIIIII", config) == (SECTORS, 65536, 126, 0, SECTOR, 0)
    assert drive.transport.read(0x100, 8) == SECTORS
    assert drive.transport.read(0x114, 2) == SECTOR
    assert drive.transport.read(0xFF8, 8) == 0
    before = drive.transport.read(0x100, 4)
    drive.write(0x100, 77)
    assert drive.transport.read(0x100, 4) == before


@pytest.mark.parametrize("writes", list(Writes))
def test_it_says_whether_it_can_be_written(path: Path, writes: Writes) -> None:
    drive = Drive(path, writes)
    with drive.file:
        assert bool(drive.features & 1 << 5) is (writes is Writes.REFUSED)
        assert drive.features & 0b110 == 0b110
        assert drive.store(1, b"z" * SECTOR) == (ERROR if writes is Writes.REFUSED else OK)
        assert drive.load(1, SECTOR) == (OK, SECTOR + 1)
        there = drive.memory.read(BUFFER, SECTOR)
    assert there == (bytes([1]) if writes is Writes.REFUSED else b"z") * SECTOR
    assert (path.read_bytes() == CONTENT) is (writes is not Writes.KEPT)


def test_sectors_are_read_and_written_where_they_are(drive: Drive, path: Path) -> None:
    assert drive.load(2, 3 * SECTOR) == (OK, 3 * SECTOR + 1)
    assert drive.memory.read(BUFFER, 3 * SECTOR) == CONTENT[2 * SECTOR : 5 * SECTOR]
    assert drive.store(6, b"a" * SECTOR + b"b" * SECTOR) == OK
    assert path.read_bytes() == CONTENT[: 6 * SECTOR] + b"a" * SECTOR + b"b" * SECTOR
    assert drive.request(FLUSH, 0) == (OK, 1)


def test_it_may_be_asked_in_any_pieces(drive: Drive) -> None:
    """Also the status may share a buffer with the data (2.7.4: no assumptions about framing)."""
    drive.memory.write(HEADER, struct.pack("<IIQ", IN, 0, 3))
    drive.ask(Part(HEADER, 3), Part(HEADER + 3, 13), Part(BUFFER, SECTOR + 1, WRITE))
    assert drive.memory.read(BUFFER, SECTOR + 1) == bytes([3]) * SECTOR + b"\0"
    drive.memory.write(HEADER, struct.pack("<IIQ", OUT, 0, 3) + b"w" * SECTOR)
    # A status whose place is the header's, which has been read by then.
    drive.ask(Part(HEADER, 16 + SECTOR), Part(HEADER, 1, WRITE))
    assert drive.memory.read(HEADER, 1) == b"\0"
    assert drive.file.read(3, 1) == b"w" * SECTOR


@pytest.mark.parametrize(
    ("sector", "size"),
    [
        (SECTORS, SECTOR),
        (SECTORS - 1, 2 * SECTOR),
        (2**64 - 1, SECTOR),
        (2**63, SECTOR),
        (0, 1),
        (0, SECTOR - 1),
        (0, SECTOR + 1),
    ],
)
def test_what_is_not_on_the_disk_is_an_error(
    drive: Drive, path: Path, sector: int, size: int
) -> None:
    drive.memory.write(BUFFER, b"\x77" * size)
    assert drive.load(sector, size) == (ERROR, 1)
    assert drive.memory.read(BUFFER, size) == b"\x77" * size
    assert drive.store(sector, bytes(size)) == ERROR
    assert path.read_bytes() == CONTENT


def test_requests_of_no_sectors_are_done(drive: Drive) -> None:
    assert drive.request(IN, SECTORS) == (OK, 1)
    assert drive.request(OUT, 0) == (OK, 1)


def test_its_name_is_told(drive: Drive) -> None:
    assert drive.request(GET_ID, 0, Part(BUFFER, 20, WRITE)) == (OK, 21)
    assert drive.memory.read(BUFFER, 20) == b"timehands".ljust(20, b"\0")
    assert drive.request(GET_ID, 0, Part(BUFFER, 19, WRITE)) == (ERROR, 1)


@pytest.mark.parametrize("kind", [2, 3, 5, 11, 13, 0x80000000, 2**32 - 1])
def test_what_it_does_not_know_is_unsupported(drive: Drive, kind: int) -> None:
    assert drive.request(kind, 0, Part(BUFFER, SECTOR, WRITE)) == (UNSUPPORTED, 1)


def test_too_much_at_once_is_an_error(drive: Drive) -> None:
    """The same memory in each buffer: there is not so much of it."""
    many = [Part(0x20000, MEMORY_BYTES - 0x20000, WRITE)] * (SIZE - 2)
    assert drive.request(IN, 0, *many) == (ERROR, 1)


@pytest.mark.parametrize(
    "parts",
    [
        [Part(HEADER, 15), Part(STATUS, 1, WRITE)],
        [Part(HEADER, 16)],
        [Part(HEADER, 16), Part(STATUS, 0, WRITE)],
        [Part(STATUS, 1, WRITE)],
    ],
)
def test_a_request_that_is_none_breaks_it(drive: Drive, parts: list[Part]) -> None:
    drive.table(*parts)
    drive.offer()
    drive.notify()
    assert drive.transport.broken.startswith("a request without a header")


@pytest.mark.parametrize(("kind", "name"), [(IN, "read"), (OUT, "write"), (FLUSH, "flush")])
def test_errors_of_the_host_are_errors_of_the_disk(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, kind: int, name: str
) -> None:
    def fails(*_arguments: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(DiskFile, name, fails)
    flags = WRITE if kind == IN else 0
    assert drive.request(kind, 0, Part(BUFFER, SECTOR, flags)) == (ERROR, 1)


@pytest.mark.parametrize("without", [0, CAN_FLUSH])
def test_a_driver_that_cannot_flush_needs_not(
    path: Path, monkeypatch: pytest.MonkeyPatch, without: int
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(DiskFile, "flush", lambda _file: flushed.append("flush"))
    drive = Drive(path, without=without)
    with drive.file:
        assert drive.store(0, bytes(SECTOR)) == OK
        assert len(flushed) == (1 if without else 0)


#: Hosts are busy, and there is one folder for all examples.
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
REQUESTS = st.lists(
    st.tuples(st.sampled_from([IN, OUT]), st.integers(0, SECTORS), st.integers(0, 4)), max_size=12
)


@settings(suppress_health_check=SUPPRESSED)
@given(requests=REQUESTS)
def test_it_is_a_disk(path: Path, requests: list[tuple[int, int, int]]) -> None:
    """Against a plain one: a row of bytes."""
    plain, drive = bytearray(CONTENT), Drive(path)
    with drive.file:
        for number, (kind, sector, count) in enumerate(requests):
            at, size = sector * SECTOR, count * SECTOR
            fits = sector + count <= SECTORS
            if kind == OUT:
                data = bytes([number + 100]) * size
                assert drive.store(sector, data) == (OK if fits else ERROR)
                if fits:
                    plain[at : at + size] = data
            else:
                assert drive.load(sector, size)[0] == (OK if fits else ERROR)
                if fits:
                    assert drive.memory.read(BUFFER, size) == plain[at : at + size]
    assert path.read_bytes() == plain
