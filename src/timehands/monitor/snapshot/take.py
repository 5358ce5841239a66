"""A guest into a folder.

The order within a vCPU (Documentation/virt/kvm/api.rst; arch/x86/kvm/lapic.c): KVM_GET_MP_STATE
first, since it takes pending INIT and SIPI in and so changes the rest; the TSC deadline before the
LAPIC, since KVM clears the deadline when it puts the interrupt into the LAPIC: the other way round
a timer that expires in between is in neither, and a guest that waits for it sleeps for ever;
pending events last. All TSCs are read as of one moment after that: whatever the guest could have
read was less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from timehands.clocks.cpuid.numbers import Leaf, Leaf1Ecx
from timehands.errors import KvmRefused, SnapshotError
from timehands.kvm.numbers import Capability, IrqChip
from timehands.kvm.structs import Layout
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.devices import hpet, i8042, i8254, i8259, ioapic, rtc, serial, signals
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile
from timehands.monitor.devices.virtio.mmio import Transport
from timehands.monitor.jumps import jumps_to_come
from timehands.monitor.microvm import Microvm
from timehands.monitor.settings import Maker
from timehands.monitor.snapshot import document, memory_file, split, tsc
from timehands.monitor.snapshot.state import (
    CHIPS,
    OPTIONAL,
    TSC,
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

#: Devices whose state is kept, or that have none.
_KNOWN = (
    serial.Serial, i8254.I8254, i8254.Speaker, rtc.Rtc,
    i8042.Data, i8042.CommandPort, hpet.Hpet,
    signals.ResetControl, signals.Power, signals.DebugExit, signals.Heard,
    Transport, ioapic.Ioapic, i8259.Ports, i8259.Elcr,
)  # fmt: skip


def snapshot(guest: Microvm, folder: Path | str) -> Path:
    """Keep all of a guest in a new folder, or an empty one; returns it. It goes on if it ran.

    Raises `SnapshotError` for a guest that has ended, a device whose state cannot be kept, a folder
    that holds something, a disk that is full; then nothing is left behind. `MachineError` when the
    guest cannot be paused, or KVM does not tell a part of it.
    """
    path = Path(folder)
    _check(guest, path)
    with _standing(guest), _folder(path):
        _write(guest, path)
    return path


def _check(guest: Microvm, path: Path) -> None:
    if guest.ending is not None:
        raise SnapshotError("the guest has ended: there is nothing to go on from", path=path)
    for device in (*guest.ports.devices, *guest.addresses.devices):
        if not isinstance(device, _KNOWN):
            name = type(device).__name__
            raise SnapshotError(f"the state of the guest's {name} cannot be kept", path=path)
    if guest.disk is not None and guest.disk.wrote:
        raise SnapshotError(
            "what the guest wrote to its disk is dropped: it could not go on without it",
            path=path,
            advice="Give it a disk that keeps what is written, or one that refuses it.",
        )


@contextmanager
def _standing(guest: Microvm) -> Iterator[None]:
    """Paused, with no alarm under way: one may be about to move a clock."""
    ran = guest.running
    guest.pause()
    try:
        yield
    finally:
        if ran:
            guest.resume()


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Made now, and unmade if the snapshot fails."""
    try:
        made = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            said = "there is something in this folder"
            raise SnapshotError(said, path=path, advice="Give a new folder, or an empty one.")
        try:
            yield
        except BaseException:
            _unmake(path, made)
            raise
    except OSError as error:
        raise SnapshotError(f"cannot be written: {error.strerror}", path=path) from error


def _unmake(path: Path, made: bool) -> None:
    for name in (document.NAME, memory_file.NAME):
        (path / name).unlink(missing_ok=True)
    if made:
        path.rmdir()


