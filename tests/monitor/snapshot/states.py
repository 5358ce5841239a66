"""A state as a guest of one vCPU could have it, without a KVM: for tests of what is on disk."""

from __future__ import annotations

from pathlib import Path

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.i8254_chip import Chip
from timehands.clocks.msr import ClockMsr
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import Capability, CpuidFlags, MpState
from timehands.kvm.structs import Irqchip
from timehands.monitor.devices.hpet import Timer
from timehands.monitor.devices.virtio.disk_file import Disk, Identity, Writes
from timehands.monitor.devices.virtio.mmio import Registers as VirtioRegisters
from timehands.monitor.devices.virtio.rings import Ring
from timehands.monitor.layout import MIB
from timehands.monitor.settings import Clocks, Jump, Maker
from timehands.monitor.snapshot.state import (
    CHIPS,
    PARTS,
    CountingBlock,
    DateClock,
    Devices,
    KeptDisk,
    KeyboardController,
    Memory,
    OurPvclock,
    Processor,
    SerialPort,
    State,
    Times,
)


def some_state() -> State:
    """With our i8254, the RTC, pvclock by us, and virtio's devices."""
    chip = Chip.new(at_once=True).write(0x43, 0x34, 5).write(0x40, 1, 6).write(0x40, 2, 7)
    entry = CpuidEntry(1, 0, CpuidFlags(0), Registers(1, 2, 3, 4))
    processor = Processor(
        cpuid=(entry,),
        mp_state=MpState.HALTED,
        tsc_ahead=0,
        msrs={0x174: 1, int(ClockMsr.TSC_DEADLINE): 2**64 - 1},
        parts={name: kind() for name, kind in PARTS.items()},
    )
    return State(
        memory=Memory(32 * MIB, "0" * 64),
        clocks=Clocks(pvclock=Maker.OURS, pit=Maker.OURS, hpet=True, jumps=(Jump("tsc", 1, -2),)),
        needs=(Capability.IRQCHIP, Capability.MP_STATE),
        times=Times(
            tsc_khz=2_600_000, tsc=2**63, tsc_realtime_ns=10**18, tsc_set=False,
            guest_ns=10**9, system_ns=10**9, paused_realtime_ns=10**18,
        ),
        processors=(processor,),
        devices=Devices(
            chips={name: Irqchip(chip_id=at) for at, name in enumerate(CHIPS)},
            serial=SerialPort(bytes(8), 12, fifo=True, empty_pending=False, waiting=b"typed"),
            i8042=KeyboardController(bytes(32), 3, b"\xfe", nobody=True, wants=0xD1),
            i8254=(chip, 2),
            rtc=DateClock(-5, 0x40, bytes(128)),
            hpet=CountingBlock(1, 4, 10**9, (Timer(), Timer(0x0E, 7, 7, True, 10**9), Timer())),
            pvclock=OurPvclock({(0, int(ClockMsr.KVM_SYSTEM_TIME)): 0x9001}, 7),
            virtio={
                "disk": VirtioRegisters(
                    driver_features=1 << 32, interrupts=1, status=15,
                    ring=Ring(128, True, 0x1000, 0x2000, 0x3000, 2**16 - 1, 7),
                ),
                "entropy": VirtioRegisters(),
            },
            disk=KeptDisk(Disk(Path("/a disk"), Writes.REFUSED), Identity(512, 10**18)),
        ),
    )  # fmt: skip
