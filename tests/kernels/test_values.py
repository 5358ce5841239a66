"""The oracle is gdb, which prints the same variables from the same file."""

from __future__ import annotations

import re

import pytest

from kernels.compiled import Program, run
from timehands.errors import NoSuchMember, UsageError, ValueUnreadable
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.memory import Unreadable
from timehands.kernels.places import Gone, InMemory, InRegister, Known, Pieces
from timehands.kernels.types import (
    CHAR,
    INT,
    UNSIGNED_LONG,
    Array,
    Enum,
    Member,
    Struct,
    pointer_to,
)
from timehands.kernels.values import Reading, Value, escape, follow, literal, register_value


class Bytes:
    """Memory of a few bytes at an address; the rest cannot be read."""

    def __init__(self, start: int, data: bytes) -> None:
        self.start, self.data = start, data

    def read(self, address: int, length: int) -> bytes:
        at = address - self.start
        if at < 0 or at + length > len(self.data):
            raise Unreadable(address, length)
        return self.data[at : at + length]


NOTHING = Reading(Bytes(0, b""))


def variable(program: Program, name: str) -> Value:
    found = program.types.variable(name)
    assert found is not None
    reading = Reading(FileMemory(program.elf), {}, program.symbols)
    return Value(found.type, reading, InMemory(found.address))


def test_values_print_as_in_gdb(program: Program) -> None:
    names = ("first.tc_name", "second.tc_name", "first.tc_get_timecount",
             "first.mode", "second.mode", "first.bits", "second.bits", "first.wide", "first.both",
             "first.narrow", "first.wider", "first.signed_bits", "first.far", "first.on",
             "first.ready", "first.tc_next", "numbers", "negative", "real", "first.letter",
             "second.text", "list", "second.tc_quality")  # fmt: skip
    asked = [f"-ex=output {name}" for name in names]
    separated = [word for one in asked for word in (one, "-ex=echo \\n")]
    theirs = run(["gdb", "-nx", "-batch", *separated, str(program.path)]).splitlines()
    ours = []
    for name in names:
        first, *members = name.split(".")
        value = variable(program, first)
        for member in members:
            value = value.member(member)
        ours.append(value.format())
    # gdb says the type of a lone pointer, writes long runs of equal elements in its own way
    theirs = [re.sub(r"^\((?:struct|timecounter).*?\*\)+ ", "", one) for one in theirs]
    assert ours == theirs


def test_members_are_reached_as_attributes_through_pointers(program: Program) -> None:
    tc = variable(program, "timecounter")
    assert str(tc.tc_name) == "i8254"
    assert int(tc.tc_frequency) == 1193182
    assert str(tc.tc_next.tc_name) == 'TSC\\n\\"x\\"\\001'
    assert tc["tc_next"].tc_quality == -1000
    assert [int(one) for one in tc.grid[0]] == [1, 2, 3, 4, 5]
    assert tc.letter == ord("Q") and tc.both.low == 0
    assert int(tc.deref().address_of()) == int(tc)
    assert tc.tc_name[1] == ord("8") and len(tc.text) == 8


def test_a_member_that_is_not_there_names_those_like_it(program: Program) -> None:
    tc = variable(program, "timecounter")
    with pytest.raises(NoSuchMember, match="Perhaps tc_name"):
        _ = tc.tc_nam
    assert not hasattr(tc, "nothing")
    with pytest.raises(NoSuchMember, match="only declared"):
        _ = variable(program, "first").unknown.member("x")
    with pytest.raises(UsageError, match="no pointer"):
        tc.tc_frequency.deref()


def test_a_list_is_followed_to_its_end(program: Program) -> None:
    chain = follow(variable(program, "timecounter"), "tc_next")
    assert [str(one.tc_name)[:3] for one in chain] == ["i82", "TSC"] and chain.end == ""


def node(links: dict[int, int]) -> tuple[Reading, Struct]:
    """A memory of nodes of 8 bytes from 0x1000, each with the address of the next."""
    struct = Struct("node", 8, False, True, lambda: (Member("next", lambda: to_node, 0),))
    to_node = pointer_to(struct)
    size = max(links) + 8 - 0x1000
    data = bytearray(size)
    for at, link in links.items():
        data[at - 0x1000 : at - 0x1000 + 8] = link.to_bytes(8, "little")
    return Reading(Bytes(0x1000, bytes(data))), struct


@pytest.mark.parametrize(
    ("links", "count", "end"),
    [
        ({0x1000: 0x1008, 0x1008: 0x1000}, 2, "it goes in circles, back to 0x1000"),
        ({0x1000: 0x1000}, 1, "it goes in circles, back to 0x1000"),
        ({0x1000: 0xDEAD0000}, 1, "cannot be read at 0xdead0000"),
        ({0x1000 + 8 * n: 0x1008 + 8 * n for n in range(9)}, 5, "more than 5 elements"),
    ],
)
def test_a_list_that_has_no_end_says_why_it_stops(
    links: dict[int, int], count: int, end: str
) -> None:
    reading, struct = node(links)
    chain = follow(literal(pointer_to(struct), 0x1000, reading), "next", most=5)
    assert (len(chain), chain.end) == (count, end)