def _write(guest: Microvm, path: Path) -> None:
    """The state is written last: a folder without it is none."""
    state = collect(guest)
    digest = memory_file.write(guest.vm.memory, path / memory_file.NAME)
    document.write(replace(state, memory=replace(state.memory, sha256=digest)), path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def collect(guest: Microvm) -> State:
    """The state of a paused guest; the memory's checksum is left empty."""
    processors = [_processor(vcpu, guest.kvm.msr_indices()) for vcpu in guest.vcpus]
    devices = _devices(guest)
    times, ahead = _times(guest)
    return State(
        Memory(guest.settings.memory_bytes, ""),
        replace(guest.settings.clocks, jumps=jumps_to_come(guest)),
        tuple(needs(guest)),
        times,
        tuple(replace(p, tsc_ahead=cycles) for p, cycles in zip(processors, ahead, strict=True)),
        devices,
    )


def _times(guest: Microvm) -> tuple[Times, tuple[int, ...]]:
    cycles, host_ns, ahead = tsc.read(guest.vcpus)
    if guest.caught_up is not None:  # what was read waited, each for as long as it was out
        cycles, ahead = guest.caught_up.at_entry(0), (0,) * len(ahead)
    to_date_ns = time.time_ns() - time.monotonic_ns()
    times = Times(
        tsc_khz=guest.tsc_khz,
        tsc=cycles,
        tsc_realtime_ns=host_ns + to_date_ns,
        tsc_set=tsc.can_be_set(guest.kvm),
        guest_ns=guest.time.now_ns(),
        system_ns=guest.system_ns,
        paused_realtime_ns=guest.paused_ns + to_date_ns,
    )
    return times, ahead


def _processor(vcpu: Vcpu, indices: tuple[int, ...]) -> Processor:
    mp_state = vcpu.mp_state()
    parts: dict[str, Layout] = {"regs": vcpu.regs(), "sregs": vcpu.sregs()}
    vm = vcpu.vm
    if vm.has(Capability.XSAVE):
        parts["xsave"] = vcpu.xsave()
    else:
        parts["fpu"] = vcpu.fpu()
    if vm.has(Capability.XCRS):
        parts["xcrs"] = vcpu.xcrs()
    if vm.has(Capability.DEBUGREGS):
        parts["debugregs"] = vcpu.debugregs()
    cpuid, msrs = vcpu.cpuid(), _msrs(vcpu, indices)
    parts["lapic"] = vcpu.lapic()
    if vm.has(Capability.VCPU_EVENTS):
        parts["events"] = vcpu.events()
    return Processor(cpuid, mp_state, 0, msrs, parts)


def _msrs(vcpu: Vcpu, indices: tuple[int, ...]) -> dict[int, int]:
    """All that can be read. KVM lists some that this vCPU does not have."""
    wanted = [index for index in indices if index != TSC]
    try:
        return vcpu.msrs(wanted)
    except KvmRefused:
        return {index: value for index in wanted for value in _msr(vcpu, index)}


def _msr(vcpu: Vcpu, index: int) -> Iterator[int]:
    try:
        yield vcpu.msr(index)
    except KvmRefused:
        return


def _devices(guest: Microvm) -> Devices:
    clocks = guest.settings.clocks
    in_kvm = CHIPS if guest.split is None else ()
    chips = {name: guest.vm.irqchip(IrqChip[name.upper()]) for name in in_kvm}
    ours = guest.pvclock
    return Devices(
        chips=chips,
        serial=_serial(guest.serial),
        i8042=_i8042(guest.i8042),
        pit=guest.vm.pit() if clocks.pit is Maker.KVM else None,
        i8254=(guest.i8254.chip, guest.i8254.speaker) if clocks.pit is Maker.OURS else None,
        rtc=_rtc(guest.rtc) if clocks.rtc else None,
        hpet=_hpet(guest.hpet) if clocks.hpet else None,
        pvclock=OurPvclock(ours.msr_values, ours.wall_offset_ns) if ours else None,
        virtio={name: transport.registers for name, transport in guest.virtio.items()},
        disk=_disk(guest.disk) if guest.disk else None,
        split=split.take(guest.split) if guest.split else None,
    )


def _disk(file: DiskFile) -> KeptDisk:
    return KeptDisk(Disk(file.disk.path.absolute(), file.disk.writes), file.identity())


def _serial(port: serial.Serial) -> SerialPort:
    state = port.state()
    return SerialPort(
        registers=bytes.fromhex(str(state["registers"])),
        divisor=int(state["divisor"]),
        fifo=bool(state["fifo"]),
        empty_pending=bool(state["empty_pending"]),
        waiting=bytes.fromhex(str(state["input"])),
    )


def _i8042(controller: i8042.I8042) -> KeyboardController:
    state = controller.state()
    return KeyboardController(
        ram=bytes.fromhex(str(state["ram"])),
        output=int(state["output"]),
        answers=bytes.fromhex(str(state["answers"])),
        nobody=bool(state["nobody"]),
        wants=int(state["wants"]),
    )


def _rtc(chip: rtc.Rtc) -> DateClock:
    state = chip.state()
    ram = bytes.fromhex(str(state["ram"]))
    return DateClock(int(state["offset_ns"]), int(state["index"]), ram)


def _hpet(block: hpet.Hpet) -> CountingBlock:
    state = block.state()
    timers = tuple(hpet.Timer(**timer) for timer in state.pop("timers"))
    return CountingBlock(**state, timers=timers)


def needs(guest: Microvm) -> Iterator[Capability]:
    """Without what the guest cannot go on as it did."""
    clocks, vm = guest.settings.clocks, guest.vm
    yield from (Capability.IRQCHIP, Capability.MP_STATE)
    yield from (each for each in OPTIONAL.values() if vm.has(each))
    if clocks.pvclock is Maker.KVM:
        yield Capability.ADJUST_CLOCK
        yield from (each for each in [Capability.KVMCLOCK_CTRL] if vm.has(each))
    if clocks.pvclock is Maker.OURS:
        yield from (Capability.X86_USER_SPACE_MSR, Capability.X86_MSR_FILTER)
    if clocks.pit is Maker.KVM:
        yield from (Capability.PIT2, Capability.PIT_STATE2)
    if guest.split is not None:
        yield from (Capability.SPLIT_IRQCHIP, Capability.SIGNAL_MSI, Capability.IRQ_ROUTING)
    if clocks.apic_bus_ns != 1:
        yield Capability.X86_APIC_BUS_CYCLES_NS
    if _told_deadline(guest.vcpus[0]):
        yield Capability.TSC_DEADLINE_TIMER


def _told_deadline(vcpu: Vcpu) -> bool:
    told = (entry for entry in vcpu.cpuid() if entry.leaf == Leaf.FEATURES)
    return any(entry.registers.ecx & Leaf1Ecx.TSC_DEADLINE for entry in told)
