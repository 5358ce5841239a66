"""Functions that were chosen to be watched: what a recording says of them, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recordings import Tape
from timehands.reports.words import entered_words
from timehands.watch.entered import LET_BE, MOST_CHOSEN, Entered, entered_in
from timehands.watch.recording import Recording

MS = 1_000_000


def made(folder: Path, *, let_be: object = None, functions: tuple[str, ...] = ()) -> Recording:
    """Two entries of one function."""
    tape = Tape()
    tape.enter("tc_init", ms=20)
    tape.enter("tc_init", ms=30)
    recording = tape.write(folder)
    recording.header.chosen = True
    recording.header.functions += functions
    recording.header.function_starts = tuple(range(len(recording.header.functions)))
    row = {"ns": 1, "name": LET_BE, "data": {"function": let_be}}
    (folder / "machine.jsonl").write_text(json.dumps(row) + "\n")
    return recording


def test_each_is_told_with_its_first_entry(tmp_path: Path) -> None:
    one, other = entered_in(made(tmp_path, functions=("panic",)))
    assert (one.function, one.times, one.first_ns, one.let_be) == ("tc_init", 2, 20 * MS, False)
    assert one.caller is not None
    assert other == Entered("panic", 0)


def test_where_none_was_chosen_there_is_nothing_to_tell(tmp_path: Path) -> None:
    recording = made(tmp_path)
    recording.header.chosen = False
    assert recording.watching.entered == ()


def test_one_that_was_let_be_is_told_as_such(tmp_path: Path) -> None:
    (one,) = entered_in(made(tmp_path, let_be=0))
    assert one.let_be


@pytest.mark.parametrize("damaged", [[0], {"a": 1}, "0", None, -1])
def test_a_damaged_event_of_the_machine_says_nothing(tmp_path: Path, damaged: object) -> None:
    (one,) = entered_in(made(tmp_path, let_be=damaged))
    assert not one.let_be


def test_of_too_many_the_first_are_told(tmp_path: Path) -> None:
    assert len(tuple(entered_in(made(tmp_path, functions=("f",) * 100)))) == MOST_CHOSEN


@pytest.mark.parametrize(
    ("entered", "words"),
    [
        (Entered("f", 0), "never entered"),
        (Entered("f", 1, 5 * MS, "g+0x1"), "entered once, after 5 ms by g+0x1"),
        (Entered("f", 2, 5 * MS, "g+0x1"), "entered 2 times, first after 5 ms by g+0x1"),
        (
            Entered("f", 1030, 5 * MS, "g\x1b[2J", True),
            "entered 1,030 times, first after 5 ms by g\\x1b[2J; then it was watched no longer",
        ),
    ],
)
def test_words(entered: Entered, words: str) -> None:
    assert entered_words(entered) == words
