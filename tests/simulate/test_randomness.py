"""Random numbers: those of SplitMix64, the same everywhere, a stream for each actor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timehands.simulate.randomness import Stream


def test_the_generator_is_splitmix64() -> None:
    stream = Stream(0, "any")
    stream._state = 1234567
    # The published first outputs for this seed (Rosetta Code, "Pseudo-random numbers/Splitmix64").
    assert [stream.next() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_a_stream_depends_on_seed_and_name_alone() -> None:
    first = [Stream(7, "vcpu0/exits").next() for _ in range(2)]
    assert first[0] == first[1] == 31581848007502935
    assert len({Stream(s, n).next() for s in range(10) for n in ("a", "b")}) == 20


@given(st.integers(0, 2**64), st.integers(-(10**18), 10**18), st.integers(0, 10**18))
def test_between_keeps_to_its_ends(seed: int, low: int, more: int) -> None:
    assert low <= Stream(seed, "x").between(low, low + more) <= low + more


def test_between_reaches_both_ends_and_percent_is_about_right() -> None:
    stream = Stream(1, "x")
    assert {stream.between(3, 6) for _ in range(200)} == {3, 4, 5, 6}
    assert not any(stream.percent(0) for _ in range(1000))
    assert all(stream.percent(100) for _ in range(1000))
    assert 0 < sum(stream.percent(30) for _ in range(1000)) < 600
