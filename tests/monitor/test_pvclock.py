"""Our pvclock: what it writes, when, and where it refuses to."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.loading.files import guest_memory
from timehands.clocks.pvclock.layout import TimeInfo, WallClock
from timehands.clocks.pvclock.numbers import MASK_64, Flags
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.clocks.pvclock.scale import time_scale
from timehands.kvm.memory import GuestMemory
from timehands.monitor.layout import HOLE, MIB
from timehands.monitor.pvclock import Base, Pvclock

SYSTEM, SYSTEM_OLD, WALL, WALL_OLD = 0x4B564D01, 0x12, 0x4B564D00, 0x11
KHZ = 2_599_998
PAGE = 0x9000
SIZE = 4 * MIB


@pytest.fixture
def memory() -> Iterator[GuestMemory]:
    """4 MiB."""
    with guest_memory(SIZE) as made:
        yield made


@pytest.fixture
def pvclock(memory: GuestMemory) -> Pvclock:
    """A provider whose time is 5 s at TSC 1000."""
    made = Pvclock(memory, KHZ)
    made.set_base(Base(1000, 5 * 10**9, time.monotonic_ns()))
    return made


def record(memory: GuestMemory, address: int = PAGE) -> TimeInfo:
    return TimeInfo.parse(memory.read(address, 32))


def registered(pvclock: Pvclock, vcpu: int = 0, address: int = PAGE) -> None:
    assert pvclock.write_msr(vcpu, SYSTEM, address | 1)
    pvclock.before_entry(vcpu)


def test_the_record_is_written_at_the_next_entry(pvclock: Pvclock, memory: GuestMemory) -> None:
    assert pvclock.write_msr(0, SYSTEM, PAGE | 1)
    assert memory.read(PAGE, 32) == bytes(32)
    pvclock.before_entry(0)
    scale = time_scale(KHZ)
    assert record(memory) == TimeInfo(2, 1000, 5 * 10**9, *scale, Flags.TSC_STABLE)


def test_without_the_stable_promise_the_flag_is_clear(memory: GuestMemory) -> None:
    pvclock = Pvclock(memory, KHZ, stable=False)
    registered(pvclock)
    assert record(memory).flags == 0


def test_it_is_not_written_again_until_the_base_changes(
    pvclock: Pvclock, memory: GuestMemory
) -> None:
    registered(pvclock)
    memory.write(PAGE, bytes(32))
    pvclock.before_entry(0)
    assert memory.read(PAGE, 32) == bytes(32)
    pvclock.set_base(Base(2000, 6 * 10**9, 0))
    pvclock.before_entry(0)
    assert (record(memory).tsc_timestamp, record(memory).system_time) == (2000, 6 * 10**9)


@given(st.integers(0, 2**32 - 1))
def test_versions_go_on_from_what_is_there_and_end_even(found: int) -> None:
    with guest_memory(SIZE) as memory:
        pvclock = Pvclock(memory, KHZ)
        memory.write(PAGE, found.to_bytes(4, "little"))
        registered(pvclock)
        version = record(memory).version
        assert version % 2 == 0
        assert (version - found) % 2**32 == 2 + found % 2


def test_the_version_is_odd_while_the_rest_is_written(
    pvclock: Pvclock, memory: GuestMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, write = [], memory.write

    def watched(address: int, data: bytes | memoryview) -> None:
        write(address, data)
        seen.append(record(memory))

    monkeypatch.setattr(memory, "write", watched)
    registered(pvclock)
    *before, last = seen
    assert all(each.version % 2 for each in before)
    assert before[0].tsc_timestamp == 0  # nothing but the version yet
    assert last.version == before[-1].version + 1
    assert last.tsc_timestamp == before[-1].tsc_timestamp == 1000


def test_vcpus_have_records_of_one_clock(pvclock: Pvclock, memory: GuestMemory) -> None:
    for vcpu in range(3):
        registered(pvclock, vcpu, PAGE + 64 * vcpu)
    records = {record(memory, PAGE + 64 * vcpu) for vcpu in range(3)}
    assert len(records) == 1
    pvclock.set_base(Base(7, 8, 9))
    pvclock.before_entry(1)
    assert record(memory, PAGE + 64).system_time == 8
    assert record(memory, PAGE).system_time == 5 * 10**9  # vCPU 0 has not entered


@pytest.mark.parametrize("msr", [SYSTEM, SYSTEM_OLD])
@pytest.mark.parametrize(
    ("address", "taken"),
    [
        (SIZE - 32, True),
        (SIZE - 28, False),
        (SIZE, False),
        (HOLE, False),
        (0xFEE00000, False),
        (1 << 40, False),
        ((1 << 64) - 32, False),
        (PAGE + 2, False),
        (PAGE + 4, True),
        (0x9FF0, True),  # crosses a page; the memory does not end there
        (0, True),
    ],
)
def test_a_record_must_lie_in_memory(
    pvclock: Pvclock, memory: GuestMemory, msr: int, address: int, taken: bool
) -> None:
    assert pvclock.write_msr(0, msr, address | 1) is taken
    assert pvclock.registered == ({0: address} if taken else {})
    assert pvclock.read_msr(0, msr) == (address | 1 if taken else 0)
    pvclock.before_entry(0)


@given(st.integers(0, MASK_64), st.sampled_from([SYSTEM, SYSTEM_OLD, WALL, WALL_OLD]))
def test_any_value_is_taken_or_refused(value: int, msr: int) -> None:
    with guest_memory(2 * MIB) as memory:
        pvclock = Pvclock(memory, KHZ)
        taken = pvclock.write_msr(0, msr, value)
        pvclock.before_entry(0)
        assert pvclock.read_msr(0, msr) == (value if taken else 0)


def test_a_refused_address_leaves_the_record_where_it_was(
    pvclock: Pvclock, memory: GuestMemory
) -> None:
    registered(pvclock)
    assert not pvclock.write_msr(0, SYSTEM, SIZE | 1)
    assert pvclock.registered == {0: PAGE}
    assert pvclock.read_msr(0, SYSTEM) == PAGE | 1


def test_disabled_it_is_left_as_it_is(pvclock: Pvclock, memory: GuestMemory) -> None:
    registered(pvclock)
    before = record(memory)
    assert pvclock.write_msr(0, SYSTEM, PAGE)
    pvclock.set_base(Base(1, 2, 3))
    pvclock.before_entry(0)
    assert record(memory) == before
    assert pvclock.registered == {}


def test_registered_elsewhere_it_moves(pvclock: Pvclock, memory: GuestMemory) -> None:
    registered(pvclock)
    registered(pvclock, 0, PAGE + 0x1000)
    before = record(memory)
    pvclock.set_base(Base(1, 2, 3))
    pvclock.before_entry(0)
    assert record(memory) == before
    assert record(memory, PAGE + 0x1000).system_time == 2


def test_the_old_and_the_new_msr_are_one_register(pvclock: Pvclock) -> None:
    assert pvclock.write_msr(0, SYSTEM_OLD, PAGE | 1)
    assert pvclock.read_msr(0, SYSTEM) == PAGE | 1
    assert pvclock.read_msr(1, SYSTEM) == 0
    assert pvclock.write_msr(1, WALL, PAGE + 64)
    assert pvclock.read_msr(0, WALL_OLD) == PAGE + 64


def test_guest_stopped_stays_until_the_guest_clears_it(
    pvclock: Pvclock, memory: GuestMemory
) -> None:
    registered(pvclock)
    pvclock.stopped()
    pvclock.before_entry(0)
    assert record(memory).flags == Flags.TSC_STABLE | Flags.GUEST_STOPPED
    pvclock.set_base(Base(1, 2, 3))
    pvclock.before_entry(0)
    assert record(memory).flags & Flags.GUEST_STOPPED
    memory.write(PAGE + 29, bytes([Flags.TSC_STABLE]))
    pvclock.set_base(Base(4, 5, 6))
    pvclock.before_entry(0)
    assert not record(memory).flags & Flags.GUEST_STOPPED


@given(st.integers(-(2**65), 2**65), st.integers(-(2**65), 2**65))
def test_a_time_moved_out_of_64_bits_wraps(tsc: int, system_ns: int) -> None:
    with guest_memory(SIZE) as memory:
        pvclock = Pvclock(memory, KHZ)
        pvclock.set_base(Base(tsc, system_ns, 0))
        registered(pvclock)
        assert nanoseconds(record(memory), tsc & MASK_64) == system_ns & MASK_64
        assert pvclock.now_ns(tsc & MASK_64) == system_ns & MASK_64


@pytest.mark.parametrize("msr", [WALL, WALL_OLD])
def test_the_wall_clock_is_the_date_at_which_the_clock_was_0(
    pvclock: Pvclock, memory: GuestMemory, msr: int
) -> None:
    def epoch() -> int:  # the two clocks, at two moments: within the test's bounds
        return time.time_ns() - pvclock._system_ns_now()

    pvclock.step_wall(10**9)
    first = epoch() + 10**9
    assert pvclock.write_msr(0, msr, PAGE)
    last = epoch() + 10**9
    wall = WallClock.parse(memory.read(PAGE, 12))
    told = wall.sec * 10**9 + wall.nsec
    assert min(first, last) - 10**6 <= told <= max(first, last) + 10**6
    assert wall.version == 2


def test_address_0_is_no_address_of_a_wall_clock(pvclock: Pvclock, memory: GuestMemory) -> None:
    assert pvclock.write_msr(0, WALL, 0)
    assert memory.read(0, 16) == bytes(16)


@pytest.mark.parametrize("address", [SIZE - 8, PAGE + 1, HOLE, 1 << 50])
def test_a_wall_clock_must_lie_in_memory(pvclock: Pvclock, address: int) -> None:
    assert not pvclock.write_msr(0, WALL, address)


def test_a_snapshots_values_register_again(pvclock: Pvclock, memory: GuestMemory) -> None:
    registered(pvclock)
    pvclock.write_msr(1, SYSTEM_OLD, PAGE + 64 | 1)
    pvclock.write_msr(1, WALL, PAGE + 128)
    with guest_memory(SIZE) as other:
        again = Pvclock(other, KHZ)
        again.restore(pvclock.msr_values)
        assert again.msr_values == pvclock.msr_values
        assert again.registered == {0: PAGE, 1: PAGE + 64}
        assert other.read(PAGE + 128, 12) == bytes(12)  # the wall clock is written when asked for
        again.before_entry(0)
        assert record(other).version


def test_a_snapshot_with_a_record_nowhere_is_refused(pvclock: Pvclock) -> None:
    with pytest.raises(ValueError, match="vCPU 1 cannot have a record at 0x400001"):
        pvclock.restore({(1, SYSTEM): SIZE | 1})
