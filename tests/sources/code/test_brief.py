"""What the parser is shown of a file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.code.bodies import bodies, hidden
from timehands.sources.code.brief import brief
from timehands.sources.code.mask import mask
from timehands.sources.code.parse import parse

_PIECES = st.sampled_from(
    [
        "if (", "else", "return", "a", "b[1]", "f(", ")", "{", "}", ";", "=", "struct s", "int",
        "\n", "\n\t", "\t ", " ", "\n{\n", "\n}\n", "\nint f(void)\n{\n", ") {\n", "\n};\n",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_a_byte_that_is_left_is_the_files_own_at_that_place(code: str) -> None:
    data = code.encode()
    text, places = brief(data, hidden(data, bodies(data)))
    assert len(places) == len(text) + 1
    assert places[-1] == len(data)
    assert all(places[1:] > places[:-1]) or not text
    assert bytes(data[place] for place in places[:-1].tolist()) == text


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_what_is_left_out_is_blank_or_within_braces_that_belong_together(code: str) -> None:
    data = code.encode()
    ranges = hidden(data, bodies(data))
    _, places = brief(data, ranges)
    left = set(places.tolist())
    inside = {at for start, end in ranges for at in range(start, end)}
    assert all(data[at] in b" \t\n" for at in set(range(len(data))) - left - inside)
    for start, end in ranges:
        assert (data[start - 1], data[end]) == (ord("{"), ord("}"))
        assert data.count(b"{", start, end) == data.count(b"}", start, end)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("int\nf(int a)\n{\n\tg();\n}\n", ["\tg();"]),
        ("int f(int a) {\n\tg();\n}\n", ["\tg();"]),
        ("int\nf(a)\n\tint a;\n{\n\tif (a) {\n\t\tg();\n\t}\n}\n", ["\tif (a) {\n\t\tg();\n\t}"]),
        ("int\nf(int a) CALLS\n{\n}  \n", [""]),
        ("struct s\n{\n\tint a;\n};\n", []),
        ("typedef struct _s\n{\n\tint a;\n}\nS;\n", []),
        ("int a[] =\n{\n\t1,\n}\n;\n", []),
        ("enum\n{\n\tA,\n}\n", []),
        ("int f(void)\n{\n\tif (a) {\n}\n", []),
        ("int f(void)\n{\n\tenum {\n\t\tA,\n\t} s;\n}\n", ["\tenum {\n\t\tA,\n\t} s;"]),
        ("int f(void)\n{\n\ta();\n}\nint g(void)\n{\n\tb();\n}\n", ["\ta();", "\tb();"]),
    ],
)  # fmt: skip
def test_bodies_are_those_of_functions(text: str, found: list[str]) -> None:
    code = text.encode()
    assert [code[one.start + 1 : one.end].strip(b"\n").decode() for one in bodies(code)] == found


def test_the_parser_sees_types_that_a_function_defines() -> None:
    code = b"int f(void)\n{\n\tstruct s {\n\t\tint a;\n\t} s;\n}\n"
    assert not hidden(code, bodies(code))
    assert len(parse(code).members) == 1


def test_a_function_shown_in_brief_is_the_same_function() -> None:
    code = "int\nwork(struct softc *sc, int n)\n{\n\tint error;\n\n\tX Y Z;\n}\n\nint after;\n"
    found = parse(mask(code.encode()).code)
    assert [re.split("[,;]", code[at:])[0] for at in found.names] == ["sc", "after"]
    assert not found.errors
    (span,) = found.functions
    assert (span.name, code[span.at :][:4], code[span.end - 1 :][:4]) == (b"work", "work", "}\n\ni")


def test_members_made_by_macros_do_not_hide_the_others() -> None:
    code = b"struct a {\n\tint one;\n\tBITS(int, a, b);\n\tBITS(int, c, d);\n\tint two;\n};\n"
    found = parse(mask(code).code)
    names = [code[at : at + 3] for at in found.members]
    assert b"one" in names
    assert b"two" in names


def test_long_tables_of_numbers_are_not_parsed_and_others_are() -> None:
    head, row = b"int t[] = {\n", b"\t0x1234, 0x567,\n"
    numbers = head + row * 4_000 + b"};\nint after;\n"
    ((start, end),) = hidden(numbers, [])
    assert (start, numbers[end:]) == (len(head) - 1, b"\n};\nint after;\n")
    assert len(parse(numbers).names) == 2
    assert not hidden(head + row * 40 + b"};\n", [])
    assert not hidden(head + b"\t{ some_function, 1 },\n" * 4_000 + b"};\n", [])
