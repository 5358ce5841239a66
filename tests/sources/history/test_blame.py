"""Where a line was before a change, for any change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.history.blame import before_hunks, line_hunks
from timehands.sources.history.renames import similarity

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=12)


@given(LINES, LINES)
def test_a_line_that_stayed_has_the_same_text_before(old: list[bytes], new: list[bytes]) -> None:
    hunks = line_hunks(old, new)
    before = [before_hunks(hunks, number) for number in range(1, len(new) + 1)]
    for number, was in enumerate(before, 1):
        assert was is None or old[was - 1] == new[number - 1]
    kept = [was for was in before if was is not None]
    assert kept == sorted(set(kept))
    assert len(kept) == len(old) - sum(hunk.old_lines for hunk in hunks)


@given(LINES)
def test_of_equal_files_every_line_stayed(lines: list[bytes]) -> None:
    assert line_hunks(lines, lines) == []
    assert similarity(b"".join(lines), b"".join(lines)) == (1.0 if lines else 0.0)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_likeness_is_a_share_and_the_same_both_ways(a: bytes, b: bytes) -> None:
    assert 0.0 <= similarity(a, b) <= 1.0
    assert similarity(a, b) == similarity(b, a)
