"""The records: their bytes, their fields, and versions while they are written."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.pvclock.golden import KVM_RECORDS
from timehands.clocks.pvclock.layout import SystemTimeMsr, TimeInfo, WallClock, next_versions
from timehands.clocks.pvclock.numbers import (
    TIME_INFO_SIZE,
    WALL_CLOCK_SIZE,
    TimeInfoOffset,
    WallClockOffset,
)
from timehands.errors import RecordTooShort

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
TIME_INFOS = st.builds(
    TimeInfo, U32, U64, U64, U32, st.integers(-128, 127), st.integers(0, 255), U32,
    st.integers(0, 65535),
)  # fmt: skip
FORMATS = {
    TimeInfoOffset.VERSION: "<I",
    TimeInfoOffset.PAD0: "<I",
    TimeInfoOffset.TSC_TIMESTAMP: "<Q",
    TimeInfoOffset.SYSTEM_TIME: "<Q",
    TimeInfoOffset.TSC_TO_SYSTEM_MUL: "<I",
    TimeInfoOffset.TSC_SHIFT: "<b",
    TimeInfoOffset.FLAGS: "<B",
    TimeInfoOffset.PAD: "<H",
}


def test_a_record_of_a_real_kvm() -> None:
    data = bytes.fromhex("02000000 00000000 ae084c96f6060000 e384110000000000 89d7cccc ff 01 0000")
    assert TimeInfo.parse(data) == KVM_RECORDS[0]
    assert TimeInfo.parse(data + b"more") == KVM_RECORDS[0]
    assert KVM_RECORDS[0].stable
    assert not KVM_RECORDS[0].being_written


@given(TIME_INFOS)
def test_time_information_goes_to_bytes_and_back(info: TimeInfo) -> None:
    assert TimeInfo.parse(info.build()) == info
    assert len(info.build()) == TIME_INFO_SIZE


@given(st.binary(min_size=TIME_INFO_SIZE, max_size=TIME_INFO_SIZE))
def test_any_bytes_are_time_information(data: bytes) -> None:
    assert TimeInfo.parse(data).build() == data


@given(TIME_INFOS)
def test_the_fields_are_at_their_offsets(info: TimeInfo) -> None:
    data = info.build()
    for offset, code in FORMATS.items():
        assert struct.unpack_from(code, data, offset)[0] == getattr(info, offset.name.lower())


@given(st.binary(min_size=WALL_CLOCK_SIZE, max_size=WALL_CLOCK_SIZE))
def test_any_bytes_are_a_wall_clock(data: bytes) -> None:
    wall = WallClock.parse(data)
    assert wall.build() == data
    for offset in WallClockOffset:
        assert struct.unpack_from("<I", data, offset)[0] == getattr(wall, offset.name.lower())


@given(st.binary(max_size=31))
def test_too_few_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RecordTooShort, match=f"32 bytes; here are {len(data)}") as caught:
        TimeInfo.parse(data)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(RecordTooShort):
        WallClock.parse(data[:11])


@given(st.integers(0, (1 << 64) - 1))
def test_the_msr_goes_to_bits_and_back(value: int) -> None:
    msr = SystemTimeMsr.parse(value)
    assert msr.build() == value
    assert msr.address % 2 == 0
    assert msr.aligned == (value & 2 == 0)


@pytest.mark.parametrize(("value", "crosses"), [(0x1FE1, False), (0x1FE5, True), (0x2001, False)])
def test_a_record_may_lie_in_two_pages(value: int, crosses: bool) -> None:
    assert SystemTimeMsr.parse(value).crosses_page == crosses


@given(U32)
def test_versions_are_odd_while_written_and_even_then(version: int) -> None:
    odd, even = next_versions(version)
    assert odd & 1
    assert even == (odd + 1) % (1 << 32)
    assert 0 < (even - version) % (1 << 32) <= 3


def test_the_first_version_is_2() -> None:
    assert next_versions(0) == (1, 2)
    assert next_versions(3) == (5, 6)
    assert next_versions(0xFFFFFFFE) == (0xFFFFFFFF, 0)
    assert next_versions(0xFFFFFFFF) == (1, 2)
