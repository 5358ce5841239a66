"""How a line may go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.debug.completion import MOST, complete, last_word
from timehands.watch.stops import View
from watch.stops.guests import NAMES, address, kernel

COMMANDS = ("break", "backtrace", "print", "set")


def view() -> View:
    """At the first instruction of tc_init; the guest's memory is not needed."""
    registers = {**dict.fromkeys(NAMES, 0), "rip": address("tc_init")}
    return View(kernel(), registers, kernel().file_memory, {"CPUID_TSC": 0x10}, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b", {"break", "backtrace"}),
        ("break tc_in", {"tc_init"}),
        ("break cpu", {"cpuid"}),
        ("break write", {"write of"}),
        ("print tc->tc_f", {"tc_flags", "tc_frequency", "tc_fill_vdso_timehands"}),
        ("print tsc_timecounter.tc_q", {"tc_quality"}),
        ("print *timecounter->tc_next->tc_na", {"tc_name"}),
        ("print cpu_feature & CPUID_T", {"CPUID_TSC"}),
        ("set $rs", {"$rsp", "$rsi"}),
        ("print nothing->a", set()),
        ("print tsc_freq.a", set()),
    ],
)
def test_endings(text: str, expected: set[str]) -> None:
    found = complete(text, view(), COMMANDS)
    assert expected <= set(found) if expected else found == []
    assert all(name.startswith(last_word(text)) for name in found)


def test_a_variable_is_no_place_to_stop_at() -> None:
    assert "tsc_freq" not in complete("break tsc_fr", view(), COMMANDS)
    assert "tsc_freq" in complete("print tsc_fr", view(), COMMANDS)


@given(st.text(max_size=40))
def test_any_line_can_be_asked_for(text: str) -> None:
    found = complete(text, view(), COMMANDS)
    assert len(found) <= MOST
    assert all(isinstance(name, str) for name in found)
