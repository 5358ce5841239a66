"""What ran while a guest stood still was ours."""

from __future__ import annotations

from timehands.watch.interventions import Stopped
from timehands.watch.ours import without_ours
from timehands.watch.records import RECORD, Kind, decode


def record(kind: Kind, host_ns: int) -> bytes:
    return RECORD.pack(kind, 0, 0, 0, host_ns, 0x1000, 0, 0, 0, 0, 0)


def stop(index: int, host_ns: int, resumed_ns: int | None) -> Stopped:
    return Stopped(index, host_ns, resumed_ns, 0, 0x1000, "tc_init")


def test_without_stops_nothing_is_looked_at() -> None:
    assert without_ours(b"anything", []) == b"anything"


def test_only_what_can_be_ours_and_ran_meanwhile_is_left_out() -> None:
    stream = b"".join(record(Kind.CPUID, ns) for ns in (99, 100, 150, 199, 200, 300))
    stream += record(Kind.ENTER, 150) + record(Kind.COUNT, 500)
    stream += b"".join(record(kind, 160) for kind in (Kind.RDMSR, Kind.WRMSR, Kind.RDTSC))
    kept = list(decode(without_ours(stream, [stop(0, 100, 200)])))
    assert [(event.kind, event.host_ns) for event in kept] == [
        (Kind.CPUID, 99),
        (Kind.CPUID, 200),
        (Kind.CPUID, 300),
        (Kind.ENTER, 150),
        (Kind.COUNT, 500),
    ]
    assert [event.index for event in kept] == list(range(5))


def test_a_stop_that_never_ended_lasts_to_the_end() -> None:
    stream = record(Kind.RDTSC, 150) + record(Kind.RDTSC, 350) + record(Kind.RDTSC, 1 << 63)
    stops = [stop(1, 300, None), stop(0, 100, 140)]
    assert [e.host_ns for e in decode(without_ours(stream, stops))] == [150]


def test_a_record_that_is_cut_off_is_left_out() -> None:
    stream = record(Kind.CPUID, 1) + b"\x03\x00"
    assert without_ours(stream, [stop(0, 100, 200)]) == record(Kind.CPUID, 1)