def test_what_cannot_be_read_says_so_and_is_no_number() -> None:
    value = Value(INT, NOTHING, InMemory(0x123))
    assert value.format() == "<cannot be read at 0x123>"
    with pytest.raises(ValueUnreadable) as raised:
        int(value)
    assert raised.value.address == 0x123
    gone = Value(INT, NOTHING, Gone())
    assert gone.format() == "<optimised out>"
    with pytest.raises(ValueUnreadable, match="optimised out"):
        int(gone)
    text = literal(pointer_to(CHAR), 0x50, NOTHING)
    assert text.format() == "0x50 <cannot be read at 0x50>"
    assert Value(pointer_to(INT), NOTHING, Gone()).deref().format() == "<optimised out>"


def test_a_string_ends_where_memory_does() -> None:
    reading = Reading(Bytes(0x1000, b"a" * 64))
    value = literal(pointer_to(CHAR), 0x1000, reading)
    assert value.string() == "a" * 64 + "..."
    assert value.string(5) == "aaaaa..."


def test_a_value_may_lie_in_several_places() -> None:
    reading = Reading(Bytes(0, b""), {"rax": 0x11223344_55667788, "rdx": 0xAA})
    place = Pieces(((InRegister("rax"), 4), (InRegister("rdx"), 4)))
    assert Value(UNSIGNED_LONG, reading, place) == 0x000000AA_55667788
    struct = Struct("s", 8, False, True, lambda: (Member("a", lambda: INT, 0),
                                                  Member("b", lambda: INT, 32)))  # fmt: skip
    value = Value(struct, reading, InRegister("rax"))
    assert [int(value.a), int(value.b)] == [0x55667788, 0x11223344]
    assert Value(INT, reading, InRegister("r9")).format() == "<the register r9 is not known>"
    assert Value(INT, reading, Known(b"x")).format() == "<only 1 of 4 bytes are known>"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rax", 0x1122334455667788), ("eax", 0x55667788), ("ax", 0x7788), ("al", 0x88), ("ah", 0x77),
     ("sil", 0xFE), ("r10d", 0xCAFEF00D), ("r10w", 0xF00D), ("r10b", 0x0D), ("pc", 5),
     ("esi", 0xFE)],
)  # fmt: skip
def test_parts_of_registers_go_by_their_names(name: str, expected: int) -> None:
    registers = {"rax": 0x1122334455667788, "rsi": 0xFE, "r10": 0xDCAFEF00D, "rip": 5}
    value = register_value(name, Reading(Bytes(0, b""), registers))
    assert value is not None and int(value) == expected


def test_no_such_register_is_none() -> None:
    reading = Reading(Bytes(0, b""), {"rax": 1})
    assert [register_value(name, reading) for name in ("", "e", "rxx", "r99", "xl", "r")] == (
        [None] * 6
    )


def test_large_things_are_cut_short() -> None:
    reading = Reading(Bytes(0, bytes(range(256)) * 40))
    numbers = Value(Array(lambda: UNSIGNED_LONG, 1000), reading, InMemory(0))
    assert numbers.format(elements=3).count(",") == 2 and numbers.format(elements=3)[-4:] == "...}"
    huge = Struct("huge", 1 << 40, False, True, lambda: (Member("a", lambda: huge, 0),))
    assert Value(huge, reading, InMemory(0)).format(depth=2) == "{a = {a = {...}}}"
    many = Array(lambda: Array(lambda: UNSIGNED_LONG, 1 << 20), 1 << 20)
    assert len(Value(many, reading, InMemory(0)).format(elements=1 << 20)) < 100_000


def test_bytes_that_are_no_text_are_numbers(program: Program) -> None:
    shown = variable(program, "first").grid.format()
    assert re.sub(r" '[^']*'", "", shown) == "{{1, 2, 3, 4, 5}, {6, 0, 0, 0, 0}, {0, 0, 9, 0, 0}}"


def test_flags_are_told_by_name() -> None:
    flags = Enum("f", 4, False, {"A": 1, "B": 2})
    shown = [literal(flags, number, NOTHING).format() for number in (0, 1, 3, 7, 8)]
    assert shown == ["0", "A", "(A | B)", "(A | B | unknown: 0x4)", "8"]


def test_what_cannot_be_printed_is_escaped() -> None:
    assert escape(b'a\n\x1b\xff"\\\0') == 'a\\n\\033\\377\\"\\\\\\000'
