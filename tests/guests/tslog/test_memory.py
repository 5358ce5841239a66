"""Reading a log from a guest's memory, in both kernels' layouts, whole and damaged."""

from __future__ import annotations

import asyncio
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import build
from timehands.guests.tslog import MOST_RECORDS, Record, Tslog, What, read_tslog
from timehands.guests.tslog.memory import Layout, layout_of
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory, Pages, Unreadable, settle

FREEBSD = b"@(#)FreeBSD 14.2-RELEASE GENERIC\n\0FreeBSD 14.2-RELEASE GENERIC\0"
NETBSD = b"NetBSD 10.99.12 (MICROVM) #0: Sat Jan 11 00:00:00 UTC 2025\n\0"
COUNTER = build.RODATA + 0x20_0000
TABLE = COUNTER + 0x1000
HEAP = 0xFFFF_F800_0010_0000
ROOM = 100
RECORD = {"freebsd": struct.Struct("<Qi4xQQQ"), "netbsd": struct.Struct("<iiQQQ")}


class Guest:
    """Memory that holds a log."""

    def __init__(
        self, system: str, rows: list[tuple[int, ...]], written: int | None = None
    ) -> None:
        table = b"".join(RECORD[system].pack(*row) for row in rows)
        count = len(rows) if written is None else written
        self.fetches = 0
        self.parts = {
            COUNTER: struct.pack("<q", count).ljust(0x1000, b"\0"),
            TABLE: table.ljust(ROOM * RECORD[system].size, b"\0").ljust(0x2000, b"\0"),
            HEAP: (b"pagedaemon: dom0\0bell\x07\n\0" + b"x" * 400).ljust(0x1000, b"\0"),
        }

    def read(self, address: int, length: int) -> bytes:
        """See `Memory`."""
        for start, data in self.parts.items():
            if start <= address and address + length <= start + len(data):
                return data[address - start :][:length]
        raise Unreadable(address, length)

    async def fetch(self, address: int, length: int) -> bytes | None:
        """As a guest answers."""
        self.fetches += 1
        try:
            return self.read(address, length)
        except Unreadable:
            return None


def kernel(folder: Path, system: str, room: int = ROOM) -> tuple[Kernel, int]:
    """A kernel of a system with TSLOG, and where its string ``DELAY`` is."""
    banner = FREEBSD if system == "freebsd" else NETBSD
    names = b"\0nrecs\0timestamps\0"
    size = room * RECORD[system].size
    table = bytes(24) + struct.pack("<IBBHQQ", 1, 1, 0, 3, COUNTER, 8)
    table += struct.pack("<IBBHQQ", 7, 1, 0, 3, TABLE, size)
    parts = [
        build.Part(".text", b"\x90" * 64, build.TEXT, flags=6),
        build.Part(".rodata", banner + b"DELAY\0", build.RODATA),
        build.Part(".bss", b"", COUNTER, kind=8, flags=3, memsz=0x10000),
        build.Part(".symtab", table, kind=2, flags=0, segment=0),
        build.Part(".strtab", names, kind=3, flags=0, segment=0),
    ]
    data = bytearray(build.elf(parts))
    struct.pack_into("<I", data, 64 + 56 + 4, 4)  # .rodata's segment may not be written
    (folder / "k").write_bytes(data)
    opened = Kernel.open(folder / "k", cache=False)
    assert opened.os == system
    return opened, build.RODATA + len(banner)


@pytest.mark.parametrize("system", RECORD)
def test_records_and_their_strings_are_read(system: str, tmp_path: Path) -> None:
    opened, delay = kernel(tmp_path, system)
    thread = 1 if system == "netbsd" else 0xFFFF_FFFF_8000_1000
    rows = [
        (thread, 0, delay, 0, 100),
        (thread, 2, HEAP, 0, 200),
        (thread, 1, delay, HEAP + 17, 300),
    ]
    guest = Guest(system, rows)
    found = read_tslog(opened, guest)
    assert found is not None
    assert found.records == (
        Record(thread, What.ENTER, 100, "DELAY"),
        Record(thread, What.THREAD, 200, "pagedaemon: dom0"),
        Record(thread, What.EXIT, 300, "DELAY", "bell??"),
    )
    assert found.pointers is (system == "freebsd")
    by_fetching = asyncio.run(settle(lambda m: read_tslog(opened, m), Pages(256), guest.fetch))
    assert by_fetching == found


def test_many_strings_are_fetched_together_and_the_log_is_read_few_times(tmp_path: Path) -> None:
    opened, _ = kernel(tmp_path, "freebsd")
    heap = b"".join(b"%063d\0" % n for n in range(4 * ROOM))
    rows = [(1, 0, HEAP + 64 * 4 * n, HEAP + 64 * (4 * n + 1), n) for n in range(ROOM)]
    guest = Guest("freebsd", rows)
    guest.parts[HEAP] = heap.ljust(0x8000, b"\0")
    runs = 0

    def reader(memory: Memory) -> Tslog | None:
        nonlocal runs
        runs += 1
        return read_tslog(opened, memory)

    found = asyncio.run(settle(reader, Pages(256), guest.fetch))
    assert found == read_tslog(opened, guest)
    assert found is not None and found.records[7].detail == f"{29:063d}"
    assert (runs, guest.fetches) == (4, 3)


