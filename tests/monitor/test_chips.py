"""When the first vCPU gets what the 8259s have, and when it may stop: with a vCPU that is none."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from timehands.errors import KvmLacks
from timehands.kvm.numbers import Capability
from timehands.kvm.vm import Vm
from timehands.monitor.bus import Bus
from timehands.monitor.chips import SplitChips


@dataclass
class FakeVcpu:
    """What of a vCPU the chips use. ``takes``: whether KVM takes an interrupt."""

    number: int = 0
    takes: bool = True
    got: list[int] = field(default_factory=list)
    taken_out: int = 0
    shared: Any = field(
        default_factory=lambda: SimpleNamespace(
            ready_for_interrupt_injection=1, request_interrupt_window=0
        )
    )

    def inject(self, vector: int) -> bool:
        """KVM_INTERRUPT."""
        if self.takes:
            self.got.append(vector)
        return self.takes

    def interrupt(self) -> None:
        """Take it out."""
        self.taken_out += 1


class FakeVm:
    """A machine with one such vCPU; remembers its messages."""

    def __init__(self, *lacks: Capability) -> None:
        self.vcpus = {0: FakeVcpu()}
        self.lacks = lacks
        self.sent: list[tuple[int, int]] = []

    def need(self, capability: Capability, wanted: str) -> None:
        """As `Asked.need`."""
        if capability in self.lacks:
            raise KvmLacks(f"KVM_CAP_{capability.name}", wanted=wanted)

    def split_irqchip(self, pins: int) -> None:
        """Nothing to do."""
        assert pins == 24

    def signal_msi(self, address: int, data: int) -> bool:
        """Note it."""
        self.sent.append((address, data))
        return True

    def route_messages(self, _messages: object) -> None:
        """Nothing to do."""


@pytest.fixture
def vm() -> FakeVm:
    return FakeVm()


@pytest.fixture
def chips(vm: FakeVm) -> SplitChips:
    """As a kernel has them: vectors from 0x20."""
    ports = Bus("port")
    made = SplitChips(cast(Vm, vm), ports, Bus("address"))
    for port, words in ((0x20, (0x20, 4, 1)), (0xA0, (0x28, 2, 1))):
        ports.write(port, 1, 0x11)
        for word in words:
            ports.write(port + 1, 1, word)
    return made


def enter(chips: SplitChips, vcpu: FakeVcpu) -> None:
    """The vCPU's thread is about to."""
    chips.before_entry(cast(Any, vcpu))


def came_out(chips: SplitChips, vcpu: FakeVcpu, *, ready: bool) -> bool:
    """It came out: whether it may stop."""
    vcpu.shared.ready_for_interrupt_injection = int(ready)
    return chips.came_out(cast(Any, vcpu))


def test_a_ready_vcpu_gets_the_interrupt(chips: SplitChips, vm: FakeVm) -> None:
    vcpu = vm.vcpus[0]
    chips.irq_line(4, 1)
    assert vcpu.taken_out == 1
    enter(chips, vcpu)
    assert vcpu.got == [0x24]
    assert not vcpu.shared.request_interrupt_window


def test_one_that_is_not_ready_comes_out_when_it_is(chips: SplitChips, vm: FakeVm) -> None:
    vcpu = vm.vcpus[0]
    vcpu.shared.ready_for_interrupt_injection = 0
    chips.irq_line(4, 1)
    enter(chips, vcpu)
    assert not vcpu.got
    assert vcpu.shared.request_interrupt_window
    assert came_out(chips, vcpu, ready=True)
    enter(chips, vcpu)
    assert vcpu.got == [0x24]
    assert not vcpu.shared.request_interrupt_window


def test_no_other_vcpu_gets_any(chips: SplitChips) -> None:
    other = FakeVcpu(number=1)
    chips.irq_line(4, 1)
    enter(chips, other)
    assert not other.got
    assert chips.came_out(cast(Any, other))


def test_what_kvm_does_not_take_stays(chips: SplitChips, vm: FakeVm) -> None:
    vcpu = vm.vcpus[0]
    vcpu.takes = False
    chips.irq_line(4, 1)
    enter(chips, vcpu)
    assert vcpu.shared.request_interrupt_window
    assert came_out(chips, vcpu, ready=True)
    vcpu.takes = True
    enter(chips, vcpu)
    assert vcpu.got == [0x24]


@pytest.mark.parametrize(("ready", "stops"), [((True, True), [False, True]), ((False,), [True])])
def test_it_stops_only_when_the_interrupt_is_in_the_guest(
    chips: SplitChips, vm: FakeVm, ready: tuple[bool, ...], stops: list[bool]
) -> None:
    """It is there when the vCPU is ready for no other, or has been in a second time."""
    vcpu = vm.vcpus[0]
    chips.irq_line(4, 1)
    enter(chips, vcpu)
    assert [came_out(chips, vcpu, ready=each) for each in ready] == stops


def test_the_next_one_waits_until_the_last_one_is_in_the_guest(
    chips: SplitChips, vm: FakeVm
) -> None:
    vcpu = vm.vcpus[0]
    chips.irq_line(4, 1)
    enter(chips, vcpu)
    chips.irq_line(1, 1)
    came_out(chips, vcpu, ready=True)
    enter(chips, vcpu)
    assert vcpu.got == [0x24]
    assert vcpu.shared.request_interrupt_window
    came_out(chips, vcpu, ready=True)
    enter(chips, vcpu)
    assert vcpu.got == [0x24, 0x21]


def test_its_own_thread_does_not_take_it_out(chips: SplitChips, vm: FakeVm) -> None:
    vcpu = vm.vcpus[0]
    enter(chips, vcpu)
    chips.irq_line(4, 1)
    before = vcpu.taken_out
    other = threading.Thread(target=chips.irq_line, args=(1, 1))
    enter(chips, vcpu)
    other.start()
    other.join()
    assert (before, vcpu.taken_out) == (0, 1)


@pytest.mark.parametrize(("irq", "pin"), [(0, 2), (1, 1), (15, 15), (16, 16), (23, 23)])
def test_lines_go_to_the_pins_that_the_tables_name(
    chips: SplitChips, vm: FakeVm, irq: int, pin: int
) -> None:
    chips.ioapic.write(0, 4, 0x10 + 2 * pin)
    chips.ioapic.write(0x10, 4, 0x55)
    chips.irq_line(irq, 1)
    assert [data & 0xFF for _, data in vm.sent] == [0x55]


@pytest.mark.parametrize("lacks", [Capability.SIGNAL_MSI, Capability.IRQ_ROUTING])
def test_what_kvm_lacks_for_it_is_named(lacks: Capability) -> None:
    with pytest.raises(KvmLacks, match=f"KVM_CAP_{lacks.name}"):
        SplitChips(cast(Vm, FakeVm(lacks)), Bus("port"), Bus("address"))
