"""Conditions, whatever language they were written in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.sources.config.conditions import (
    ALWAYS,
    NEVER,
    All,
    Any,
    Condition,
    Literal,
    Name,
    Not,
    holds,
    names,
    ways,
)

NAMES = "abcd"
conditions: st.SearchStrategy[Condition] = st.recursive(
    st.sampled_from([Name(name) for name in NAMES] + [ALWAYS, NEVER]),
    lambda inner: (
        inner.map(Not)
        | st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Any(tuple(parts)))
    ),
    max_leaves=8,
)


def test_how_a_condition_reads() -> None:
    condition = All((Any((Name("a"), Name("b"))), Not(All((Name("c"), Name("d")))), Not(Name("e"))))
    assert str(condition) == "(a | b) & !(c & d) & !e"
    assert (str(ALWAYS), str(NEVER)) == ("always", "never")
    assert list(names(condition)) == ["a", "b", "c", "d", "e"]


def test_the_smallest_way_comes_first() -> None:
    condition = Any((All((Name("a"), Name("b"))), All((Name("b"), Not(Name("c"))))))
    assert ways(condition, {"a"}.__contains__)[0] == {Literal("b", True)}
    assert ways(condition, {"b", "c"}.__contains__) == [
        {Literal("a", True)},
        {Literal("c", False)},
    ]


@settings(max_examples=150)
@given(conditions, st.sets(st.sampled_from(NAMES)))
def test_each_way_makes_a_condition_hold(condition: Condition, there: set[str]) -> None:
    found = ways(condition, there.__contains__)
    for way in found:
        after = there | {name for name, wanted in way if wanted}
        after -= {name for name, wanted in way if not wanted}
        assert holds(condition, after.__contains__)
    if holds(condition, there.__contains__):
        assert found[0] == frozenset()


@settings(max_examples=150)
@given(conditions)
def test_without_a_way_nothing_makes_it_hold(condition: Condition) -> None:
    if not ways(condition, frozenset[str]().__contains__):
        for number in range(1 << len(NAMES)):
            there = {name for bit, name in enumerate(NAMES) if number >> bit & 1}
            assert not holds(condition, there.__contains__)


def test_ways_of_a_large_condition_are_bounded() -> None:
    many = All(tuple(Any(tuple(Name(f"n{i}_{j}") for j in range(8))) for i in range(30)))
    assert 0 < len(ways(many, lambda _: False)) <= 32
