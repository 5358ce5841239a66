"""A guest that counts and waits by the HPET, on the real KVM."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from monitor.running import Talk
from timehands.errors import SnapshotRefused
from timehands.kvm.numbers import IrqChip
from timehands.monitor.settings import Clocks
from timehands.monitor.snapshot import restore, snapshot

TICK_NS, MS = 10, 100_000
PIN = 20
#: How long the host measures what the guest counts.
COUNTED_NS = 100_000_000

pytestmark = pytest.mark.usefixtures("kvm")


def talk() -> Talk:
    return Talk("hpet", clocks=Clocks(hpet=True))


def test_it_counts_100_mhz_of_the_hosts_time() -> None:
    """What the guest says lies between what the host's clock said around each answer."""
    with talk() as guest:
        guest.wait_line()
        rows = []
        for _ in range(2):
            before = time.monotonic_ns()
            counter = guest.ask(b"c")[0]
            rows.append((before, counter, time.monotonic_ns()))
            while time.monotonic_ns() < before + COUNTED_NS:
                guest.ask(b"c")
        (before_1, first, after_1), (before_2, second, after_2) = rows
        counted_ns = (second - first) % 2**32 * TICK_NS
        assert before_2 - after_1 - TICK_NS <= counted_ns <= after_2 - before_1 + TICK_NS


def test_it_stands_still_in_a_pause() -> None:
    with talk() as guest:
        guest.wait_line()
        guest.guest.pause()
        before = guest.guest.hpet.read(0xF0, 8)
        now = time.monotonic_ns()
        while time.monotonic_ns() < now + COUNTED_NS:
            assert guest.guest.hpet.read(0xF0, 8) == before
        guest.guest.resume()
        assert guest.ask(b"c")[0] >= before & 0xFFFF_FFFF


def test_no_timer_is_early() -> None:
    with talk() as guest:
        guest.wait_line()
        for _ in range(3):
            seen, due = guest.ask(b"o")
            assert (seen - due) % 2**32 < 2**31
        matches = guest.ask(b"p")
        assert matches == sorted(matches)
        assert all(seen >= number * MS for number, seen in enumerate(matches))


def test_its_pin_is_held_until_the_guest_acknowledges() -> None:
    with talk() as guest:
        guest.wait_line()
        guest.guest.send(b"h")
        guest.wait_for("H")
        assert _pin(guest)
        assert guest.ask(b"a") == [0]
        assert not _pin(guest)


def _pin(guest: Talk) -> bool:
    """Whether the IOAPIC has the interrupt, which the guest has masked."""
    with guest.guest.paused():
        return bool(guest.guest.vm.irqchip(IrqChip.IOAPIC).chip.ioapic.irr >> PIN & 1)


def test_it_goes_on_in_a_snapshot(tmp_path: Path) -> None:
    with talk() as guest:
        guest.wait_line()
        guest.guest.send(b"h")
        guest.wait_for("H")
        guest.guest.pause()
        counted = guest.guest.hpet.read(0xF0, 8)
        snapshot(guest.guest, tmp_path / "kept")
    try:
        again = restore(tmp_path / "kept")
    except SnapshotRefused as error:  # the host's own TSC, and it would go back
        pytest.skip(error.message)
    with again:
        assert again.hpet.read(0xF0, 8) == counted
        assert again.hpet.read(0x20, 4) == 1
        assert again.vm.irqchip(IrqChip.IOAPIC).chip.ioapic.irr >> PIN & 1
        again.resume()
        again.pause()
        assert again.hpet.read(0xF0, 8) > counted
