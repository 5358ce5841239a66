"""Scenarios made in Python: checked when they are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from timehands.errors import ScenarioError
from timehands.simulate import events
from timehands.simulate.hosts import HostSpec
from timehands.simulate.scenario import MAX_READS, Away, Load, Scenario
from timehands.simulate.segments import MAX_PRODUCT, MAX_SEGMENT_NS
from timehands.simulate.units import Span

S = 10**9
GOOD = Scenario(title="good", hosts=(HostSpec(name="a", tsc_khz=2_500_000),), duration_ns=S)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_ns": 1.5}, "duration is 1.5, no whole number"),
        ({"vcpus": True}, "vcpus is True, no whole number"),
        ({"hosts": ()}, "there is no host"),
        ({"hosts": (HostSpec(name="a", tsc_khz=2.5),)}, "tsc_khz is 2.5, no whole"),  # type: ignore[arg-type]
        ({"events": (events.Pause(at_ns=5, for_ns=S),)}, "event 1: its end is"),
        ({"events": (events.Restore(at_ns=5, after_ns=5, host=1),)}, "there is no host 1"),
        ({"events": (events.SetDate(at_ns=1),) * 2001}, "there are 2,001 events"),
        ({"reads_per_s": MAX_READS, "duration_ns": 2 * S}, "clock reads, which would take hours"),
        (
            {"load": Load(exits=Away(every=Span(1, 1), length=Span(0, 0)))},
            "exits and entries, which would take hours",
        ),
        ({"load": Load(exits=Away(every=Span(5, 1), length=Span(0, 0)))}, "load: exits: every"),
    ],
)
def test_what_is_wrong_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        replace(GOOD, **changes)


def test_segments_are_so_short_that_products_fit() -> None:
    for khz in (1, 2_500_000, 10**9):
        host = HostSpec(name="a", tsc_khz=khz, drift_ppb=10**8)
        scenario = replace(GOOD, hosts=(host,), duration_ns=10**6)
        assert scenario.longest_ns * host.hz < MAX_PRODUCT
        assert 1 <= scenario.longest_ns <= MAX_SEGMENT_NS


def test_the_digest_tells_scenarios_apart_but_not_by_their_names() -> None:
    assert replace(GOOD, title="x", name="y").digest == GOOD.digest
    assert replace(GOOD, vcpus=2).digest != GOOD.digest
    assert len(GOOD.digest) == 64


def test_the_guest_believes_in_the_first_host_unless_it_is_told() -> None:
    assert GOOD.khz == 2_500_000
    assert replace(GOOD, guest_khz=5).khz == 5
