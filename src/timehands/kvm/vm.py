"""A machine: its memory, its clock, and the chips that KVM emulates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from timehands.errors import KvmLacks
from timehands.kvm.memory import GuestMemory, MemorySlot, make_slot
from timehands.kvm.msr_filter import MsrRange, filter_of
from timehands.kvm.numbers import (
    PIT_SPEAKER_DUMMY,
    ROUTE_IRQCHIP,
    ROUTE_MSI,
    Capability,
    ClockFlags,
    IrqChip,
    MemoryFlags,
    MsrReason,
    Request,
)
from timehands.kvm.structs import (
    ClockData,
    EnableCap,
    Irqchip,
    IrqLevel,
    IrqRouting,
    IrqRoutingEntry,
    Msi,
    PitConfig,
    PitState2,
    UserspaceMemoryRegion,
)
from timehands.kvm.system import Asked, Kvm
from timehands.kvm.vcpu import Vcpu

#: Where QEMU and others put Intel's three pages for real mode and its identity map; both lie in the
#: hole below 4 GiB where no memory is (Documentation/virt/kvm/api.rst, KVM_SET_TSS_ADDR).
TSS_ADDRESS = 0xFFFB_D000
IDENTITY_MAP_ADDRESS = 0xFFFB_C000


@dataclass(frozen=True, slots=True)
class ClockReading:
    """kvmclock at one moment.

    ``ns`` is what guests of this machine read. ``realtime_ns`` (since 1970) and ``host_tsc`` were
    taken at the same moment when the flags say so, and are None else.
    """

    ns: int
    flags: ClockFlags
    realtime_ns: int | None
    host_tsc: int | None


class Vm(Asked):
    """A machine of KVM's without vCPUs or memory as yet. Closing it closes its vCPUs.

    Attributes:
        memory: the guest's physical memory, to read and write; `add_memory` makes it.
        vcpus: those that were made, by id.
    """

    def __init__(self, kvm: Kvm) -> None:
        super().__init__(kvm.ask(Request.CREATE_VM), "machine")
        self.kvm = kvm
        self.memory = GuestMemory()
        self.vcpus: dict[int, Vcpu] = {}
        self._slots = 0

    def capability(self, capability: Capability) -> int:
        """As `Kvm.capability`, but what this machine can do, where KVM tells it apart."""
        if self.kvm.has(Capability.CHECK_EXTENSION_VM):
            return super().capability(capability)
        return self.kvm.capability(capability)

    def close(self) -> None:
        """Close the vCPUs and the machine, and give the memory back."""
        while self.vcpus:
            self.vcpus.popitem()[1].close()
        super().close()
        self.memory.free()

    # Memory

    def add_memory(
        self, address: int, size: int, flags: MemoryFlags = MemoryFlags.NONE
    ) -> MemorySlot:
        """Memory for the guest at a physical address, zeros at first.

        Raises `ValueError` unless it is whole pages that overlap no other, `KvmRefused`.
        """
        if flags & MemoryFlags.READONLY:
            self.need(Capability.READONLY_MEM, "memory that the guest cannot write")
        slot = make_slot(self._slots, address, size, flags)
        self.memory.add(slot)
        try:
            self._set_region(slot, size)
        except BaseException:
            self.memory.remove(slot)
            raise
        self._slots += 1
        return slot

    def remove_memory(self, slot: MemorySlot) -> None:
        """Take memory away from the guest. Its accesses there become MMIO."""
        self._set_region(slot, 0)
        self.memory.remove(slot)

    def _set_region(self, slot: MemorySlot, size: int) -> None:
        region = UserspaceMemoryRegion(slot.slot, slot.flags, slot.address, size, slot.host_address)
        self.ask(Request.SET_USER_MEMORY_REGION, region)

    # Processors

    def add_vcpu(self, number: int | None = None) -> Vcpu:
        """A vCPU; its id is the next one unless said. Raises `KvmRefused`."""
        number = len(self.vcpus) if number is None else number
        descriptor = self.ask(Request.CREATE_VCPU, number)
        self.vcpus[number] = vcpu = Vcpu(descriptor, number, self)
        return vcpu

    # The clock

    def clock(self) -> ClockReading:
        """kvmclock now. Raises `KvmLacks`, `KvmRefused`.

        Before a vCPU was first entered the flags are empty: it is not yet the clock that guests
        will read.
        """
        self.need(Capability.ADJUST_CLOCK, "KVM_GET_CLOCK")
        data = self.get(Request.GET_CLOCK, ClockData)
        flags = ClockFlags(data.flags)
        return ClockReading(
            data.clock,
            flags,
            data.realtime if flags & ClockFlags.REALTIME else None,
            data.host_tsc if flags & ClockFlags.HOST_TSC else None,
        )

    def set_clock(self, ns: int, *, realtime_ns: int | None = None) -> None:
        """Set kvmclock to ``ns``; with ``realtime_ns``, to what it is by now if it was ``ns`` then.

        Raises `KvmLacks` when this KVM cannot do the latter, `KvmRefused`.
        """
        self.need(Capability.ADJUST_CLOCK, "KVM_SET_CLOCK")
        data = ClockData(clock=ns)
        if realtime_ns is not None:
            if not self.capability(Capability.ADJUST_CLOCK) & ClockFlags.REALTIME:
                raise KvmLacks("KVM_CLOCK_REALTIME", wanted="KVM_SET_CLOCK with a real time")
            data.flags, data.realtime = ClockFlags.REALTIME, realtime_ns
        self.ask(Request.SET_CLOCK, data)

    def tsc_khz(self) -> int:
        """The TSC rate that new vCPUs get, in kHz. Raises `KvmLacks`, `KvmRefused`."""
        self.need(Capability.VM_TSC_CONTROL, "KVM_GET_TSC_KHZ of a machine")
        return self.ask(Request.GET_TSC_KHZ)

    def set_tsc_khz(self, tsc_khz: int) -> None:
        """Give new vCPUs a TSC of this rate, in kHz. Raises `KvmLacks`, `KvmRefused`."""
        self.need(Capability.VM_TSC_CONTROL, "KVM_SET_TSC_KHZ of a machine")
        self.ask(Request.SET_TSC_KHZ, tsc_khz)

    # Chips in the kernel

    def create_irqchip(self) -> None:
        """PICs, IOAPIC, and a LAPIC for each vCPU made from now on, in the kernel."""
        self.need(Capability.IRQCHIP, "KVM_CREATE_IRQCHIP")
        self.ask(Request.CREATE_IRQCHIP)

    def split_irqchip(self, ioapic_pins: int = 24) -> None:
        """Only LAPICs in the kernel; the IOAPIC's ``ioapic_pins`` routes are ours."""
        self.enable(Capability.SPLIT_IRQCHIP, ioapic_pins)

    def create_pit(self, *, speaker: bool = True) -> None:
        """An i8254 in the kernel; with ``speaker`` port 0x61 too, which gates channel 2."""
        self.need(Capability.PIT2, "KVM_CREATE_PIT2")
        self.ask(Request.CREATE_PIT2, PitConfig(flags=PIT_SPEAKER_DUMMY if speaker else 0))

    def pit(self) -> PitState2:
        """The i8254's state."""
        self.need(Capability.PIT_STATE2, "KVM_GET_PIT2")
        return self.get(Request.GET_PIT2, PitState2)

    def set_pit(self, state: PitState2) -> None:
        """Set the i8254's state."""
        self.need(Capability.PIT_STATE2, "KVM_SET_PIT2")
        self.ask(Request.SET_PIT2, state)

    def irqchip(self, chip: IrqChip) -> Irqchip:
        """A chip's state."""
        state = Irqchip(chip_id=chip)
        self.ask(Request.GET_IRQCHIP, state)
        return state

    def set_irqchip(self, state: Irqchip) -> None:
        """Set the state of the chip that ``state.chip_id`` names."""
        self.ask(Request.SET_IRQCHIP, state)

    def irq_line(self, irq: int, level: int) -> None:
        """Raise (1) or lower (0) an interrupt line of the chips in the kernel."""
        self.ask(Request.IRQ_LINE, IrqLevel(irq, level))

    def signal_msi(self, address: int, data: int) -> bool:
        """Send a message-signalled interrupt. Whether a vCPU took it."""
        self.need(Capability.SIGNAL_MSI, "KVM_SIGNAL_MSI")
        message = Msi(address_lo=address & 0xFFFF_FFFF, address_hi=address >> 32, data=data)
        return self.ask(Request.SIGNAL_MSI, message) > 0

    def route_messages(self, messages: Sequence[tuple[int, int]]) -> None:
        """Let the lines from 0 on be messages: each an address and its data; no other line is any.

        With `split_irqchip` KVM learns so of which vectors the IOAPIC's owner wants the EOI: those
        of level-triggered messages. Raises `KvmLacks`, `KvmRefused`.
        """
        entries = []
        for line, (address, data) in enumerate(messages):
            entry = IrqRoutingEntry(gsi=line, type=ROUTE_MSI)
            entry.u.msi.address_lo, entry.u.msi.address_hi = address & 0xFFFF_FFFF, address >> 32
            entry.u.msi.data = data
            entries.append(entry)
        self._route(entries)

    def route_lines(self, pins: Iterable[tuple[int, IrqChip, int]]) -> None:
        """Connect lines with chips in the kernel: line, chip, pin. No other line leads anywhere.

        Raises `KvmLacks`, `KvmRefused`.
        """
        entries = []
        for line, chip, pin in pins:
            entry = IrqRoutingEntry(gsi=line, type=ROUTE_IRQCHIP)
            entry.u.irqchip.irqchip, entry.u.irqchip.pin = chip, pin
            entries.append(entry)
        self._route(entries)

    def _route(self, entries: Sequence[IrqRoutingEntry]) -> None:
        self.need(Capability.IRQ_ROUTING, "KVM_SET_GSI_ROUTING")
        table = bytes(IrqRouting(nr=len(entries))) + b"".join(map(bytes, entries))
        self.ask(Request.SET_GSI_ROUTING, bytearray(table))

    def place_intel_pages(
        self, tss: int = TSS_ADDRESS, identity_map: int = IDENTITY_MAP_ADDRESS
    ) -> None:
        """Choose where Intel's processors get the pages that real mode costs them."""
        if self.has(Capability.SET_IDENTITY_MAP_ADDR):
            buffer = bytearray(identity_map.to_bytes(8, "little"))
            self.ask(Request.SET_IDENTITY_MAP_ADDR, buffer)
        if self.has(Capability.SET_TSS_ADDR):
            self.ask(Request.SET_TSS_ADDR, tss)

    # What comes to user space

    def enable(self, capability: Capability, *arguments: int) -> None:
        """Switch a capability on (KVM_ENABLE_CAP). Raises `KvmLacks`, `KvmRefused`."""
        self.need(capability, f"KVM_ENABLE_CAP of KVM_CAP_{capability.name}")
        self.ask(Request.ENABLE_CAP, EnableCap(cap=capability, args=arguments))

    def hand_over_msrs(self, reasons: MsrReason) -> None:
        """Have MSR accesses of these kinds come out as exits, not as faults of the guest."""
        self.enable(Capability.X86_USER_SPACE_MSR, reasons)

    def filter_msrs(self, ranges: Sequence[MsrRange], *, deny_others: bool = False) -> None:
        """Say which MSRs the guest may access by itself (KVM_X86_SET_MSR_FILTER).

        What is denied faults in the guest, or comes out when `hand_over_msrs` said ``FILTER``.
        Raises `ValueError` for more than 16 ranges, `KvmLacks`, `KvmRefused`.
        """
        self.need(Capability.X86_MSR_FILTER, "KVM_X86_SET_MSR_FILTER")
        layout, bitmaps = filter_of(ranges, deny_others=deny_others)
        self.ask(Request.X86_SET_MSR_FILTER, layout)
        del bitmaps  # KVM has copied them
