"""Pages over time: what each pair of samples shows, and logs that are none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from timehands.clocks.pvclock.history import (
    History,
    Sample,
    check_history,
    parse_samples,
)
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.verdicts import TROUBLES, Verdict

GOOD = KVM_RECORDS[0]
TSC = GOOD.tsc_timestamp
HZ = 2_499_998_000
LATER = TSC + HZ


def updated(**change: int) -> TimeInfo:
    """The page as it is a second later, when all is well, but for what is said."""
    fields = {"version": 4, "tsc_timestamp": LATER, "system_time": nanoseconds(GOOD, LATER)}
    return replace(GOOD, **{**fields, **change})


def history(*samples: tuple[int, TimeInfo]) -> History:
    return check_history(Sample(tsc, info.build()) for tsc, info in samples)


def codes(found: History) -> set[str]:
    return {verdict.code for verdict in found.verdicts}


#: The second page, the TSC at which it was read, and the codes.
PAIRS: tuple[tuple[TimeInfo, int, set[str]], ...] = (
    (GOOD, LATER, set()),
    (updated(), LATER + 50, set()),
    (updated(version=0xFFFFFFFE), LATER, {"PV201"}),
    (updated(version=2), LATER, {"PV202"}),
    (GOOD, TSC + 1, {"PV204", "PV211"}),
    (updated(system_time=GOOD.system_time - 9), LATER, {"PV205", "PV206", "PV211"}),
    (updated(system_time=nanoseconds(GOOD, LATER) - 1), LATER + 50, {"PV206"}),
    (updated(system_time=nanoseconds(GOOD, LATER) + 7), LATER, {"PV207"}),
    (
        replace(GOOD, version=4, tsc_to_system_mul=1 << 31, tsc_shift=0),
        LATER,
        {"PV208"},
    ),
    (updated(tsc_to_system_mul=1 << 31, tsc_shift=0), LATER, {"PV209"}),
    (updated(flags=0), LATER, {"PV114", "PV210"}),
    (updated(tsc_timestamp=TSC - 5), LATER, {"PV213"}),
    (updated(version=5, system_time=0, tsc_timestamp=0), LATER, {"PV103"}),
    (replace(GOOD, flags=3), LATER, {"PV113"}),
)


@pytest.mark.parametrize(("second", "tsc", "expected"), PAIRS)
def test_pairs_of_samples(second: TimeInfo, tsc: int, expected: set[str]) -> None:
    assert codes(history((TSC + 100, GOOD), (tsc, second))) - {"PV117"} == expected


def test_each_code_of_a_log_has_a_case_here() -> None:
    seen = {"PV203", "PV212", "PV214", "PV215"}
    for _, _, expected in PAIRS:
        seen |= expected
    assert {code for code in seen if code >= "PV2"} == {code for code in TROUBLES if code >= "PV2"}


def test_a_guest_that_clears_guest_stopped_leaves_the_version() -> None:
    stopped = replace(GOOD, flags=3)
    assert codes(history((TSC, stopped), (TSC + 1, GOOD))) == {"PV113"}


def test_factors_changed_in_place_make_time_jump() -> None:
    found = history((TSC, GOOD), (LATER, replace(GOOD, version=4, tsc_to_system_mul=1 << 31)))
    (verdict,) = (verdict for verdict in found.verdicts if verdict.code == "PV208")
    assert verdict.ns == 999_999_999 - HZ // 4
    assert f"{HZ // 4 - 999_999_999:,} ns" in verdict.text


def test_a_version_may_wrap() -> None:
    last = replace(GOOD, version=0xFFFFFFFE)
    assert "PV201" not in codes(history((TSC, last), (LATER, updated(version=0))))


def test_a_page_that_is_never_even() -> None:
    odd = replace(GOOD, version=3)
    found = history((TSC, odd), (TSC + 5, odd))
    assert codes(found) == {"PV103", "PV203"}
    assert {verdict.count for verdict in found.verdicts} == {1, 2}


def test_nothing_is_a_verdict_too() -> None:
    assert codes(check_history([])) == {"PV215"}


def test_the_worst_of_many_is_kept_and_all_are_counted() -> None:
    pages = [
        replace(GOOD, version=2 * n + 2, system_time=GOOD.system_time - back)
        for n, back in enumerate((0, 5, 905, 906))
    ]
    found = check_history(Sample(TSC, page.build(), line=n) for n, page in enumerate(pages))
    (verdict,) = (v for v in found.verdicts if v.code == "PV205")
    assert (verdict.ns, verdict.line, verdict.count) == (900, 2, 3)
    assert found.samples == found.pages == 4


def test_vcpus_have_their_own_pages_but_one_time() -> None:
    ahead = replace(GOOD, system_time=GOOD.system_time + 1000)
    found = check_history([Sample(TSC, ahead.build(), vcpu=1), Sample(TSC, GOOD.build(), vcpu=0)])
    (verdict,) = found.verdicts
    assert (verdict.code, verdict.ns) == ("PV211", 1000)
    assert "from vCPU 1 to vCPU 0" in verdict.text


@pytest.mark.parametrize(("host_s_in_us", "wrong"), [(1_000_000, False), (1_001_000, True)])
def test_the_rate_against_the_hosts_clock(host_s_in_us: int, wrong: bool) -> None:
    samples = [
        Sample(TSC + n * HZ, GOOD.build(), host_ns=5 + n * host_s_in_us * 1000) for n in range(4)
    ]
    found = check_history(samples)
    assert found.rate_ppb is not None
    assert abs(found.rate_ppb + (host_s_in_us - 1_000_000) * 1000) <= 1000
    assert ("PV212" in codes(found)) == wrong


def test_host_times_that_do_not_advance_give_no_rate() -> None:
    samples = [Sample(TSC + n, GOOD.build(), host_ns=5) for n in range(3)]
    assert check_history(samples).rate_ppb is None
    assert history((TSC, GOOD)).rate_ppb is None


def line(**fields: object) -> str:
    return json.dumps({"tsc": TSC, "page": GOOD.build().hex(), **fields})


def test_lines_of_a_log() -> None:
    text = [
        line(),
        "",
        line(tsc=hex(TSC), host_ns=5, vcpu=3, more=[1]),
        line(page="0x" + "00" * 40),
    ]
    assert list(parse_samples(text)) == [
        Sample(TSC, GOOD.build(), line=1),
        Sample(TSC, GOOD.build(), 5, 3, 3),
        Sample(TSC, bytes(32), line=4),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "column 2"),
        ("5", "not an object"),
        ("{}", "page is missing"),
        (line(page=5), "not hex digits"),
        (line(page="zz" * 32), "hexadecimal"),
        (line(page="00"), "1 bytes, not 32"),
        (line(tsc=-1), "tsc is not an integer"),
        (line(tsc=1 << 64), "tsc is not an integer"),
        (line(tsc=1.5), "tsc is not an integer"),
        (line(tsc=True), "tsc is not an integer"),
        (line(tsc="nought"), "invalid literal"),
        (line(vcpu=5000), "vcpu is not an integer"),
        (line(host_ns=[]), "host_ns is not an integer"),
        ("[" * 100_000, "too deeply nested"),
        ('{"tsc": ' + "9" * 5000 + "}", "digits"),
    ],
)
def test_lines_that_are_no_samples(text: str, reason: str) -> None:
    (verdict,) = parse_samples([text])
    assert isinstance(verdict, Verdict)
    assert (verdict.code, verdict.line) == ("PV214", 1)
    assert reason in verdict.text
    assert codes(check_history([verdict])) == {"PV214", "PV215"}


@given(
    st.lists(
        st.builds(
            Sample,
            st.integers(0, (1 << 64) - 1),
            st.binary(min_size=32, max_size=32),
            st.none() | st.integers(0, 1 << 64),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_any_pages_get_verdicts(samples: list[Sample]) -> None:
    found = check_history(samples)
    assert found.samples == len(samples)
    assert codes(found) <= set(TROUBLES)


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text_is_a_log(lines: list[str]) -> None:
    check_history(parse_samples(lines))
