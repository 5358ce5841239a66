from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from timehands.boot import Request
from timehands.cli import debug as verb
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug import Break, Debugging, Skip
from timehands.errors import UsageError
from timehands.watch.stops import parse


def asked(*words: str) -> Debugging:
    parser = argparse.ArgumentParser(exit_on_error=False)
    verb.add_parser(parser.add_subparsers())
    return verb.asked_from(parser.parse_args(["debug", *words]))


def test_without_options_a_kernel_only_boots() -> None:
    assert asked("kernel") == Debugging(Request(Path("kernel"), survey=False), inside=True)


def test_a_prompt_and_who_wants_it_get_the_stub() -> None:
    assert not asked("kernel", "--stub").inside
    assert not asked("kernel", "--shell").inside


def test_options_are_of_the_place_before_them() -> None:
    words = ["k", "--break", "lapic_init", "--print", "a & B", "--print", "c", "--set", "c = 1"]
    words += ["--count", "1", "--watch", "tsc_freq", "--backtrace", "5", "--ignore", "2"]
    words += ["--ask-cpuid", "0x80000000", "--ask-cpuid", "4,1"]
    assert asked(*words).breaks == (
        Break(parse("lapic_init", most=1), prints=("a & B", "c"), sets=("c = 1",)),
        Break(
            parse("write of tsc_freq", passes=2),
            backtrace=5,
            asks=((0x80000000, 0), (4, 1)),
        ),
    )


def test_options_before_the_first_place_are_of_all() -> None:
    words = ["k", "--print", "x", "--backtrace", "3", "--break", "f", "--break", "g"]
    words += ["--print", "y", "--backtrace", "9"]
    one, other = asked(*words).breaks
    assert (one.prints, one.backtrace) == (("x",), 3)
    assert (other.prints, other.backtrace) == (("x", "y"), 9)


def test_what_is_done_without_a_place() -> None:
    words = ["k", "--all-of", "tsc.c", "--all-of", "pvclock.c"]
    words += ["--skip", "f", "--skip", "g=-1", "--skip", "h=0x10"]
    words += ["--cpuid", "0x40000010=2500000,0xf4240,0,0"]
    wanted = asked(*words)
    assert wanted.files == ("tsc.c", "pvclock.c")
    assert wanted.skips == (Skip("f"), Skip("g", -1), Skip("h", 16))
    assert wanted.answers == {0x40000010: Leaf(2_500_000, 1_000_000, 0, 0)}


@pytest.mark.parametrize(
    "words",
    [
        ["--print", "x"],
        ["--break", "two words"],
        ["--break", "f if"],
    ],
)
def test_what_makes_no_sense_is_said_so(words: list[str]) -> None:
    with pytest.raises(UsageError):
        asked("k", *words)


@pytest.mark.parametrize(
    "words",
    [
        ["--break", "f", "--backtrace", "0"],
        ["--break", "f", "--count", "many"],
        ["--cpuid", "0x15=1,2,3"],
        ["--cpuid", "0x15=1,2,3,0x100000000"],
        ["--cpuid", "1,2,3,4"],
        ["--skip", "="],
        ["--skip", "f=g"],
        ["--break", "f", "--ask-cpuid", "brand"],
    ],
)
def test_numbers_must_be_numbers(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        asked("k", *words)
