from __future__ import annotations

import pytest

from timehands.sources.code.clock_file import ClockFile
from timehands.sources.code.clock_kinds import KINDS
from timehands.sources.code.grammar import captures, innermost, is_too_deep
from timehands.sources.code.parse import parse

TIMECOUNTER = KINDS[0]


@pytest.mark.parametrize("code", [b"int x = " + b"(" * 400 + b"1;", b"int x = " + b"! ~" * 2000])
def test_nests_deeper_than_anybody_writes(code: bytes) -> None:
    assert is_too_deep(code)


def test_many_brackets_beside_each_other_are_not_deep() -> None:
    assert not is_too_deep(b"f((1)); a[1] = {0};\n" * 4000)


def test_captures_by_name() -> None:
    found = captures(b"int *x; int f(void) { }", "(declaration) @one (function_definition) @two")
    assert {name: len(nodes) for name, nodes in found.items()} == {"one": 1, "two": 1}
    name = innermost(found["one"][0].child_by_field_name("declarator"))
    assert name is not None and name.start_byte == 5


def test_a_file_that_nests_too_deep_has_no_clocks() -> None:
    call = b"void f(void)\n{\n\ttc_init(&tc);\n}\n"
    assert ClockFile(call, TIMECOUNTER, []).calls
    assert not ClockFile(call + b"int x = " + b"(" * 400 + b";", TIMECOUNTER, []).calls


def test_each_value_has_the_function_that_it_stands_in() -> None:
    lines = b"".join(b"void f%d(void)\n{\n\ttc.tc_quality = %d;\n}\n" % (n, n) for n in range(3))
    sets = ClockFile(lines + b"int y;\n", TIMECOUNTER, []).sets
    assert [(one.text, one.home and one.home.name) for one in sets] == [
        ("0", "f0"), ("1", "f1"), ("2", "f2"),
    ]  # fmt: skip


def test_what_is_parsed_is_in_the_order_of_the_text() -> None:
    """tree-sitter's own order is another one in each run: an index is to be the same again."""
    structs = [b"s%d" % number for number in range(60)]
    code = b"".join(b"struct %s { int a; };\n" % name for name in structs)
    code += b"".join(b"struct %s v%s = { .a = %s };\n" % (3 * (name,)) for name in structs)
    found = parse(code)
    assert [name for name, _ in found.layouts] == structs
    assert [value.name for value in found.values] == structs
