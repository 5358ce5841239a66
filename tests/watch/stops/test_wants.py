from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import UsageError
from timehands.watch.stops.wants import (
    Access,
    Address,
    Data,
    File,
    Function,
    Line,
    Operation,
    Where,
    parse,
)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tc_init", Function("tc_init")),
        (" tc_init ", Function("tc_init")),
        ("pvclock_*", Function("pvclock_*")),
        ("*_delay", Function("*_delay")),
        ("tc_init.isra.0", Function("tc_init.isra.0")),
        ("tc_init+0x1f", Function("tc_init", 0x1F)),
        ("tc_init + 31", Function("tc_init", 31)),
        ("0xffffffff80c5b7c0", Address(0xFFFFFFFF80C5B7C0)),
        ("*0x100000", Address(0x100000)),
        ("local_apic.c:547", Line("local_apic.c", 547)),
        ("x86/x86/local_apic.c:547", Line("x86/x86/local_apic.c", 547)),
        ("locore.S:12", Line("locore.S", 12)),
        ("pvclock.c:*", File("pvclock.c")),
        ("cpuid", Operation("cpuid")),
        ("cpuid 0x40000010", Operation("cpuid", 0x40000010)),
        ("out 0x43", Operation("out", 0x43)),
        ("in 64", Operation("in", 64)),
        ("wrmsr 0x6e0", Operation("wrmsr", 0x6E0)),
        ("rdmsr 0xc0000103", Operation("rdmsr", 0xC0000103)),
        ("rdtsc", Operation("rdtsc")),
        ("hlt", Operation("hlt")),
        ("write of tsc_freq", Data(Access.WRITE, "tsc_freq")),
        ("read of tc->tc_name", Data(Access.READ, "tc->tc_name")),
        ("access of (x + 1)[3]", Data(Access.ACCESS, "(x + 1)[3]")),
    ],
)
def test_what_people_write(text: str, where: Where) -> None:
    want = parse(text)
    assert want.where == where
    assert want.condition == ""
    assert want.text == text.strip()


def test_a_condition_follows_if() -> None:
    want = parse("tc_init if tc->tc_quality > 0 && if_this", passes=2, most=3)
    assert (want.text, want.where) == ("tc_init", Function("tc_init"))
    assert want.condition == "tc->tc_quality > 0 && if_this"
    assert (want.passes, want.most) == (2, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no place to stop at"),
        ("tc_init if", "a C expression is expected"),
        ("two words", "no place to stop at"),
        ("rdtsc 3", "rdtsc takes no number"),
        ("out 0x43 0x34", "out takes one number"),
        ("out 0x10000", "no number from 0 to 0xffff"),
        ("cpuid 0x100000000", "no number from 0 to 0xffffffff"),
        ("cpuid leaf", "no number from 0"),
        ("cpuid 010", "no number from 0"),
        ("file.c:0", "lines count from 1"),
        ("x" * 1001, "at most 1000 characters"),
    ],
)
def test_what_makes_no_sense_is_said_to(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


@pytest.mark.parametrize(("passes", "most"), [(-1, None), (0, 0), (0, -3)])
def test_counts_count_something(passes: int, most: int | None) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        parse("tc_init", passes=passes, most=most)


@given(st.text(max_size=60))
def test_any_text_is_a_want_or_an_error_of_ours(text: str) -> None:
    try:
        want = parse(text)
    except UsageError:
        return
    assert parse(want.text).where == want.where
