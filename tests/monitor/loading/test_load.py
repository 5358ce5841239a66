"""Kernels of each protocol in memory, with what they are told; files that make no sense."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.loading.files import HIGH, bzimage, elf, guest_memory, multiboot
from timehands.errors import KernelError, MachineError, NotAKernel
from timehands.monitor.layout import COMMAND_LINE, GIB, MIB, MP_TABLE, RSDP, START_INFO
from timehands.monitor.loading import Entry, Load, Placed, load

SIZE = 32 * MIB
CODE = b"\x90\x90\xf4\xeb\xfd"


def placed(
    kernel: bytes, command_line: str = "", initrd: bytes = b"", *, size: int = SIZE
) -> tuple[Placed, dict[int, bytes]]:
    """Where it all went, and the bytes at the addresses that matter."""
    with guest_memory(size) as memory:
        result = load(Load(memoryview(kernel), command_line, initrd), memory, size, 2)
        looked = {at: memory.read(at, 64) for at in (HIGH, START_INFO, COMMAND_LINE, MP_TABLE)}
        for at in (result.entry.rbx, result.entry.rsi):
            looked[at] = memory.read(at, 4096)
        if result.initrd:
            looked[result.initrd[0]] = memory.read(*result.initrd)
    return result, looked


def test_a_pvh_kernel_is_entered_at_its_note_with_start_info() -> None:
    kernel = elf([(HIGH, CODE, 4096)], entry=0xFFFFFFFF80100000, pvh=HIGH + 2)
    result, memory = placed(kernel, "boot_verbose=1", b"ramdisk")
    assert result.protocol == "PVH"
    assert result.entry == Entry(HIGH + 2, rbx=START_INFO)
    assert result.kernel_end == HIGH + 4096
    assert memory[HIGH].startswith(CODE + bytes(8))
    assert memory[COMMAND_LINE].startswith(b"boot_verbose=1\0")
    assert memory[MP_TABLE].startswith(b"_MP_")
    address, size = result.initrd or (0, 0)
    assert memory[address] == b"ramdisk"
    assert struct.unpack_from("<I", memory[START_INFO], 12)[0] == 1
    assert address % 4096 == 0 and address + size <= SIZE


def test_an_elf_kernel_with_a_multiboot_header_is_entered_where_elf_says() -> None:
    code = multiboot(flags=3) + CODE
    result, memory = placed(elf([(HIGH, code, len(code))], entry=HIGH + 32))
    assert (result.protocol, result.entry.rip) == ("multiboot", HIGH + 32)
    assert result.entry.rax == 0x2BADB002
    assert memory[HIGH].startswith(code[:64])


def test_a_flat_multiboot_kernel_is_told_of_memory_modules_and_command_line() -> None:
    result, memory = placed(multiboot(CODE), "x86/tsc", b"env")
    assert result.entry.rip == HIGH + 32
    info = struct.unpack_from("<13I", memory[result.entry.rbx])
    flags, lower, upper, command_line, count, modules, length, entries = (
        *info[:3], info[4], *info[5:7], *info[11:13]
    )  # fmt: skip
    assert flags == 0b1001101
    assert (lower, upper) == (639, SIZE // 1024 - 1024)
    assert command_line == COMMAND_LINE
    page, base = memory[result.entry.rbx], result.entry.rbx
    start, end = struct.unpack_from("<II", page, modules - base)
    assert count == 1 and (start, end - start) == result.initrd
    first = struct.unpack_from("<IQQI", page, entries - base)
    assert first == (20, 0, MP_TABLE, 1)
    assert length == 3 * 24


def test_the_header_of_a_flat_kernel_may_come_late() -> None:
    before = b"\x01" * 4096
    kernel = multiboot(CODE, header=HIGH + 4096, entry=HIGH + 4128, before=before)
    result, memory = placed(kernel)
    assert memory[HIGH] == before[:64]
    assert result.kernel_end == HIGH + len(kernel)


def test_a_bzimage_gets_its_header_back_in_the_zero_page() -> None:
    kernel = bzimage(CODE)
    result, memory = placed(kernel, "quiet", b"initrd")
    assert result.entry == Entry(HIGH, rsi=0x7000)
    assert result.kernel_end == 0x1000000 + 0x10000
    page = memory[0x7000]
    assert page[0x202:0x206] == b"HdrS"
    assert page[0x210] == 0xFF
    assert struct.unpack_from("<I", page, 0x228)[0] == COMMAND_LINE
    assert struct.unpack_from("<II", page, 0x218) == result.initrd
    assert page[0x1E8] == 3
    assert struct.unpack_from("<QQI", page, 0x2D0) == (0, MP_TABLE, 1)


@pytest.mark.parametrize("acpi", [True, False])
def test_acpi_is_told_of_when_asked_and_not_to_be_found_else(acpi: bool) -> None:
    for kernel, pointer in ((elf([(HIGH, CODE, 8)], pvh=HIGH), 0x6020), (bzimage(CODE), 0x7070)):
        with guest_memory(SIZE) as memory:
            load(Load(memoryview(kernel), acpi=acpi), memory, SIZE, 2)
            assert struct.unpack("<Q", memory.read(pointer, 8))[0] == (RSDP if acpi else 0)
            assert (memory.read(RSDP, 8) == b"RSD PTR ") is acpi


def test_a_ramdisk_stays_where_a_bzimage_can_reach_it() -> None:
    kernel = bzimage(CODE, initrd_max=0x37FFFFFF)
    address, size = placed(kernel, "", b"x" * 5000, size=GIB)[0].initrd or (0, 0)
    assert address + size <= 0x38000000
    address, _ = placed(elf([(HIGH, CODE, 8)], pvh=HIGH), "", b"x", size=GIB)[0].initrd or (0, 0)
    assert address == GIB - 4096


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (elf([(HIGH, CODE, 64 * MIB)], pvh=HIGH), "needs memory up to 0x4100000"),
        (elf([(HIGH, CODE, 8)], pvh=HIGH + 8), "is entered at 0x100008, outside of itself"),
        (elf([(0x1000, CODE, 8)], pvh=0x1000), "at 0x1000, below 1 MiB"),
        (elf([], pvh=HIGH), "no segment to load"),
        (elf([(1 << 63, CODE, 1 << 62)], pvh=HIGH), "needs memory up to"),
        (bzimage(b""), "ends before its protected-mode code"),
        (bzimage(protocol=0x0202), "boot protocol 2.02 is too old"),
        (bzimage(loadflags=0), "a bzImage are needed"),
        (bzimage(init_size=0xFFFFFFFF), "needs memory up to"),
        (bzimage(preferred=1 << 60), "needs memory up to"),
        (multiboot(load=0x8000), "which cannot be"),
        (multiboot(load_end=HIGH + 4096), "which cannot be"),
        (multiboot(load_end=HIGH - 1), "which cannot be"),
        (multiboot(header=HIGH - 4096), "which cannot be"),
        (multiboot(header=HIGH + 4096), "which cannot be"),
        (multiboot(bss_end=0xFFFFFFFF), "needs memory up to"),
        (multiboot(entry=0), "outside of itself"),
        (multiboot(flags=1 << 16 | 4), r"does not have \(flags 0x4\)"),
    ],
)
def test_what_cannot_be_is_refused_in_words(kernel: bytes, words: str) -> None:
    with pytest.raises(MachineError, match=words):
        placed(kernel)


@pytest.mark.parametrize("file", [b"", b"\x7fELF", b"MZ" * 600, elf([(HIGH, CODE, 8)])])
def test_a_file_of_no_known_protocol_is_no_kernel(file: bytes) -> None:
    with pytest.raises(KernelError):
        placed(file)


def test_a_file_without_any_header_says_what_was_looked_for() -> None:
    with pytest.raises(NotAKernel, match="neither a PVH note, nor a Linux boot header, nor"):
        placed(bytes(10000))


def test_a_ramdisk_that_does_not_fit_says_how_much_there_would_have_to_be() -> None:
    with pytest.raises(MachineError, match="need 33 MiB, and there are 32"):
        placed(elf([(HIGH, CODE, 8)], pvh=HIGH), "", bytes(32 * MIB - 4096))


@pytest.mark.parametrize(
    ("kernel", "command_line", "words"),
    [
        (multiboot(), "x" * 0x10000, "there is room for 65535"),
        (bzimage(), "x" * 2048, "has 2048 bytes; this kernel takes 2047"),
        (multiboot(), "a\0b", "cannot hold a NUL"),
    ],
)
def test_a_command_line_that_the_kernel_would_not_see_whole_is_refused(
    kernel: bytes, command_line: str, words: str
) -> None:
    with pytest.raises(MachineError, match=words):
        placed(kernel, command_line)


def test_bytes_of_a_command_line_that_are_no_text_come_through() -> None:
    _, memory = placed(multiboot(), b"name=\xff".decode(errors="surrogateescape"))
    assert memory[COMMAND_LINE].startswith(b"name=\xff\0")


BASES = st.sampled_from(
    [elf([(HIGH, CODE, 64)], pvh=HIGH), bzimage(CODE), multiboot(CODE), multiboot(flags=0)]
)
FLIPS = st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 255)), max_size=12)


@given(BASES, FLIPS, st.integers(0, 1200))
def test_hostile_files_load_or_are_refused_and_are_never_written_elsewhere(
    base: bytes, flips: list[tuple[int, int]], length: int
) -> None:
    file = bytearray(base)
    for at, value in flips:
        if at < len(file):
            file[at] = value
    refused(bytes(file))
    refused(bytes(file[:length]))


NUMBERS = st.one_of(st.integers(0, 1 << 32), st.sampled_from([0, HIGH, 2**31, 2**32 - 1]))


@given(st.lists(NUMBERS, min_size=5, max_size=5), st.binary(max_size=64))
def test_hostile_multiboot_headers(words: list[int], code: bytes) -> None:
    header, start, load_end, bss_end, entry = (word & 0xFFFFFFFF for word in words)
    refused(
        multiboot(code, header=header, load=start, load_end=load_end, bss_end=bss_end, entry=entry)
    )


def refused(file: bytes) -> None:
    """Loads a file in a small guest: it is placed within itself, or refused as users see it."""
    size = 4 * MIB
    with guest_memory(size) as memory:
        try:
            result = load(Load(memoryview(file)), memory, size, 1)
        except (MachineError, KernelError):
            return
        assert HIGH <= result.entry.rip < result.kernel_end <= size
