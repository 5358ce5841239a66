"""Lines and segments: exact, however long ago they began."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.simulate.segments import NS_PER_S, U64, Line, Segment

_LINES = st.builds(
    Line, base=st.integers(0, U64), since_ns=st.integers(0, 10**18), hz=st.integers(1, 10**12)
)


@given(_LINES, st.integers(0, 10**19))
def test_a_line_counts_whole_cycles_since_its_beginning(line: Line, after_ns: int) -> None:
    cycles = floor(Fraction(after_ns * line.hz, NS_PER_S))
    assert line.at(line.since_ns + after_ns) == (line.base + cycles) % 2**64


@given(_LINES, st.integers(0, 10**18), st.integers(0, 2**30))
def test_an_anchor_continues_the_line(line: Line, after_ns: int, more_ns: int) -> None:
    t_ns = line.since_ns + after_ns
    value, rest = line.anchor(t_ns)
    assert 0 <= rest < NS_PER_S
    assert (value + (rest + more_ns * line.hz) // NS_PER_S) & U64 == line.at(t_ns + more_ns)


@given(_LINES, st.integers(-(2**63), 2**63), st.integers(0, 10**18))
def test_a_shifted_line_is_so_many_cycles_ahead(line: Line, cycles: int, after_ns: int) -> None:
    t_ns = line.since_ns + after_ns
    assert line.shifted(cycles).at(t_ns) == (line.at(t_ns) + cycles) & U64


def test_reads_begin_with_the_segment_and_end_before_it() -> None:
    page = TimeInfo(2, 0, 0, 1, 0, 1)
    segment = Segment(0, 100, 110, Line(0, 0, 1), page, 4)
    assert [segment.read_ns(k) for k in range(4)] == [100, 102, 105, 107]
