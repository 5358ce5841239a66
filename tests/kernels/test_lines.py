"""The oracles are addr2line and gdb."""

from __future__ import annotations

import re

import pytest

from kernels.compiled import Program, run
from timehands.errors import SourceUnknown
from timehands.kernels.lines import Lines


def line_of(program: Program, text: str) -> int:
    source = (program.path.parent / "clock.c").read_text().splitlines()
    return next(number for number, line in enumerate(source, 1) if text in line)


def test_every_address_has_the_line_that_addr2line_says(program: Program) -> None:
    lines = Lines(program.types)
    code = program.elf.section(".text")
    assert code is not None
    places = range(code.address, code.address + code.size)
    said = run(["addr2line", "-e", str(program.path), *map(hex, places)])
    theirs = [re.sub(r" \(discriminator \d+\)", "", one) for one in said.splitlines()]
    for address, expected in zip(places, theirs, strict=True):
        found = lines.place(address)
        ours = f"{found.path}:{found.line or '?'}" if found else "??:?"
        if not expected.startswith("??"):
            assert ours == expected, hex(address)


def test_a_line_is_where_gdb_would_break(program: Program) -> None:
    lines = Lines(program.types)
    for text in ("int total = twice", "return total;", "total += numbers"):
        line = line_of(program, text)
        said = run(
            ["gdb", "-nx", "-batch", f"-ex=break clock.c:{line}", "-ex=info breakpoints",
             str(program.path)]
        )  # fmt: skip
        theirs = {int(one, 16) for one in re.findall(r"0x0*([0-9a-f]{4,})", said)}
        assert theirs & set(lines.addresses("clock.c", line).addresses), text


def test_a_line_without_code_leads_to_the_next_that_has_some(program: Program) -> None:
    code = Lines(program.types).addresses("clock.c", 2)
    assert code.asked == 2 and code.line == line_of(program, "u_int get(struct timecounter *tc) {")


def test_what_is_asked_wrong_says_why(program: Program) -> None:
    lines = Lines(program.types)
    with pytest.raises(SourceUnknown, match="no code at line"):
        lines.addresses("clock.c", 10_000)
    with pytest.raises(SourceUnknown, match=r"Perhaps clock\.c") as raised:
        lines.addresses("clok.c", 1)
    assert raised.value.candidates == ("clock.c",)
    with pytest.raises(SourceUnknown):
        lines.functions_of("lock.c")
    assert lines.place(1) is None


def test_the_functions_of_a_file_are_those_with_code(program: Program) -> None:
    found = Lines(program.types).functions_of("clock.c")
    assert [one.name for one in found] == sorted(
        (one.name for one in found), key=program.symbols.lookup
    )
    assert {one.name for one in found} == {"get", "mixed", "caller", "_start"}
