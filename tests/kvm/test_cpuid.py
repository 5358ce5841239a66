"""CPUID answers as KVM takes and gives them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable
from timehands.kvm.cpuid import CpuidEntry, buffer_of, entries_from, entries_of, table_of
from timehands.kvm.numbers import MAX_CPUID_ENTRIES, CpuidFlags

U32 = st.integers(0, 2**32 - 1)
ENTRIES = st.lists(
    st.builds(
        CpuidEntry,
        U32,
        U32,
        st.sampled_from([CpuidFlags(0), CpuidFlags.SIGNIFICANT_INDEX]),
        st.builds(Registers, U32, U32, U32, U32),
    ),
    max_size=5,
)


@given(ENTRIES)
def test_answers_go_there_and_back(entries: list[CpuidEntry]) -> None:
    assert entries_from(buffer_of(entries)) == tuple(entries)


@given(st.binary(min_size=8, max_size=200))
def test_no_more_answers_are_read_than_there_are(data: bytes) -> None:
    assert len(entries_from(bytearray(data))) <= (len(data) - 8) // 40


def test_more_answers_than_kvm_takes_are_refused() -> None:
    entry = CpuidEntry(1, 0, CpuidFlags(0), Registers(0, 0, 0, 0))
    with pytest.raises(ValueError, match="256 CPUID answers at most, not 257"):
        buffer_of([entry] * (MAX_CPUID_ENTRIES + 1))


def test_a_table_says_where_the_subleaf_matters() -> None:
    some = Registers(1, 2, 3, 4)
    table = CpuidTable({(1, 0): some, (1, 1): some, (7, 0): some, (7, 1): some})
    assert [(e.leaf, e.subleaf, e.flags) for e in entries_of(table)] == [
        (1, 0, CpuidFlags(0)),
        (7, 0, CpuidFlags.SIGNIFICANT_INDEX),
        (7, 1, CpuidFlags.SIGNIFICANT_INDEX),
    ]
    assert table_of(entries_of(table))[1, 0] == some
