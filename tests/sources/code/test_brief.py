"""What the parser is shown of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.code.brief import brief
from timehands.sources.code.mask import mask
from timehands.sources.code.parse import parse

_PIECES = st.sampled_from(
    [
        "if (", "else", "while (", "return", "a", "b[1]", "f(", "X(", ")", "{", "}", ";", "=", "==",
        "++", "->c", ",", "\n", "\n\t", "\t ", " ", "*", "\n{\n", "\n}\n",
    ]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_a_byte_that_is_left_is_the_files_own_at_that_place(code: str) -> None:
    data = code.encode()
    text, places = brief(data)
    assert len(places) == len(text) + 1
    assert places[-1] == len(data)
    assert all(places[1:] > places[:-1]) or not text
    for byte, place in zip(text, places.tolist(), strict=False):
        assert byte == data[place] or byte in b" 0"


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_braces_and_what_may_write_a_part_stay(code: str) -> None:
    text, _ = brief(code.encode())
    for sign in b"{};":
        assert text.count(sign) == code.encode().count(sign)


_FUNCTION = """\
int
work(struct softc *sc, int n)
{
\tint error, i;

\tif (n == 0 || %s)
\t\treturn (EINVAL);
\telse if (n > 3)
\t\tsc->sc_count = n;
\tfor (i = 0;
\t    i < n;
\t    i = next(i))
\t\trun(sc, i);
\t%s;
\tdo {
\t\tstruct item *item;
\t\titem = get(sc);
\t} while (n--);
\treturn (error);
}

int after;
"""


@pytest.mark.parametrize(
    ("condition", "statement", "parts"),
    [
        ("busy(sc)", "call(n)", 0),
        ("sc->sc_table[n] == 3", "error = sc->sc_table[i]", 0),
        ("busy(sc)", "sc->sc_table[i] = n", 1),
        ("sc->sc_used[n]++", "n = table[n]--", 2),
        ("(table[n] = n)", "call(table[i] = 3)", 2),
        ("busy(sc)", "n = table[i].count = 1", 1),
    ],
)
def test_a_function_shown_in_brief_is_the_same_function(
    condition: str, statement: str, parts: int
) -> None:
    code = _FUNCTION % (condition, statement)
    found = parse(mask(code.encode()).code)
    names = [code[at:].split(";")[0].split(",")[0].split(")")[0] for at in sorted(found.names)]
    assert names == ["sc", "error", "i", "item", "after"]
    assert not found.errors
    assert len(found.parts) == parts
    (span,) = found.functions
    assert (span.name, code[span.at :][:4], code[span.end - 1 :][:4]) == (b"work", "work", "}\n\ni")


def test_members_made_by_macros_do_not_hide_the_others() -> None:
    code = b"struct a {\n\tint one;\n\tBITS(int, a, b);\n\tBITS(int, c, d);\n\tint two;\n};\n"
    found = parse(mask(code).code)
    names = [code[at : at + 3] for at in found.members]
    assert b"one" in names
    assert b"two" in names


def test_a_loop_of_netbsd_over_cpus_is_parsed() -> None:
    code = (
        b"void\nf(void)\n{\n\tint a;\n\n\tfor (CPU_INFO_FOREACH(cii, ci)) {\n\t\tint b;\n\t}\n}\n"
    )
    found = parse(mask(code).code)
    assert not found.errors
    assert len(found.names) == 2
