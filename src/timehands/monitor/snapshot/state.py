"""What a snapshot keeps of a guest, but for its memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from timehands.clocks.i8254_chip import Chip
from timehands.clocks.msr import ClockMsr
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import Capability, MpState
from timehands.kvm.structs import (
    Debugregs,
    Fpu,
    Irqchip,
    LapicState,
    Layout,
    PitState2,
    Regs,
    Sregs,
    VcpuEvents,
    Xcrs,
    Xsave,
)
from timehands.monitor.devices.hpet import Timer
from timehands.monitor.devices.virtio.disk_file import Disk, Identity
from timehands.monitor.devices.virtio.mmio import Registers
from timehands.monitor.settings import Clocks
from timehands.monitor.snapshot.split import BoardChips

#: The parts of a vCPU that are KVM's structures. Those of `OPTIONAL` are there when KVM has the
#: capability; ``fpu`` is kept where ``xsave``, which holds it too, cannot be.
PARTS: Mapping[str, type[Layout]] = {
    "regs": Regs,
    "sregs": Sregs,
    "lapic": LapicState,
    "fpu": Fpu,
    "xsave": Xsave,
    "xcrs": Xcrs,
    "debugregs": Debugregs,
    "events": VcpuEvents,
}
OPTIONAL: Mapping[str, Capability] = {
    "xsave": Capability.XSAVE,
    "xcrs": Capability.XCRS,
    "debugregs": Capability.DEBUGREGS,
    "events": Capability.VCPU_EVENTS,
}
#: Of the chips in the kernel, by what `numbers.IrqChip` calls them.
CHIPS = ("pic_master", "pic_slave", "ioapic")
#: Not among a processor's ``msrs``: all vCPUs' TSCs are those of one moment.
TSC = int(ClockMsr.TSC)
TSC_DEADLINE = int(ClockMsr.TSC_DEADLINE)


@dataclass(frozen=True, slots=True)
class Processor:
    """One vCPU.

    ``tsc_ahead``: by how many cycles its TSC is ahead of the first vCPU's. ``parts``: by the names
    of `PARTS`. ``msrs``: those of KVM's list that could be read, but for the TSC.
    """

    cpuid: tuple[CpuidEntry, ...]
    mp_state: MpState
    tsc_ahead: int
    msrs: Mapping[int, int]
    parts: Mapping[str, Layout]


@dataclass(frozen=True, slots=True)
class Times:
    """The clocks. Times in ns; ``..._realtime_ns`` is the host's date, since 1970.

    ``guest_ns``: what our devices count. ``system_ns``: pvclock's time, at ``paused_realtime_ns``.
    ``tsc``: the first vCPU's, at ``tsc_realtime_ns``. ``tsc_set``: whether that host's KVM let a
    guest's TSC be set; where it does not, the guest had the host's own, and no other host has it.
    """

    tsc_khz: int
    tsc: int
    tsc_realtime_ns: int
    tsc_set: bool
    guest_ns: int
    system_ns: int
    paused_realtime_ns: int


@dataclass(frozen=True, slots=True)
class SerialPort:
    """The serial port: see `devices.serial.Serial.restore`."""

    registers: bytes
    divisor: int
    fifo: bool
    empty_pending: bool
    waiting: bytes


@dataclass(frozen=True, slots=True)
class DateClock:
    """The RTC: see `devices.rtc.Rtc.restore`."""

    offset_ns: int
    index: int
    ram: bytes


@dataclass(frozen=True, slots=True)
class KeyboardController:
    """The i8042: see `devices.i8042.I8042.restore`."""

    ram: bytes
    output: int
    answers: bytes
    nobody: bool
    wants: int


@dataclass(frozen=True, slots=True)
class CountingBlock:
    """The HPET: see `devices.hpet.Hpet.restore`."""

    configuration: int
    status: int
    count: int
    timers: tuple[Timer, ...]


@dataclass(frozen=True, slots=True)
class OurPvclock:
    """pvclock by us: what was written to its MSRs, by vCPU and MSR, and its date's offset."""

    values: Mapping[tuple[int, int], int]
    wall_offset_ns: int


@dataclass(frozen=True, slots=True)
class KeptDisk:
    """The guest's disk, by an absolute path, and what it is known by. Its content is not kept."""

    disk: Disk
    identity: Identity


@dataclass(frozen=True, slots=True)
class Devices:
    """Our devices, and the chips in the kernel by the names of `CHIPS`, none where they are split.

    What the guest does not have is None: ``i8254`` (ours) with the speaker's bit, ``pit`` (KVM's),
    the RTC, the HPET, pvclock by us, the disk, ``split`` (IOAPIC and 8259s by us). ``virtio``:
    devices by the names of `virtio.places`.
    """

    chips: Mapping[str, Irqchip]
    serial: SerialPort
    i8042: KeyboardController
    pit: PitState2 | None = None
    i8254: tuple[Chip, int] | None = None
    rtc: DateClock | None = None
    hpet: CountingBlock | None = None
    pvclock: OurPvclock | None = None
    virtio: Mapping[str, Registers] = field(default_factory=dict)
    disk: KeptDisk | None = None
    split: BoardChips | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """The guest's memory: how much, and the SHA-256 of what is not zero (see `memory_file`)."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """All of it. ``clocks`` are the guest's settings, its policy among them.

    ``needs``: the capabilities of KVM without which it cannot go on.
    """

    memory: Memory
    clocks: Clocks
    needs: tuple[Capability, ...]
    times: Times
    processors: tuple[Processor, ...] = field(repr=False)
    devices: Devices = field(repr=False)
