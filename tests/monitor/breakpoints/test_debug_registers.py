"""The processor's debug registers: values worked out by hand from the manual's figure 18-1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import BreakpointImpossible
from timehands.monitor.breakpoints import Kind, Point
from timehands.monitor.breakpoints.debug_registers import debug_registers, reported

CALL, DATA = Point(0xFFFF_FFFF_8100_0000), Point(0x1000, Kind.WRITE, 4)
WIDE = Point(0x2000, Kind.ACCESS, 8)


@pytest.mark.parametrize(
    ("slots", "off", "dr7"),
    [
        ((None,) * 4, (), 0x600),
        ((CALL, None, None, None), (), 0x0000_0602),
        ((None, DATA, None, None), (), 0x00D0_0608),
        ((None, None, None, WIDE), (), 0xB000_0680),
        ((CALL, DATA, None, WIDE), (0,), 0xB0D0_0688),
    ],
)
def test_dr7(slots: tuple[Point | None, ...], off: tuple[int, ...], dr7: int) -> None:
    registers = debug_registers(slots, off)
    assert registers[7] == dr7
    wanted = [0 if p is None or i in off else p.address for i, p in enumerate(slots)]
    assert list(registers[:4]) == wanted


@given(st.integers(0, 0xFFFF_FFFF))
def test_only_what_is_on_can_have_been_hit(dr6: int) -> None:
    found = list(reported(dr6, (CALL, DATA, None, WIDE), off=(0,)))
    assert found == [p for p, bit in ((DATA, 2), (WIDE, 8)) if dr6 & bit]


@pytest.mark.parametrize(
    ("address", "kind", "length", "words"),
    [
        (1 << 64, Kind.EXECUTE, 1, "64 bits"),
        (-1, Kind.EXECUTE, 1, "64 bits"),
        (0x1000, Kind.EXECUTE, 2, "first byte"),
        (0x1001, Kind.WRITE, 2, "a watchpoint for writes of 2 bytes at 0x1001 cannot be"),
        (0x1000, Kind.ACCESS, 3, "1, 2, 4 or 8"),
        (0x1000, Kind.ACCESS, 0, "1, 2, 4 or 8"),
    ],
)
def test_points_that_no_processor_has(address: int, kind: Kind, length: int, words: str) -> None:
    with pytest.raises(BreakpointImpossible, match=words):
        Point(address, kind, length)
