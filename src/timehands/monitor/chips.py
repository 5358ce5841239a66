"""The interrupt chips of a guest: all of KVM's, or only its LAPICs, with the others ours.

Split chips are what a processor with its LAPIC sees of the board: the IOAPIC sends messages, and
the two 8259s have one output, at the first vCPU. That one is taken out of the guest when the output
goes up; it gets the interrupt (KVM_INTERRUPT) at the next entry at which it is ready, and comes out
for that when it was not (``request_interrupt_window``).
"""

from __future__ import annotations

import threading

from timehands.kvm.numbers import Capability, IrqChip
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.bus import Bus
from timehands.monitor.devices import i8254, i8259, ioapic
from timehands.monitor.layout import I8254_PIN

#: A pin of the IOAPIC that is another one than the ISA interrupt's.
_PINS = {i8254.IRQ: I8254_PIN}
#: KVM's default has it at pin 0, of which neither the MP table nor the MADT tells.
_ROUTES = tuple(
    [(irq, IrqChip(irq // 8), irq % 8) for irq in range(i8259.IRQS)]
    + [(irq, IrqChip.IOAPIC, _PINS.get(irq, irq)) for irq in range(ioapic.PINS) if irq != I8254_PIN]
)
#: An interrupt that was given is in the guest when the vCPU has come out so often.
_SURE = 2


def chips_of_kvm(vm: Vm) -> None:
    """KVM's chips, wired as a PC's are, and as our tables say. Raises `KvmLacks`, `KvmRefused`."""
    vm.create_irqchip()
    if vm.has(Capability.IRQ_ROUTING):
        vm.route_lines(_ROUTES)


class SplitChips:
    """IOAPIC and 8259s of ours, on a guest's buses. Raises `KvmLacks`, `KvmRefused`."""

    def __init__(self, vm: Vm, ports: Bus, addresses: Bus) -> None:
        self._vm = vm
        vm.need(Capability.SIGNAL_MSI, "an IOAPIC by the monitor")
        vm.need(Capability.IRQ_ROUTING, "an IOAPIC by the monitor")
        vm.split_irqchip(ioapic.PINS)
        self.ioapic = ioapic.Ioapic(vm.signal_msi, vm.route_messages)
        self.pics = i8259.Pics(self._pics_rose)
        addresses.add(ioapic.ADDRESS, ioapic.BYTES, self.ioapic)
        ports.add(i8259.FIRST, i8259.PORTS, self.pics.first, widest=1)
        ports.add(i8259.SECOND, i8259.PORTS, self.pics.second, widest=1)
        ports.add(i8259.ELCR, i8259.ELCR_PORTS, self.pics.elcr, widest=1)
        self._given = 0  # how often the first vCPU has still to come out: see `_SURE`
        self._runs_in: threading.Thread | None = None

    def irq_line(self, irq: int, level: int) -> None:
        """To the 8259s, as far as they reach, and to the IOAPIC."""
        if irq < i8259.IRQS:
            self.pics.set(irq, level)
        self.ioapic.set(_PINS.get(irq, irq), level)

    def before_entry(self, vcpu: Vcpu) -> None:
        """Give the first vCPU what the 8259s have for it, if it can take it now."""
        if vcpu.number:
            return
        self._runs_in = threading.current_thread()
        shared = vcpu.shared
        if self.pics.up and not self._given and shared.ready_for_interrupt_injection:
            self._given = _SURE if self.pics.deliver(vcpu.inject) else 0
        shared.request_interrupt_window = int(self.pics.up)

    def came_out(self, vcpu: Vcpu) -> bool:
        """Whether it may stop now: not while an interrupt that it was given may still wait in KVM,
        where no snapshot finds it. One that is not ready for another has taken it."""
        if vcpu.number or not self._given:
            return True
        ready = vcpu.shared.ready_for_interrupt_injection
        self._given = self._given - 1 if ready else 0
        return not self._given

    def ended(self, vector: int) -> None:
        """A LAPIC ended an interrupt of the IOAPIC's."""
        self.ioapic.end(vector)

    def _pics_rose(self) -> None:
        """Its own thread looks anyway, before it enters."""
        if threading.current_thread() is not self._runs_in and 0 in self._vm.vcpus:
            self._vm.vcpus[0].interrupt()
