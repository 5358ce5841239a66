from __future__ import annotations

import pytest

from timehands.sources.code.arguments import split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"", [b""]),
        (b"a, b", [b"a", b" b"]),
        (b"f(a, b), c", [b"f(a, b)", b" c"]),
        (b"void (*f)(int, int), int", [b"void (*f)(int, int)", b" int"]),
        (b",", [b"", b""]),
    ],
)
def test_arguments_are_cut_at_their_own_commas(text: bytes, parts: list[bytes]) -> None:
    assert split(text) == parts
