"""Events in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.recorded import NATIVE, RECORD, recording
from timehands.reports.events import describe_event
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

AT = f" at {NATIVE}"
WORDS = {
    1: f"first instruction of vCPU 0{AT}",
    2: f"cpuid leaf 0x15 → eax 0x0 ebx 0x0 ecx 0x0 edx 0x0{AT}",
    3: f"cpuid leaf 0xd subleaf 0x1 → eax 0xf ebx 0x240 ecx 0x0 edx 0x7{AT}",
    4: f"rdtsc{AT}",
    5: f"rdmsr 0x10 (time stamp counter) → 0x1234{AT}",
    6: f"wrmsr 0x4b564d01 (kvmclock system time) = 0x1001{AT}",
    7: f"in port 0x42 (PIT channel 2) → 0x9f{AT}, and 41,000 more like it",
    8: f"in port 0x61 (PIT channel 2 gate and output) → not seen{AT}",
    9: f"out port 0x43 (PIT mode) = 0xb0{AT}",
    10: f"read 0xfee00390 (LAPIC current count) → 0xffff{AT}",
    11: f"write 0xfed00010 (HPET configuration) = 0x1{AT}",
    12: f"enter mark_tsc_unstable('could not calculate TSC khz', rating 0x12c) from {NATIVE}",
    13: "leave tsc_init → 0x0, tsc_khz 0x279d24",
    15: "enter function 99()",
    16: "KASLR moved the kernel by 0x1e00000",
    17: "counted 50,000 times, 49,000 of them not streamed",
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return recording(tmp_path_factory.mktemp("recording"))


@pytest.mark.parametrize("index", WORDS)
def test_an_event_in_words(opened: Recording, index: int) -> None:
    assert describe_event(opened, opened.events[index]) == WORDS[index]


def test_every_kind_of_event_has_words(opened: Recording) -> None:
    kinds = {event.kind for event in opened.events}
    assert kinds == set(Kind) - {Kind.DATA, Kind.PROGRESS}
    for event in opened.events:
        assert describe_event(opened, event)


def test_a_name_from_a_kernel_file_is_harmless(opened: Recording) -> None:
    assert describe_event(opened, opened.events[14]).isprintable()


def test_an_address_without_a_symbol_is_a_number(opened: Recording) -> None:
    opened.symbols.clear()
    assert describe_event(opened, opened.events[4]) == "rdtsc at 0xffffffff81001000"


RECORDS = st.tuples(
    st.sampled_from([int(kind) for kind in Kind]),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    *[st.integers(0, 2**64 - 1)] * 7,
).map(lambda fields: RECORD.pack(*fields))


@given(st.lists(RECORDS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_no_stream_makes_words_that_do_not_print(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes]
) -> None:
    opened = recording(tmp_path_factory.mktemp("any"), b"".join(records), lines=1)
    for event in opened.events:
        words = describe_event(opened, event)
        assert words.isprintable()
        assert len(words) <= 240
