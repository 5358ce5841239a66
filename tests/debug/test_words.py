"""What a session shows, from what was seen."""

from __future__ import annotations

import json

import pytest

from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug import words
from timehands.debug.session import Seen
from timehands.kernels.unwind import Backtrace, Frame, How
from timehands.watch.interventions import Did, Intervention
from timehands.watch.stops import Kind, Placed, Stop, parse
from timehands.watch.stops.log import Entry
from timehands.watch.stops.sites import Sites
from watch.stops.guests import address, kernel
from watch.stops.test_sites import sites

START = 1_000_000_000
FRAME = Frame(0x1234, "tc_init", 0x12, How.CFI, file="/usr/src/sys/kern/kern_tc.c", line=55)
SEEN = Seen(
    values=(("tsc_freq", "0"),),
    backtrace=Backtrace((FRAME, Frame(0x99, "", 0, How.SCAN)), "more than 2 frames"),
    leaves=((0x4, 1, Leaf(1, 2, 3, 4)),),
    changes=(Intervention(0, 5, Did.VARIABLE, "tsc_freq = 1 (was 0)", 0),),
    troubles=("x cannot be set",),
)


def stop(why: str, where: str, vcpu: int = 0) -> Stop:
    entry = Entry(3, START + 702_000_000, vcpu, 0x1234, why, where)
    return Stop(Kind.WANTED, entry, None, notes=("a note",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "where", "shown"),
    [
        ("tc_init", "tc_init at kern_tc.c:55", "tc_init at kern_tc.c:55"),
        ("kern_tc.c:56 in tc_init", "tc_init at kern_tc.c:56", "tc_init at kern_tc.c:56"),
        ("out 0x43 = 0x34", "f at clock.c:1", "out 0x43 = 0x34  in f at clock.c:1"),
    ],
)
def test_a_heading_says_when_why_and_where(why: str, where: str, shown: str) -> None:
    text = words.heading(stop(why, where), START)
    assert text.startswith("s3 ")
    assert "0.702 s" in text
    assert text.endswith(shown)
    assert words.heading(stop(why, where, vcpu=1), START).endswith("on vCPU 1")


def test_details_tell_what_was_looked_at_before_what_was_changed() -> None:
    assert list(words.details(stop("f", "f"), SEEN)) == [
        "(a note)",
        "(x cannot be set)",
        "tsc_freq = 0",
        "cpuid 0x4/0x1: eax 0x1 ebx 0x2 ecx 0x3 edx 0x4",
        "#0  tc_init at kern_tc.c:55  [CFI]",
        "#1  0x99  [stack scan, a guess]",
        "we set tsc_freq = 1 (was 0)",
    ]


def test_a_stop_as_json_is_made_of_json_types() -> None:
    row = json.loads(json.dumps(words.stop_row(stop("f", "f"), SEEN, START)))
    assert (row["stop"], row["at_ns"], row["values"]) == ("s3", 702_000_000, {"tsc_freq": "0"})
    assert row["backtrace"][0]["line"] == 55
    assert row["cpuid"] == [{"leaf": 4, "subleaf": 1, "eax": 1, "ebx": 2, "ecx": 3, "edx": 4}]
    assert row["changes"] == [{"kind": "variable", "what": "tsc_freq = 1 (was 0)"}]


def test_a_file_s_functions_are_listed_as_they_were_reached() -> None:
    found: Sites = sites("kern_tc.c:*")
    placed = Placed(1, parse("kern_tc.c:*"), found.sites)
    by_name = {site.name: site for site in found.sites}
    first, second = list(by_name)[-1], "tc_init"
    assert by_name["tc_init"].point.address == address("tc_init")
    for name in (first, second, first):
        placed.reach(by_name[name])
    lines = list(words.reached_lines(placed))
    assert lines[0] == f"kern_tc.c: 2 of {len(found.sites)} functions were reached"
    assert lines[1].endswith(f"in this order: {first}, {second}")
    assert "tc_init" not in lines[2]
    assert kernel().symbols.lookup("tc_init")
