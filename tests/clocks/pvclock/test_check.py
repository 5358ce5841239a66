"""Verdicts: each code has a page that gives it, and any bytes get verdicts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from timehands.clocks.pvclock.check import SHIFTS, check_time_info, check_wall_clock
from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.scale import time_scale, xen_time_scale
from timehands.clocks.pvclock.verdicts import TROUBLES, Severity, Verdict, is_wrong, worst

GOOD = KVM_RECORDS[0]
GOOD_WALL = WallClock(2, 1795232565, 721313481)
TSC = GOOD.tsc_timestamp + 1000
U64 = st.integers(0, (1 << 64) - 1)
CENTURIES = (1 << 64) - 100

#: What is different from a good page, and the codes that this gives.
PAGES: tuple[tuple[dict[str, int], set[str]], ...] = (
    ({}, set()),
    ({"version": 0}, {"PV102"}),
    ({"version": 3}, {"PV103"}),
    ({"tsc_to_system_mul": 0}, {"PV104"}),
    ({"tsc_shift": -35}, {"PV105", "PV108"}),
    ({"tsc_shift": 31}, {"PV105", "PV108", "PV117"}),
    ({"tsc_shift": 64}, {"PV105", "PV106", "PV108", "PV116"}),
    ({"tsc_shift": -128}, {"PV105", "PV106", "PV108"}),
    ({"tsc_to_system_mul": 1 << 30, "tsc_shift": 1}, {"PV107", "PV109"}),
    ({"tsc_shift": 5}, {"PV108"}),
    ({"tsc_to_system_mul": GOOD.tsc_to_system_mul + 1}, {"PV109"}),
    ({"flags": 0x81}, {"PV110"}),
    ({"flags": 5}, {"PV111"}),
    ({"pad0": 1}, {"PV112"}),
    ({"pad": 1}, {"PV112"}),
    ({"flags": 3}, {"PV113"}),
    ({"flags": 0}, {"PV114"}),
    ({"tsc_timestamp": TSC + 1}, {"PV115"}),
    ({"tsc_shift": 30, "tsc_timestamp": TSC - (1 << 34)}, {"PV108", "PV116"}),
    ({"tsc_timestamp": TSC - (1 << 34)}, {"PV117"}),
    ({"system_time": 1 << 63}, {"PV118"}),
    ({"system_time": CENTURIES}, {"PV118", "PV119"}),
)
WALLS: tuple[tuple[dict[str, int], set[str]], ...] = (
    ({}, set()),
    ({"version": 0}, {"PV152"}),
    ({"version": 5}, {"PV153"}),
    ({"nsec": 10**9}, {"PV154"}),
    ({"sec": 4}, {"PV155"}),
)


def codes(verdicts: tuple[Verdict, ...]) -> set[str]:
    return {verdict.code for verdict in verdicts}


@pytest.mark.parametrize(("change", "expected"), PAGES)
def test_pages(change: dict[str, int], expected: set[str]) -> None:
    found = check_time_info(replace(GOOD, **change).build(), TSC)
    assert codes(found) == expected
    assert [verdict.code for verdict in found] == sorted(codes(found))


@pytest.mark.parametrize(("change", "expected"), WALLS)
def test_wall_clocks(change: dict[str, int], expected: set[str]) -> None:
    assert codes(check_wall_clock(replace(GOOD_WALL, **change).build())) == expected


def test_records_too_short_and_seconds_too_many() -> None:
    assert codes(check_time_info(b"")) == codes(check_time_info(bytes(31))) == {"PV101"}
    assert codes(check_wall_clock(bytes(11))) == {"PV151"}
    assert codes(check_wall_clock(GOOD_WALL.build(), 1)) == {"PV156"}


def test_each_code_of_a_record_has_a_case_here() -> None:
    seen = {"PV101", "PV151", "PV156"}
    for _, expected in PAGES + WALLS:
        seen |= expected
    assert seen == {code for code in TROUBLES if code < "PV2"}


@given(st.binary(max_size=40), st.none() | U64)
def test_any_bytes_get_verdicts(data: bytes, tsc: int | None) -> None:
    for verdict in (*check_time_info(data, tsc), *check_wall_clock(data)):
        assert verdict.code in TROUBLES
        assert len(verdict.text) < 200


@given(st.integers(100_000, 9_999_999), st.integers(0, (1 << 62) - 1), st.integers(0, 1 << 62))
def test_pages_as_kvm_writes_them_are_good(tsc_khz: int, tsc: int, ns: int) -> None:
    page = TimeInfo(2, tsc, ns, *time_scale(tsc_khz), flags=1).build()
    assert check_time_info(page, tsc) == ()


@given(st.integers(10**8, 10**10 - 10))
def test_pages_as_xen_writes_them_have_notes_at_most(hz: int) -> None:
    page = TimeInfo(2, 0, 0, *xen_time_scale(hz), flags=0).build()
    assert codes(check_time_info(page)) <= {"PV109", "PV114"}


@given(st.integers(1, (1 << 64) - 1))
def test_the_shifts_are_all_that_there_are(hz: int) -> None:
    assert xen_time_scale(hz).shift in SHIFTS


def test_a_tsc_before_the_page_says_how_far_ahead_it_reads() -> None:
    (verdict,) = check_time_info(GOOD.build(), GOOD.tsc_timestamp - 1)
    assert verdict.ns == 7378703531198382079
    assert verdict.text.startswith("1 cycles before")


def test_how_bad_it_is() -> None:
    note, warning, error = Verdict("PV114", ""), Verdict("PV103", ""), Verdict("PV104", "")
    assert worst([]) is None
    assert worst([note, error, warning]) == Severity.ERROR
    assert not is_wrong([note])
    assert not is_wrong([])
    assert is_wrong([note, warning])
    assert is_wrong([error])


def test_a_verdict_as_json_has_all_its_words() -> None:
    data = Verdict("PV205", "by 5 ns", 5, 7, 2).to_json()
    assert data == {
        "code": "PV205",
        "severity": "error",
        "title": TROUBLES["PV205"].title,
        "text": "by 5 ns",
        "meaning": TROUBLES["PV205"].meaning,
        "ns": 5,
        "line": 7,
        "count": 2,
    }


def test_the_words_are_whole() -> None:
    for code, trouble in TROUBLES.items():
        assert re.fullmatch(r"PV[12]\d\d", code)
        assert trouble.title
        assert trouble.meaning.endswith(".")
