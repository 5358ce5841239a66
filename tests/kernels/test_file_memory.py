"""The oracle is the program: its own symbols and data."""

from __future__ import annotations

import pytest

from kernels.compiled import Program
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.memory import Unreadable


def test_data_is_what_the_file_holds_at_its_address(program: Program) -> None:
    memory = FileMemory(program.elf)
    (numbers,) = program.symbols.lookup("numbers")
    assert memory.read(numbers, 12) == b"\1\0\0\0\2\0\0\0\3\0\0\0"
    text = program.elf.section(".text")
    assert text is not None
    assert memory.read(text.address, text.size) == bytes(program.elf.contents(text))


def test_what_no_segment_holds_cannot_be_read(program: Program) -> None:
    memory = FileMemory(program.elf)
    last = max(one.vaddr + one.memsz for one in program.elf.loaded)
    assert memory.read(last - 1, 1) is not None
    for address, length in (
        (0, 1),
        (last - 1, 2),
        (last, 1),
        (-1, 1),
        (1 << 64, 1),
        (last - 1, -1),
    ):
        with pytest.raises(Unreadable):
            memory.read(address, length)
