"""Readers on a page that stands still: the reference's time, the guests' clamps, no hangs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_64, Flags
from timehands.clocks.pvclock.programs.ops import Branch, Label, edited, program, spell
from timehands.clocks.pvclock.programs.readers import READERS, Clamp, Reader, When
from timehands.clocks.pvclock.programs.run import memory_of, run
from timehands.clocks.pvclock.reading import nanoseconds

#: CLOCKS.md 13.3: a genuine record of KVM.
GENUINE = TimeInfo(2, 7656153286830, 1148131, 3435976585, -1, int(Flags.TSC_STABLE))
SECOND = 2_499_998_000
u64 = st.integers(0, MASK_64)
pages = st.builds(
    TimeInfo,
    st.integers(0, 2**31 - 1).map(lambda v: 2 * v),
    u64,
    u64,
    st.integers(0, 2**32 - 1),
    st.integers(-128, 127),
    st.just(int(Flags.TSC_STABLE)),
)
by_name = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def time_of(reader: Reader, info: TimeInfo, tsc: int, last: int = 0) -> int | None:
    return run(reader.program, memory_of(info, last), lambda: tsc).time


@by_name
def test_a_second_after_a_genuine_record(reader: Reader) -> None:
    time = time_of(reader, GENUINE, GENUINE.tsc_timestamp + SECOND)
    assert time == 1148131 + 999_999_999


@by_name
@given(info=pages, tsc=u64)
def test_a_page_that_stands_still_is_read_as_the_reader_says(
    reader: Reader, info: TimeInfo, tsc: int
) -> None:
    assert time_of(reader, info, tsc) == reader.nanoseconds(info, tsc)


@given(info=pages, tsc=u64)
def test_readers_agree_with_the_reference_where_the_tsc_is_not_before_the_page(
    info: TimeInfo, tsc: int
) -> None:
    tsc = max(tsc, info.tsc_timestamp)
    for reader in READERS.values():
        if reader.name != "openbsd-1":
            assert reader.nanoseconds(info, tsc) == nanoseconds(info, tsc)


@pytest.mark.parametrize("name", ["netbsd", "openbsd"])
def test_a_tsc_before_the_page_counts_as_the_page_where_the_delta_is_clamped(name: str) -> None:
    reader = READERS[name]
    assert Clamp.DELTA in reader.clamp
    assert time_of(reader, GENUINE, GENUINE.tsc_timestamp - 1) == GENUINE.system_time


@pytest.mark.parametrize("name", ["linux", "freebsd"])
def test_elsewhere_it_is_a_jump_of_centuries(name: str) -> None:
    time = time_of(READERS[name], GENUINE, GENUINE.tsc_timestamp - 1)
    assert time == 1148131 + 7378703531198382079  # CLOCKS.md 13.2


@by_name
def test_a_last_value_holds_only_when_the_page_is_not_stable(reader: Reader) -> None:
    loose = replace(GENUINE, flags=0)
    tsc, ahead = GENUINE.tsc_timestamp, GENUINE.system_time + 7
    assert time_of(reader, GENUINE, tsc, last=ahead) == GENUINE.system_time
    if reader.needs_stable:
        assert time_of(reader, loose, tsc) is None
        assert run(reader.program, memory_of(loose), lambda: tsc).why
    else:
        assert reader.when is When.NOT_STABLE
        assert time_of(reader, loose, tsc, last=ahead) == ahead
        memory = memory_of(loose, last=5)
        assert run(reader.program, memory, lambda: tsc).time == GENUINE.system_time
        assert memory["last"] == GENUINE.system_time


@by_name
@pytest.mark.parametrize("version", [1, 2**32 - 1])
def test_a_version_that_stays_odd_is_a_verdict_and_no_hang(reader: Reader, version: int) -> None:
    ran = run(reader.program, memory_of(replace(GENUINE, version=version)), lambda: 0)
    assert ran.time is None
    assert "no consistent page" in ran.why


def test_linux_clears_that_the_guest_was_stopped() -> None:
    memory = memory_of(replace(GENUINE, flags=3))
    run(READERS["linux"].program, memory, lambda: GENUINE.tsc_timestamp)
    assert memory["flags"] == int(Flags.TSC_STABLE)
    memory = memory_of(replace(GENUINE, flags=3))
    run(READERS["freebsd"].program, memory, lambda: GENUINE.tsc_timestamp)
    assert memory["flags"] == 3


def test_openbsd_s_first_product_overflows() -> None:
    late = GENUINE.tsc_timestamp + 10 * SECOND
    assert time_of(READERS["openbsd-1"], GENUINE, late) != nanoseconds(GENUINE, late)
    assert time_of(READERS["openbsd"], GENUINE, late) == nanoseconds(GENUINE, late)


@by_name
def test_each_reader_names_its_source_and_spells_its_instructions(reader: Reader) -> None:
    assert "pvclock" in reader.source
    assert all(spell(op) for op in reader.program.ops)
    assert reader.program.name == reader.name


def test_a_label_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no label 'nowhere'"):
        program("lost", Branch("nowhere"))


def test_labels_stay_where_they_were_when_a_program_is_edited() -> None:
    old = program("old", Branch("end"), Branch("end"), Label("end"), Branch("end"))
    new = edited(old, "new", lambda op: (op, op))
    assert new.labels["end"] == 4
    assert len(edited(old, "none", lambda _op: ()).ops) == 0


def test_a_program_without_an_end_says_so() -> None:
    assert run(program("empty"), {}, lambda: 0).time is None
