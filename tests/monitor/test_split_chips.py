"""A guest that is interrupted by our IOAPIC and our 8259s, on the real KVM."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.running import Talk
from timehands.errors import MachineError, SnapshotRefused
from timehands.kvm import Capability, Kvm
from timehands.monitor.devices import ioapic
from timehands.monitor.settings import Clocks, IrqChips, Maker
from timehands.monitor.snapshot import restore, snapshot

SPLIT = Clocks(pit=Maker.OURS, irqchip=IrqChips.SPLIT)
BY_IOAPIC, BY_SERIAL = 0x40, 0x50
HELD = BY_SERIAL | ioapic.LEVEL | ioapic.REMOTE_IRR
SERIAL_PIN = 4


@pytest.fixture(params=[SPLIT, Clocks(pit=Maker.OURS)], ids=["split", "kvm"])
def clocks(request: pytest.FixtureRequest, kvm: None) -> Clocks:
    """Ours; and KVM's own chips, of which the guest must see the same."""
    clocks: Clocks = request.param
    if clocks is SPLIT:
        need_split()
    return clocks


def need_split() -> None:
    with Kvm() as kvm:
        if not kvm.has(Capability.SPLIT_IRQCHIP):
            pytest.skip("this KVM has no KVM_CAP_SPLIT_IRQCHIP")


def talk(clocks: Clocks) -> Talk:
    return Talk("chips", others=("irq.S",), clocks=clocks)


def test_the_i8254_ticks_by_the_8259(clocks: Clocks) -> None:
    """Each time its bit is in service until the guest ends it."""
    with talk(clocks) as guest:
        guest.wait_line()
        assert guest.ask(b"t") == [0x20, 1, 0] * 5


def test_the_rtc_interrupts_by_the_second_8259(clocks: Clocks) -> None:
    with talk(clocks) as guest:
        guest.wait_line()
        assert guest.ask(b"c") == [0x28, 1, 1 << 2, 0]


def test_the_i8254_ticks_by_the_ioapic(clocks: Clocks) -> None:
    """By pin 2, as the tables say. (KVM's own has it at pin 0 unless it is routed.)"""
    with talk(clocks) as guest:
        guest.wait_line()
        assert guest.ask(b"i") == [BY_IOAPIC] * 5


def test_a_level_interrupts_again_until_it_is_served(clocks: Clocks) -> None:
    """Some KVMs interrupt once more: also with their own chips."""
    with talk(clocks) as guest:
        guest.wait_line()
        free = HELD & ~ioapic.REMOTE_IRR
        assert guest.ask(b"l") == [BY_SERIAL, HELD, BY_SERIAL, free]
        assert guest.ask(b"l") == [BY_SERIAL, HELD, BY_SERIAL, free]


def test_a_level_that_is_held_goes_on_in_a_snapshot(kvm: None, tmp_path: Path) -> None:
    need_split()
    with talk(SPLIT) as guest:
        guest.wait_line()
        guest.guest.send(b"h")
        guest.wait_for("H")
        guest.guest.pause()
        assert guest.guest.split is not None
        chips, pics = guest.guest.split.ioapic.state(), guest.guest.split.pics.chips()
        assert chips["entries"][SERIAL_PIN] == HELD
        snapshot(guest.guest, tmp_path / "kept")
    try:
        again = restore(tmp_path / "kept", console=guest._hear)
    except SnapshotRefused as error:  # the host's own TSC, and it would go back
        pytest.skip(error.message)
    with again:
        assert again.split is not None
        assert (again.split.ioapic.state(), again.split.pics.chips()) == (chips, pics)
        again.resume()
        guest.guest = again
        assert guest.ask(b"e") == [BY_SERIAL]


def test_kvms_i8254_goes_with_kvms_chips_only() -> None:
    with pytest.raises(MachineError, match="KVM's i8254 needs KVM's interrupt chips") as raised:
        Clocks(irqchip=IrqChips.SPLIT)
    assert "pit=ours" in raised.value.advice
