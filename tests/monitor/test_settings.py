"""Clocks as values: to JSON and back, and what cannot be."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import MachineError
from timehands.monitor.settings import (
    MAX_STEP_NS,
    MAX_TSC_KHZ,
    MIN_TSC_KHZ,
    Clocks,
    Jump,
    Maker,
    Policy,
    Published,
)

KHZ = st.none() | st.integers(MIN_TSC_KHZ, MAX_TSC_KHZ)
STEP = st.integers(-MAX_STEP_NS, MAX_STEP_NS)
CLOCKS = st.builds(
    Clocks,
    tsc_khz=KHZ,
    published=st.lists(st.sampled_from(Published), max_size=2).map(tuple),
    told_tsc_khz=KHZ,
    invariant_tsc=st.none() | st.booleans(),
    tsc_deadline=st.none() | st.booleans(),
    pvclock=st.just(Maker.OURS),
    stable=st.booleans(),
    pit=st.sampled_from(Maker),
    rtc=st.booleans(),
    wall_offset_ns=STEP,
    apic_bus_ns=st.integers(1, 1000),
    policy=st.sampled_from(Policy),
    jumps=st.lists(
        st.builds(Jump, st.sampled_from(["tsc", "pvclock", "wall"]), st.integers(0, 10**12), STEP),
        max_size=3,
    ).map(tuple),
)


@given(CLOCKS)
def test_clocks_survive_json(clocks: Clocks) -> None:
    assert Clocks.from_json(json.loads(json.dumps(clocks.to_json()))) == clocks


def test_what_json_does_not_say_is_as_it_is_by_default() -> None:
    assert Clocks.from_json({}) == Clocks()
    assert Clocks.from_json({"pit": "ours"}) == Clocks(pit=Maker.OURS)


def test_each_setting_can_be_read_from_json() -> None:
    assert list(Clocks().to_json()) == [field.name for field in fields(Clocks)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([field.name for field in fields(Clocks)])


@given(JSON | st.dictionaries(NAMES, JSON, max_size=3))
def test_any_json_makes_clocks_or_is_refused_in_words(data: object) -> None:
    try:
        clocks = Clocks.from_json(data)
    except MachineError as error:
        assert 0 < len(error.message) < 200
    else:
        assert Clocks.from_json(clocks.to_json()) == clocks


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], r"clocks are an object, not \[\]"),
        ({"tsc": 1}, "no clock has a setting 'tsc'"),
        ({"rtc": 1}, "rtc cannot be 1: it is true or false"),
        ({"tsc_khz": True}, "tsc_khz cannot be True: it is a whole number"),
        ({"tsc_khz": 2.5e6}, "it is a whole number"),
        ({"pit": "intel"}, "pit cannot be 'intel': it is one of kvm, ours, none"),
        ({"tsc_khz": 10**4000}, "it has 64 bits at most"),
        ({"tsc_khz": 10**5000}, "cannot be a number that long: it has 64 bits at most"),
        ({"published": ["x" * 1000]}, "it is one of 0x40000010, 0x15"),
        ({"jumps": [[7, 1, 1]]}, "its clock is a name"),
        ({"published": "0x15"}, "it is a list"),
        ({"published": ["0x16"]}, "0x16"),
        ({"jumps": [["tsc", 1]]}, "a jump is a clock, a time, and a distance"),
        ({"jumps": [["hpet", 1, 1]]}, "'hpet' cannot jump: tsc, pvclock, and wall can"),
        ({"jumps": "x" * 1000}, r"cannot be 'x{39}\.\.\.:"),
    ],
)
def test_what_json_cannot_say(data: object, words: str) -> None:
    with pytest.raises(MachineError, match=words):
        Clocks.from_json(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tsc_khz": 999}, "a TSC of 999 kHz: give 1,000 to"),
        ({"told_tsc_khz": 10**9}, "a TSC of 1,000,000,000 kHz"),
        ({"apic_bus_ns": 0}, "a LAPIC cycle of 0 ns"),
        ({"wall_offset_ns": 10**19}, "100 years at most"),
        ({"jumps": (Jump("pvclock", 0, 1),), "pvclock": Maker.NONE}, "there is none"),
        ({"jumps": (Jump("wall", 0, 1),), "rtc": False}, "neither the RTC nor pvclock"),
    ],
)
def test_clocks_that_cannot_be(change: dict[str, object], words: str) -> None:
    with pytest.raises(MachineError, match=words):
        replace(Clocks(), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at_ns", "by_ns"), [(-1, 0), (10**19, 0), (0, 10**19), (0, -(10**19))])
def test_a_jump_has_bounds(at_ns: int, by_ns: int) -> None:
    with pytest.raises(MachineError, match="100 years at most"):
        Jump("tsc", at_ns, by_ns)
