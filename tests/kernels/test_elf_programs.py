"""The program headers and notes of a kernel, against those that the whole parser finds."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import build
from timehands.errors import KernelError
from timehands.kernels.elf import ElfImage, Note, Segment
from timehands.kernels.elf_programs import parse_programs

PLAIN = build.linux_elf(entry=0x1234)
SMALL = build.elf(
    [
        build.Part(".text", b"x" * 40, 0x100000),
        build.Part(".notes", build.pvh_note(0x100000, 4), kind=7, segment=4),
    ],
    bits=32,
)
#: What a boot loader takes from an ELF file.
Taken = tuple[int, int, tuple[Segment, ...], tuple[Note, ...]]


def taken(elf: ElfImage) -> Taken:
    return elf.bits, elf.entry, elf.loaded, elf.notes


@pytest.mark.parametrize("data", [PLAIN, SMALL], ids=["64 bits", "32 bits"])
def test_a_plain_file_is_read_without_its_sections(data: bytes) -> None:
    read = parse_programs(memoryview(data))
    assert read.sections == ()
    assert read.notes
    assert taken(read) == taken(ElfImage.parse(memoryview(data)))


def test_notes_that_only_sections_name_are_found() -> None:
    parts = [
        build.Part(".text", b"x", build.TEXT),
        build.Part(".notes", build.pvh_note(0x1234), kind=7),
    ]
    assert [n.type for n in parse_programs(memoryview(build.elf(parts))).notes] == [18]


@given(
    data=st.sampled_from([PLAIN, SMALL]),
    at=st.integers(0, 64 + 4 * 56),
    value=st.binary(min_size=1, max_size=8),
)
def test_a_damaged_header_is_read_as_the_whole_parser_reads_it(
    data: bytes, at: int, value: bytes
) -> None:
    damaged = memoryview(data[:at] + value + data[at + len(value) :])
    try:
        whole = taken(ElfImage.parse(damaged))
    except KernelError:
        try:
            assert parse_programs(damaged).sections == ()  # it was the sections that were broken
        except KernelError:
            return
        return
    assert taken(parse_programs(damaged)) == whole


@given(length=st.integers(0, 600))
def test_a_file_that_is_cut_short_is_no_traceback(length: int) -> None:
    with contextlib.suppress(KernelError):
        parse_programs(memoryview(PLAIN[:length]))
