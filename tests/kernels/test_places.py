"""The facts are the AMD64 ABI's (section 3.2.3); what compilers make of them is compared with gdb
in ``dwarf/test_scopes.py``."""

from __future__ import annotations

import pytest

from timehands.kernels.places import (
    Gone,
    InMemory,
    InRegister,
    Pieces,
    Place,
    at_entry,
    raw_argument,
)
from timehands.kernels.types import INT, VOID, Array, Float, Func, Member, Struct, Type

PAIR = Struct("pair", 16, False, True, tuple)
BIG = Struct("big", 24, False, True, lambda: (Member("a", lambda: Array(lambda: INT, 6), 0),))
REGISTERS = {"rsp": 0x1000}


def function(*takes: Type, result: Type = VOID) -> Func:
    return Func(lambda: result, lambda: tuple((f"p{n}", one) for n, one in enumerate(takes)))


@pytest.mark.parametrize(
    ("takes", "number", "expected"),
    [
        ((INT,) * 8, 0, InRegister("rdi")),
        ((INT,) * 8, 5, InRegister("r9")),
        ((INT,) * 8, 6, InMemory(0x1008)),
        ((INT,) * 8, 7, InMemory(0x1010)),
        ((INT, PAIR, INT), 1, Pieces(((InRegister("rsi"), 8), (InRegister("rdx"), 8)))),
        ((INT, PAIR, INT), 2, InRegister("rcx")),
        ((INT, BIG, INT), 1, InMemory(0x1008)),
        ((INT, BIG, INT), 2, InRegister("rsi")),
        ((INT, INT, INT, INT, INT, PAIR, INT), 5, InMemory(0x1008)),
        ((INT, INT, INT, INT, INT, PAIR, INT), 6, InRegister("r9")),
        ((Float("double", 8), INT), 0, Gone("in a vector register")),
        ((Float("double", 8), INT), 1, InRegister("rdi")),
        ((INT,), 1, Gone("no such argument")),
    ],
)
def test_arguments_are_where_the_abi_says(
    takes: tuple[Type, ...], number: int, expected: Place
) -> None:
    assert at_entry(function(*takes), number, REGISTERS) == expected


def test_a_large_result_takes_the_first_register() -> None:
    assert at_entry(function(INT, result=BIG), 0, REGISTERS) == InRegister("rsi")


def test_the_stack_is_needed_for_what_lies_on_it() -> None:
    assert isinstance(at_entry(function(*(INT,) * 7), 6, {}), Gone)


def test_raw_arguments_are_the_registers_in_order() -> None:
    assert [raw_argument(n) for n in (0, 5)] == [InRegister("rdi"), InRegister("r9")]
    assert isinstance(raw_argument(6), Gone)
