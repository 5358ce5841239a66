"""Types that dataclasses declare, as typing itself understands them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from timehands.watch.checked import is_a, require_types


@dataclass
class Inner:
    number: int


@dataclass
class Outer:
    inner: Inner
    names: tuple[str, ...] = ()
    maybe: int | None = None
    table: dict[str, int] | None = None


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (1, int, True), (True, int, False), (1.0, int, False), (1 << 64, int, False),
        ((1 << 64) - 1, int, True), (-(1 << 63), int, True), (-(1 << 63) - 1, int, False),
        ("a", str, True), (None, int | None, True), ("a", int | None, False),
        ((1, 2), tuple[int, ...], True), ((1, "a"), tuple[int, ...], False),
        ((1, "a"), tuple[int, str], True), ((1,), tuple[int, str], False),
        ([1], tuple[int, ...], False), ({"a": 1}, dict[str, int], True),
        ({1: 1}, dict[str, int], False), (object(), Any, True),
        ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False), (1, Literal[True], False),
    ],
)  # fmt: skip
def test_a_value_fits_a_hint_or_not(value: object, hint: object, fits: bool) -> None:
    assert is_a(value, hint) is fits


def test_the_member_that_is_wrong_is_named() -> None:
    require_types(Outer(Inner(1), ("a",), None, {"a": 1}))
    with pytest.raises(TypeError, match="names"):
        require_types(Outer(Inner(1), (1,)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="number"):
        require_types(Outer(Inner("x")))  # type: ignore[arg-type]