def test_strings_all_over_memory_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timehands.guests.tslog.memory._MOST_PAGES", 2)
    opened, delay = kernel(tmp_path, "freebsd")
    rows = [(1, 0, delay, HEAP + 0x1000 * n, n) for n in range(5)]
    guest = Guest("freebsd", rows)
    guest.parts[HEAP] = b"name".ljust(0x1000, b"\0") * 6
    found = read_tslog(opened, guest)
    assert found is not None
    assert [r.detail for r in found.records[1:]] == [
        "name", *(f"{HEAP + 0x1000 * n:#x}" for n in (2, 3, 4)),
    ]  # fmt: skip


def test_strings_without_an_end_or_a_place_are_bounded(tmp_path: Path) -> None:
    opened, delay = kernel(tmp_path, "freebsd")
    rows = [(1, 0, HEAP + 25, 0, 1), (1, 0, 0xDEAD, 0, 2), (1, 0, delay, HEAP + 0x800, 3)]
    found = read_tslog(opened, Guest("freebsd", rows))
    assert found is not None
    assert [r.name for r in found.records] == ["x" * 256, "0xdead", "DELAY"]
    assert found.records[2].detail == f"{HEAP + 0x800:#x}"


def test_records_that_make_no_sense_are_counted(tmp_path: Path) -> None:
    opened, delay = kernel(tmp_path, "freebsd")
    rows = [(1, 0, delay, 0, 1), (0, 0, 0, 0, 0), (1, 77, delay, 0, 3), (1, -1, delay, 0, 3)]
    found = read_tslog(opened, Guest("freebsd", rows))
    assert found is not None
    assert (len(found.records), found.damaged, found.written) == (1, 3, 4)


@pytest.mark.parametrize(("written", "read"), [(10**9, ROOM), (0, 0), (-5, 0), (3, 3)])
def test_no_more_is_read_than_there_is_room_for(written: int, read: int, tmp_path: Path) -> None:
    opened, delay = kernel(tmp_path, "freebsd")
    found = read_tslog(opened, Guest("freebsd", [(1, 0, delay, 0, 1)] * ROOM, written))
    assert found is not None
    assert len(found.records) == read
    assert found.written == max(written, 0)


def test_without_tslog_or_without_memory_there_is_no_log(tmp_path: Path) -> None:
    opened, _ = kernel(tmp_path, "freebsd")
    guest = Guest("freebsd", [])
    del guest.parts[COUNTER]
    assert read_tslog(opened, guest) is None
    (tmp_path / "l").write_bytes(build.linux_elf(build.LAYOUTS["6.2-relative"]))
    assert read_tslog(Kernel.open(tmp_path / "l", cache=False), guest) is None


def test_without_a_size_there_is_room_for_as_many_as_kernels_have(tmp_path: Path) -> None:
    assert layout_of(kernel(tmp_path, "netbsd", 0)[0])[1] == MOST_RECORDS


SOURCE = """
struct timestamp { %s int type; const char *f; const char *s; unsigned long tsc; };
static struct timestamp timestamps[1234]; static volatile long nrecs;
const char note[] = "%s";
void _start(void) { timestamps[nrecs].f = note; nrecs++; for (;;) ; }
"""


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        ("void *td;", Layout(40, 0, 8, 16, 24, 32)),
        ("int lid;", Layout(32, 0, 4, 8, 16, 24, td_size=4)),
        ("long more; void *td;", Layout(48, 8, 16, 24, 32, 40)),
    ],
)
def test_dwarf_tells_the_layout_that_the_compiler_made(
    first: str, wanted: Layout, tmp_path: Path
) -> None:
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    (tmp_path / "k.c").write_text(SOURCE % (first, "FreeBSD 14.2-RELEASE GENERIC"))
    command = "gcc -g -nostdlib -static -fno-pie -no-pie -o k k.c"
    subprocess.run(command.split(), cwd=tmp_path, check=True, timeout=60)
    assert layout_of(Kernel.open(tmp_path / "k", cache=False)) == (wanted, 1234)


@given(st.binary(max_size=2000), st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_memory_gives_a_log(any_kernel: Kernel, data: bytes, written: int) -> None:
    guest = Guest("freebsd", [], written)
    guest.parts[TABLE] = data + guest.parts[TABLE][len(data) :]
    found = read_tslog(any_kernel, guest)
    assert found is not None
    assert len(found.records) + found.damaged == min(max(written, 0), ROOM)


@pytest.fixture(scope="module")
def any_kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """A FreeBSD kernel with TSLOG."""
    return kernel(tmp_path_factory.mktemp("k"), "freebsd")[0]
