"""Accesses that came out of a guest, as records."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from timehands.kvm.exits import Exit, MmioRead, MmioWrite, MsrRead, MsrWrite, PortIn, PortOut
from timehands.kvm.numbers import MsrReason
from timehands.watch.exits.records import ALWAYS, QUIET_NS, THEN_EACH, Accesses, first, hello
from timehands.watch.records import Event, Kind, decode

PC = 0xFFFFFFFF81000010


def told(exits: Iterable[Exit], *, each_ns: int = 0) -> tuple[Accesses, tuple[Event, ...]]:
    """The events of these exits, all at one place."""
    stream = bytearray()
    accesses = Accesses(stream.extend)
    for number, exit in enumerate(exits):
        accesses.accessed(1, exit, 0x34, PC, 10**9 + number * each_ns)
    return accesses, tuple(decode(stream))


@pytest.mark.parametrize(
    ("exit", "kind", "values"),
    [
        (PortOut(0x43, 1, b"\x34"), Kind.OUT, (0x43, 0x34, 1)),
        (PortIn(0x40, 1, 1), Kind.IN, (0x40, 0x34, 1)),
        (PortOut(0xCF9, 1, b"\6"), Kind.OUT, (0xCF9, 0x34, 1)),
        (MmioRead(0xFED000F0, 4), Kind.MMIO_READ, (0xFED000F0, 0x34, 4)),
        (MmioWrite(0xFED000F0, b"\0" * 8), Kind.MMIO_WRITE, (0xFED000F0, 0x34, 8)),
        (MsrWrite(0x4B564D01, 0x34, MsrReason.FILTER), Kind.WRMSR, (0x4B564D01, 0x34, 8)),
        (MsrRead(0x4B564D01, MsrReason.FILTER), Kind.RDMSR, (0x4B564D01, 0x34, 8)),
    ],
)
def test_an_access_is_an_event(exit: Exit, kind: Kind, values: tuple[int, int, int]) -> None:
    _, (event,) = told([exit])
    assert (event.kind, event.vcpu, event.pc, event.host_ns) == (kind, 1, PC, 10**9)
    assert event.values[:3] == values


@pytest.mark.parametrize(
    "exit",
    [PortOut(0x3F8, 1, b"a"), PortIn(0x3FD, 1, 1), PortIn(0xCFC, 4, 1), MmioRead(0xC0001000, 4)],
)
def test_serial_ports_pci_and_virtio_are_not_told(exit: Exit) -> None:
    assert told([exit])[1] == ()


def test_a_flood_is_counted_and_told_now_and_then() -> None:
    many = ALWAYS + 3 * THEN_EACH
    accesses, events = told([PortIn(0x40, 1, 1)] * many)
    assert len(events) == ALWAYS + 3
    assert sum(event.passed for event in events) == many - len(events)
    (count,) = decode(accesses.counts())
    assert count.kind is Kind.COUNT
    assert count.pc == PC
    assert count.values[:3] == (Kind.IN, many, many - len(events))


def test_after_a_pause_an_access_is_told() -> None:
    assert len(told([PortIn(0x40, 1, 1)] * 1000, each_ns=QUIET_NS + 1)[1]) == 1000


def test_a_stream_begins_with_the_hosts_date_and_the_entry() -> None:
    begin, entered = decode(hello(2) + first(0x1000200))
    assert begin.kind is Kind.HELLO
    assert begin.values[0] == 1
    assert begin.values[2] == 2
    assert (entered.kind, entered.pc) == (Kind.FIRST, 0x1000200)
    assert begin.host_ns <= entered.host_ns
