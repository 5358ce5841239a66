"""The shipped scenarios: each does what it says, on both engines, and would fail if it did not."""

from __future__ import annotations

import re
from functools import cache

import pytest

from timehands.simulate.outcome import Outcome, judged
from timehands.simulate.run import simulate
from timehands.simulate.scenario_file import load, shipped, shipped_names, shipped_text, variants

ALL = [
    (name, variant) for name in shipped_names() for variant in ("", *variants(shipped_text(name)))
]
_IDS = [f"{name}:{variant}" if variant else name for name, variant in ALL]


@cache
def run(where: str) -> Outcome:
    """Once for all that is looked at."""
    return simulate(shipped(where), engine="arrays")


@pytest.mark.parametrize("where", _IDS)
def test_it_does_what_is_expected(where: str) -> None:
    assert run(where).expectations
    assert [one for one in run(where).expectations if not one.met] == []


@pytest.mark.parametrize("where", _IDS)
def test_it_does_so_with_another_seed(where: str) -> None:
    outcome = simulate(shipped(where), seed=1)
    assert [one for one in outcome.expectations if not one.met] == []


@pytest.mark.parametrize("name", shipped_names())
def test_both_engines_agree(name: str) -> None:
    assert simulate(shipped(name), engine="scalar") == run(name)


@pytest.mark.parametrize("name", shipped_names())
def test_a_cure_is_not_what_the_bug_expects(name: str) -> None:
    """Of at least one variant the bug's expectations do not hold, nor do a cure's of the bug."""
    bug = shipped(name)
    cures = [f"{name}:{variant}" for variant in variants(shipped_text(name))]
    assert not all(m.met for where in cures for m in judged(bug.expect, run(where)))
    assert not all(m.met for where in cures for m in judged(shipped(where).expect, run(name)))


@pytest.mark.parametrize("name", shipped_names())
def test_each_tells_its_story_with_its_source(name: str) -> None:
    story = shipped_text(name).partition("\ntitle")[0]
    assert story.startswith("# ")
    assert re.search(r"[a-z0-9-]+#\d+|PR kern/\d+|kvm_set_msr_common", story)
    assert all(len(line) <= 100 for line in story.splitlines())


def test_titles_tell_them_apart() -> None:
    titles = [shipped(where).title for where in _IDS]
    assert len(set(titles)) == len(titles)
    digests = [shipped(where).digest for where in _IDS]
    assert len(set(digests)) >= len(digests) - 1


def test_a_name_with_a_variant_is_loaded_as_it_is_written() -> None:
    assert load("restore-jumps:cured") == shipped("restore-jumps:cured")
    assert load("restore-jumps").name == "restore-jumps"
