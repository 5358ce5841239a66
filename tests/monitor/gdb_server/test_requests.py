"""A client's requests: what is none is refused, whatever it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.monitor.breakpoints import Kind, Point
from timehands.monitor.gdb_server import requests
from timehands.monitor.gdb_server.control import Go, Step
from timehands.monitor.gdb_server.requests import BadRequest

_LIKELY = st.text("0123456789abcdefprsctCS;:,.-+", max_size=30).map(str.encode)
READERS: list[Callable[[bytes], object]] = [
    requests.number, requests.data, requests.span, requests.thread, requests.point,
    lambda text: requests.actions(text, 2),
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@given(text=st.binary(max_size=40) | _LIKELY)
def test_any_bytes_are_a_request_or_refused(reader: Callable[[bytes], object], text: bytes) -> None:
    try:
        assert reader(text) is not None
    except BadRequest as error:
        assert str(error)


@given(st.integers(0, 2**64 - 1))
def test_a_number_is_what_it_says(value: int) -> None:
    assert requests.number(b"%x" % value) == value


@pytest.mark.parametrize("text", [b"", b"1_0", b"0x1", b" 1", b"-1", b"+1", b"1" * 17])
def test_no_numbers(text: bytes) -> None:
    with pytest.raises(BadRequest):
        requests.number(text)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        (b"0,1000,1", Point(0x1000, Kind.SOFTWARE)),
        (b"1,ffffffff81000000,1", Point(0xFFFF_FFFF_8100_0000)),
        (b"2,1000,4", Point(0x1000, Kind.WRITE, 4)),
        (b"4,1008,8;X1,0", Point(0x1008, Kind.ACCESS, 8)),
    ],
)
def test_points(text: bytes, point: Point) -> None:
    assert requests.point(text) == point


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"3,1000,4", "awatch"),
        (b"2,1001,4", "1, 2, 4 or 8 bytes"),
        (b"2,1000,3", "1, 2, 4 or 8 bytes"),
        (b"5,1000,4", "no such kind"),
        (b"1,ffffffffffffffff,2", "beyond the last address"),
    ],
)
def test_points_that_cannot_be(text: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        requests.point(text)


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        (b";c", {0: Go(), 1: Go()}),
        (b";s:p1.2;c", {1: Step(), 0: Go()}),
        (b";S05:1", {0: Step()}),
        (b";r1000,1010:2;c:p1.-1", {1: Step(0x1000, 0x1010), 0: Go()}),
        (b";c:1;s:1", {0: Go()}),
    ],
)
def test_the_first_action_that_names_a_thread_counts(text: bytes, actions: object) -> None:
    assert requests.actions(text, 2) == actions


@pytest.mark.parametrize("text", [b"", b";", b";c:3", b";c:p2.1", b";t", b";x", b"c" * 9])
def test_actions_that_are_none(text: bytes) -> None:
    with pytest.raises(BadRequest):
        requests.actions(text, 2)
