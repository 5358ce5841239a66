"""The rules of a read are those of the guests' programs of memory accesses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs import readers as programs
from timehands.simulate.readers import READERS, LastValue, keeps_last, nanoseconds

_PAGES = st.builds(
    TimeInfo,
    version=st.just(2),
    tsc_timestamp=st.integers(0, 2**62),
    system_time=st.integers(0, 2**64 - 1),
    tsc_to_system_mul=st.integers(0, 2**32 - 1),
    tsc_shift=st.integers(-31, 31),
    flags=st.integers(0, 7),
)


def test_every_program_is_here_and_the_tsc() -> None:
    assert set(READERS) == {*programs.READERS, "tsc", "unclamped"}


@pytest.mark.parametrize("name", programs.READERS)
@given(page=_PAGES, tsc=st.integers(0, 2**62))
def test_a_read_is_what_the_program_computes(name: str, page: TimeInfo, tsc: int) -> None:
    """TSCs are within 2^62: a guest's reaches that after decades."""
    assert nanoseconds(READERS[name], page, tsc) == programs.READERS[name].nanoseconds(page, tsc)


@pytest.mark.parametrize("name", programs.READERS)
def test_the_last_value_counts_when_the_program_says(name: str) -> None:
    rules, told = READERS[name], programs.READERS[name]
    clamps = programs.Clamp.LAST_VALUE in told.clamp
    assert (rules.last_value is not LastValue.NEVER) is clamps
    stable, unstable = (TimeInfo(2, 0, 0, 1, 0, flags) for flags in (1, 0))
    assert keeps_last(rules, unstable) is clamps
    assert keeps_last(rules, stable) is (clamps and told.when is programs.When.ALWAYS)


def test_the_vdso_and_the_drivers_with_one_page_read_that_of_the_first_vcpu() -> None:
    first = {name for name, reader in READERS.items() if reader.reads_first}
    assert first == {"linux-vdso", "netbsd", "openbsd", "openbsd-1"}
    assert [name for name, reader in READERS.items() if not reader.reads_page] == ["tsc"]
