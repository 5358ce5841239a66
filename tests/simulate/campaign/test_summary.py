"""Quantiles and worst seeds, against plain Python."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from campaign_jobs import MadeUp, made_up_row
from timehands.simulate.campaign import ALL_VCPUS, CampaignRequest, Row, run_campaign
from timehands.simulate.campaign.rows import FIGURES
from timehands.simulate.campaign.summary import InMemory, figures, unmet, worst_seed

import numpy as np  # isort: skip


def stored(*rows: Row) -> InMemory:
    """A store with these rows."""
    store = InMemory()
    store.write(rows)
    return store


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=60))
def test_quantiles_are_values_by_nearest_rank(values: list[int]) -> None:
    rows = [made_up_row(s, ALL_VCPUS)._replace(offset_worst_ns=v) for s, v in enumerate(values)]
    found = {one.name: one for one in figures(stored(*rows), range(len(rows)))}["offset_worst_ns"]
    assert (found.least, found.greatest) == (min(values), max(values))
    assert found.median == statistics.median_low(values)
    assert sum(value <= found.p90 for value in values) * 10 >= len(values) * 9
    assert sum(value < found.p90 for value in values) * 10 < len(values) * 9
    assert abs(values[found.worst_seed]) == max(map(abs, values))
    assert found.seeds == len(values)


def test_a_figure_that_some_seeds_lack_is_that_of_the_others() -> None:
    rates = [None, 5, None, -7]
    rows = [made_up_row(s, ALL_VCPUS)._replace(rate_error_ppb=r) for s, r in enumerate(rates)]
    found = {one.name: one for one in figures(stored(*rows), range(4))}["rate_error_ppb"]
    assert (found.seeds, found.least, found.greatest, found.worst_seed) == (2, -7, 5, 3)
    none = [row._replace(rate_error_ppb=None) for row in rows]
    assert "rate_error_ppb" not in {one.name for one in figures(stored(*none), range(4))}


def test_only_the_seeds_that_were_asked_for_count() -> None:
    rows = [made_up_row(seed, vcpu) for seed in range(50) for vcpu in (ALL_VCPUS, 0)]
    some = [row for row in rows if 10 <= row.seed < 20 and row.vcpu == ALL_VCPUS]
    for one in figures(stored(*rows), range(10, 20)):
        values = [getattr(row, one.name) for row in some if getattr(row, one.name) is not None]
        assert (one.least, one.greatest) == (min(values), max(values))
    assert unmet(stored(*rows), range(10, 20)) == sum(row.unmet > 0 for row in some)


def test_the_worst_seed_is_unmet_then_back_then_off() -> None:
    calm = made_up_row(0, ALL_VCPUS)._replace(
        unmet=0, worst_warp_ns=0, worst_warp_across_ns=0, offset_worst_ns=0
    )
    off = calm._replace(seed=1, offset_worst_ns=-10)
    back = calm._replace(seed=2, worst_warp_ns=5)
    fails = calm._replace(seed=3, unmet=1)
    assert worst_seed(stored(calm, off), range(9)) == 1
    assert worst_seed(stored(calm, off, back), range(9)) == 2
    assert worst_seed(stored(fails, back, off, calm), range(9)) == 3
    assert worst_seed(stored(calm, calm._replace(seed=4)), range(9)) == 0
    assert worst_seed(stored(), range(9)) is None


def test_a_summary_is_plain_json() -> None:
    import json

    summary = run_campaign(CampaignRequest(MadeUp(), range(20), jobs=1))
    data = summary.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["seeds"] == 20
    assert set(data["figures"]) == set(FIGURES) - {"worst_jump_ns"}  # no made-up row has one
    assert np.iinfo(np.int64).max > data["reads"] == 20 * 999
