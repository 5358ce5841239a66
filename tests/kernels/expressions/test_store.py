"""The oracle for where things are is the program itself, as the compiler laid it out."""

from __future__ import annotations

import pytest

from kernels.compiled import Program
from timehands.errors import ExpressionError
from timehands.kernels.expressions import Environment, SetMemory, SetRegister, assign
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.values import Reading


def environment(program: Program) -> Environment:
    reading = Reading(FileMemory(program.elf), {"rax": 0x1122334455667788}, program.symbols)
    return Environment(reading, program.types)


def test_a_variable_is_written_where_it_is(program: Program) -> None:
    (at,) = program.symbols.lookup("first")
    struct = program.types.struct("timecounter")
    assert struct
    member = struct.member("tc_frequency")
    assert member
    expected = SetMemory(at + member.offset, (2500000000).to_bytes(8, "little"))
    for text in ("first.tc_frequency = 2500000000", "timecounter->tc_frequency=2500000000UL",
                 "*&first.tc_frequency = 250 * 10000000l"):  # fmt: skip
        assert assign(text, environment(program)) == expected


def test_a_smaller_variable_gets_the_low_bytes(program: Program) -> None:
    (at,) = program.symbols.lookup("negative")
    assert assign("negative = 0x1ff", environment(program)) == SetMemory(at, b"\xff")
    assert assign("negative -= 1", environment(program)) == SetMemory(at, b"\xfa")


def test_a_bit_field_leaves_the_others_as_they_were(program: Program) -> None:
    here = environment(program)
    change = assign("first.wider = 1", here)
    assert isinstance(change, SetMemory)
    before = int.from_bytes(here.reading.memory.read(change.address, len(change.data)), "little")
    after = int.from_bytes(change.data, "little")
    struct = program.types.struct("timecounter")
    assert struct
    member = struct.member("wider")
    assert member
    start = member.bit_offset % 8
    mask = 0x1FF << start
    assert after & mask == 1 << start and before & mask == 300 << start
    assert after & ~mask == before & ~mask


def test_a_register_is_written_whole(program: Program) -> None:
    assert assign("$rax = -1", environment(program)) == SetRegister("rax", (1 << 64) - 1)
    assert assign("$rax |= 1", environment(program)) == SetRegister("rax", 0x1122334455667789)


@pytest.mark.parametrize(
    "text",
    ["1 = 2", "first = 1", "first.grid = 1", "get = 1", "first.tc_frequency", "TSC = 1", "= 1",
     "first.tc_frequency = 1 / 0", "nothing = 1", "first.tc_frequency = ", "a = b = c",
     "timecounter->tc_next->tc_next->tc_quality = 1"],
)  # fmt: skip
def test_what_cannot_be_assigned_says_so(program: Program, text: str) -> None:
    with pytest.raises(ExpressionError):
        assign(text, environment(program))
