from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.code.branches import Branches
from timehands.sources.code.deciding import decided, names


class Known:
    """Macros with values; what is in ``open_`` is not known, and all others are not defined."""

    def __init__(self, values: Mapping[str, int], open_: str = "") -> None:
        self._values, self._open = values, open_.split()

    def defined(self, name: str) -> bool | None:
        return None if name in self._open else name in self._values

    def value(self, name: str) -> int | None:
        return None if name in self._open else self._values.get(name, 0)

    def called(self, name: str, argument: str) -> int | None:
        return int(argument in self._values) if name == "IS_ENABLED" else None


MACROS = Known({"SMP": 1, "HZ": 100, "NLAPIC": 2}, "WHO KNOWS")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", False),
        (["1 ", "* always *", ""][0], True),
        ("defined(SMP) && defined XENHVM", False),
        ("defined(SMP) || WHO > 3", True),
        ("defined(XENHVM) && WHO", False),
        ("WHO || KNOWS", None),
        ("!defined(WHO)", None),
        ("HZ * 2 == 200 && NLAPIC > 0x1", True),
        ("(HZ << 1) != 0310", False),
        ("NIOAPIC > 0", False),
        ("SMP ? NIOAPIC : 1", False),
        ("WHO ? 1 : 1", True),
        ("-1 < 0", False),
        ("IS_ENABLED(SMP) && !IS_ENABLED(DDB)", True),
        ("__has_include(<a.h>)", None),
        ("HZ / 0", False),
        ("HZ +", None),
        ("(" * 5000, None),
        ("(" * 90 + "1", None),
        ("08", None),
        ("", None),
    ],
)
def test_expressions(text: str, told: bool | None) -> None:
    assert decided(text, MACROS) is told


@given(st.text("01()!&|<>=+-*/%^~?: XHZ\"'defined", max_size=40))
def test_any_text_is_decided_or_not(text: str) -> None:
    assert decided(text, MACROS) in (True, False, None)


def test_names_of_an_expression() -> None:
    assert names("defined(A) && B > 2 || A") == ["A", "B"]


FILE = b"""\
#ifndef _HEADER_H_
#define _HEADER_H_
int everywhere;
/*
#ifdef COMMENTED
*/
#ifdef SMP
int smp;
#  if HZ > \\
      1000
int fast;
#  else /* slow */
int slow;
#  endif
#elif defined(WHO)
int who;
#else
const char *s = "\\
#endif";
int up;
#endif
int end;
#endif
"""


def line_of(word: bytes) -> int:
    return FILE[: FILE.index(word)].count(b"\n") + 1


@pytest.mark.parametrize(
    ("word", "texts", "told"),
    [
        (b"everywhere", [], []),
        (b"int smp", ["#ifdef SMP"], [True]),
        (b"int fast", ["#ifdef SMP", "#if HZ > 1000"], [True, False]),
        (b"int slow", ["#ifdef SMP", "#else of #if HZ > 1000"], [True, True]),
        (b"int who", ["#elif defined(WHO)"], [False]),
        (b"int up", ["#else of #elif defined(WHO)"], [False]),
        (b"int end", [], []),
    ],
)
def test_branches_of_lines(word: bytes, texts: list[str], told: list[bool]) -> None:
    found = Branches(FILE).at(line_of(word))
    assert [str(one) for one in found] == texts
    assert [one.holds(MACROS) for one in found] == told


def test_an_else_of_what_is_not_known() -> None:
    branches = Branches(b"#ifdef WHO\nint a;\n#else\nint b;\n#endif\n#else\n#endif\nint c;\n")
    assert [branches.at(line)[0].holds(MACROS) for line in (2, 4)] == [None, None]
    assert branches.at(8) == ()


class Asking(Known):
    """A macro that is defined if another one is, so many times, each deep in brackets."""

    def __init__(self, steps: int, depth: int) -> None:
        super().__init__({})
        self._steps, self._depth = steps, depth

    def defined(self, name: str) -> bool | None:
        self._steps -= 1
        text = f"{'(' * self._depth}defined({name}){')' * self._depth}"
        return decided(text, self) if self._steps else True


@pytest.mark.parametrize(("depth", "told"), [(8, True), (100, None)])
def test_deep_brackets_of_macros_that_ask_for_others(depth: int, told: bool | None) -> None:
    assert decided("defined(A)", Asking(4, depth)) is told


def test_of_endless_branches_the_first_ones_are_told_apart() -> None:
    text = b"#if A\n" + b"#elif B\n" * 5000 + b"int x;\n#endif\nint y;\n"
    branches = Branches(text)
    (last,) = branches.at(5002)
    assert last.line < 300
    assert not branches.at(5004)


def test_the_compilers_answer_is_the_same() -> None:
    """Each line that the preprocessor keeps is one that we keep, and no other."""
    lines = [line for line in FILE.split(b"\n") if line.startswith(b"int ")]
    kept = [
        line
        for line in lines
        if all(one.holds(Known({"SMP": 1, "HZ": 100})) for one in Branches(FILE).at(line_of(line)))
    ]
    command = ["cc", "-E", "-P", "-DSMP", "-DHZ=100", "-x", "c", "-"]
    try:
        run = subprocess.run(command, input=FILE, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"no C compiler (cc) on {sys.platform}")
    assert [line for line in run.stdout.split(b"\n") if line.startswith(b"int ")] == kept
