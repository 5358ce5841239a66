"""A folder into a guest, paused where it stood.

The order of `STEPS` is not free. What goes wrong otherwise (arch/x86/kvm/x86.c, lapic.c, ioapic.c):

- CPUID comes before all that KVM checks against it.
- The wall clock's MSR comes before the memory: setting it writes a date by this machine's young
  clock into the guest's memory.
- The memory comes before the control registers: with PAE, KVM reads page table pointers from it.
- TSCs come before LAPICs and TSC deadlines: a deadline that is armed by a wrong TSC rings at once,
  or never. A LAPIC comes before its deadline: KVM drops one for a LAPIC not in that mode.
- The IOAPIC and the PICs come after the LAPICs, which get what is pending there, and before the
  i8254, which interrupts through them.
- Guest time comes before the devices that count it.

pvclock is set, and told that the guest was stopped, by `Microvm.resume`, before any vCPU runs: its
MSRs are there by then, and no time passes between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from timehands.clocks.pvclock.numbers import SYSTEM_TIME_MSRS, WALL_CLOCK_MSRS
from timehands.clocks.rtc import Register, RegisterC
from timehands.errors import (
    KvmRefused,
    MachineError,
    SnapshotDamaged,
    SnapshotError,
    SnapshotRefused,
)
from timehands.kvm.numbers import IrqChip
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.devices import rtc
from timehands.monitor.devices.virtio.disk_file import Disk, DiskFile
from timehands.monitor.host_tsc import is_near
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Policy
from timehands.monitor.snapshot import document, memory_file, split, tsc
from timehands.monitor.snapshot.host import lacking
from timehands.monitor.snapshot.state import TSC, TSC_DEADLINE, KeptDisk, Processor, State
from timehands.monitor.vcpus import Observer

Step = Callable[[Microvm, State, Path], None]
#: By their old numbers, where the new ones name the same.
_OLD_NAMES: Mapping[int, int] = {old: new for new, old in (SYSTEM_TIME_MSRS, WALL_CLOCK_MSRS)}


def restore(
    folder: Path | str,
    *,
    console: Callable[[bytes], None] = lambda _data: None,
    observer: Observer | None = None,
    signal: Callable[[str, int], None] = lambda _name, _value: None,
    policy: Policy | None = None,
    disk: Path | None = None,
) -> Microvm:
    """A guest as it was when its snapshot was taken, paused; the arguments are `Microvm`'s.

    ``policy``: another one than that of the snapshot, from now on. By ``monotonic`` pvclock and TSC
    go on from where they stood; by ``wall`` both catch up with the host's date. The RTC tells the
    host's date, plus what it was ahead of it, by either. The TSC runs from now on, pvclock when the
    guest is resumed, as after any pause.

    The guest's disk is looked for where it was, or at ``disk``. It must be as it was: a kernel
    believes what it has read of it. A snapshot from somebody else may name any file that its maker
    knows the size and the time of: give ``disk`` then.

    Raises `SnapshotDamaged`, `SnapshotRefused` when this host lacks what the guest needs,
    `SnapshotError` for a folder that cannot be read, and what `Microvm` raises.
    """
    path = Path(folder)
    try:
        state = document.read(path)
        settings = _settings(state, path, policy, disk)
        guest = Microvm(settings, None, console=console, observer=observer, signal=signal)
        try:
            put(guest, state, path)
        except BaseException:
            guest.close()
            raise
        return guest
    except OSError as error:
        raise SnapshotError(f"cannot be read: {error.strerror}", path=path) from error


def _settings(state: State, path: Path, policy: Policy | None, disk_path: Path | None) -> Settings:
    """What the guest ran on, as it is to be asked for on this host."""
    with Kvm() as kvm:
        lacks = list(lacking(kvm, state))
        if lacks:
            raise SnapshotRefused(f"this guest cannot go on here: {'; '.join(lacks)}", path=path)
        # Without scaling a TSC has the host's rate, whatever KVM is told: pvclock must know it.
        khz = state.times.tsc_khz
        clocks = replace(
            state.clocks,
            tsc_khz=None if is_near(khz, tsc.host_khz(kvm)) else khz,
            policy=policy or state.clocks.policy,
        )
    kept, disk = state.devices.disk, None
    if kept is not None:
        disk = replace(kept.disk, path=disk_path or kept.disk.path)
        _check_disk(disk, kept, path)
    entropy = "entropy" in state.devices.virtio
    return Settings(state.memory.size, len(state.processors), clocks, disk=disk, entropy=entropy)


def _check_disk(disk: Disk, kept: KeptDisk, path: Path) -> None:
    """It can be had, and nothing has changed it."""
    try:
        with DiskFile(disk) as file:
            identity = file.identity()
    except MachineError as error:
        said = f"this guest cannot go on here: {error.message}"
        raise SnapshotRefused(said, path=path, advice=error.advice) from error
    if identity != kept.identity:
        was, now = kept.identity.size, identity.size
        how = "changed" if was == now else f"of {was} bytes, and now has {now}"
        raise SnapshotRefused(
            f"this guest cannot go on: its disk was {how} since: {disk.path}",
            path=path,
            advice="Keep a copy with each snapshot (cp --preserve=timestamps), and name that.",
        )


def put(guest: Microvm, state: State, path: Path) -> None:
    """Put all of a state into a guest that was made for it. Raises as `restore`."""
    try:
        for step in STEPS:
            step(guest, state, path)
    except KvmRefused as error:
        raise SnapshotRefused(f"this KVM does not take it: {error.message}", path=path) from error


def put_cpuid(guest: Microvm, state: State, _path: Path) -> None:
    """What the guest was told, not what it would be told here."""
    for vcpu, processor in _each(guest, state):
        vcpu.set_cpuid(processor.cpuid)


def put_wall_clock(guest: Microvm, state: State, path: Path) -> None:
    """Where KVM writes its date when it is asked to; it is all vCPUs'."""
    values = state.processors[0].msrs
    msr = int(WALL_CLOCK_MSRS[0])
    _put_msrs(guest.vcpus[0], {msr: values[msr]} if msr in values else {}, path)


def put_memory(guest: Microvm, state: State, path: Path) -> None:
    """The memory."""
    memory_file.read(guest.vm.memory, path / memory_file.NAME, state.memory.sha256)


def put_registers(guest: Microvm, state: State, _path: Path) -> None:
    """Control registers and segments, then general registers, then what XCR0 allows."""
    for vcpu, processor in _each(guest, state):
        parts: Mapping[str, object] = processor.parts
        for name in ("sregs", "regs", "xcrs", "fpu", "xsave", "debugregs"):
            if name in parts:
                getattr(vcpu, f"set_{name}")(parts[name])


def put_tscs(guest: Microvm, state: State, path: Path) -> None:
    """All vCPUs' TSCs: where they stood, or as far on as the host's date is."""
    times, first = state.times, guest.vcpus[0]
    wanted = times.tsc
    if guest.settings.clocks.policy is Policy.WALL:
        wanted += max(0, time.time_ns() - times.tsc_realtime_ns) * times.tsc_khz // 1_000_000
    if tsc.can_be_set(guest.kvm):
        ahead = [each.tsc_ahead for each in state.processors]
        tsc.set_all(guest.vcpus, wanted, ahead)
        if guest.caught_up is not None:
            guest.caught_up.wrote(wanted + min(ahead))
        return
    back = tsc.signed(times.tsc - first.msr(TSC))
    if back > 0:
        raise SnapshotRefused(
            f"the guest's TSC would go back by {back:,} cycles: this KVM gives it the host's own",
            path=path,
        )


def put_msrs(guest: Microvm, state: State, path: Path) -> None:
    """All but those that have their own step; KVM's pvclock is registered by this."""
    own_steps = (TSC, TSC_DEADLINE, *WALL_CLOCK_MSRS[:1])
    for vcpu, processor in _each(guest, state):
        values = processor.msrs
        wanted = {
            index: value
            for index, value in values.items()
            if index not in own_steps and values.get(_OLD_NAMES.get(index, -1)) != value
        }
        _put_msrs(vcpu, wanted, path)


def put_lapics(guest: Microvm, state: State, _path: Path) -> None:
    """The LAPICs; their timers run from now on."""
    for vcpu, processor in _each(guest, state):
        vcpu.set_lapic(processor.parts["lapic"])  # type: ignore[arg-type]


def put_deadlines(guest: Microvm, state: State, path: Path) -> None:
    """The TSC deadlines; one that is past rings at once."""
    for vcpu, processor in _each(guest, state):
        wanted = (
            {TSC_DEADLINE: processor.msrs[TSC_DEADLINE]} if TSC_DEADLINE in processor.msrs else {}
        )
        _put_msrs(vcpu, wanted, path)


def put_events(guest: Microvm, state: State, _path: Path) -> None:
    """What is pending, and what the vCPU waits for."""
    for vcpu, processor in _each(guest, state):
        if "events" in processor.parts:
            vcpu.set_events(processor.parts["events"])  # type: ignore[arg-type]
        vcpu.set_mp_state(processor.mp_state)


def put_chips(guest: Microvm, state: State, _path: Path) -> None:
    """IOAPIC and PICs, and what else is in the kernel. KVM starts its i8254's count anew."""
    if guest.split is not None and state.devices.split is not None:
        lapics = [each.parts["lapic"] for each in state.processors]
        split.put(guest.split, state.devices.split, lapics)  # type: ignore[arg-type]
    for name, chip in state.devices.chips.items():
        chip.chip_id = IrqChip[name.upper()]
        guest.vm.set_irqchip(chip)
    if state.devices.pit is not None:
        guest.vm.set_pit(state.devices.pit)


def put_time(guest: Microvm, state: State, _path: Path) -> None:
    """The time of our devices, and pvclock's with the moment that it is of."""
    times = state.times
    guest.time.stand_at(times.guest_ns)
    guest.system_ns = times.system_ns
    past_ns = max(0, time.time_ns() - times.paused_realtime_ns)
    guest.paused_ns = time.monotonic_ns() - past_ns


def put_devices(guest: Microvm, state: State, path: Path) -> None:
    """Our devices. Those that hold their interrupt raise it again."""
    devices = state.devices
    port = devices.serial
    guest.serial.restore(
        registers=port.registers,
        divisor=port.divisor,
        fifo=port.fifo,
        empty_pending=port.empty_pending,
        waiting=port.waiting,
    )
    keyboard = devices.i8042
    guest.i8042.restore(
        ram=keyboard.ram,
        output=keyboard.output,
        answers=keyboard.answers,
        nobody=keyboard.nobody,
        wants=keyboard.wants,
    )
    if devices.i8254 is not None:
        guest.i8254.restore(*devices.i8254)
    if devices.rtc is not None:
        date = devices.rtc
        guest.rtc.restore(date.offset_ns, date.index, date.ram)
        if date.ram[Register.C] & RegisterC.INTERRUPT:
            guest.irq_line(rtc.IRQ, 1)
    if devices.hpet is not None:
        block = devices.hpet
        guest.hpet.restore(
            configuration=block.configuration,
            status=block.status,
            count=block.count,
            timers=block.timers,
        )
    for name, registers in devices.virtio.items():
        guest.virtio[name].restore(registers)
    if devices.pvclock is not None and guest.pvclock is not None:
        ours = devices.pvclock
        guest.pvclock.step_wall(ours.wall_offset_ns - guest.pvclock.wall_offset_ns)
        try:
            guest.pvclock.restore(ours.values)
        except ValueError as error:
            raise SnapshotDamaged(f"{document.NAME}: {error}", path=path) from None
        if state.times.guest_ns:
            guest.pvclock.stopped()


#: In this order, for the reasons above.
STEPS: tuple[Step, ...] = (
    put_cpuid,
    put_wall_clock,
    put_memory,
    put_registers,
    put_tscs,
    put_msrs,
    put_lapics,
    put_deadlines,
    put_events,
    put_chips,
    put_time,
    put_devices,
)


def _each(guest: Microvm, state: State) -> list[tuple[Vcpu, Processor]]:
    return list(zip(guest.vcpus, state.processors, strict=True))


def _put_msrs(vcpu: Vcpu, values: Mapping[int, int], path: Path) -> None:
    """In groups as large as they go; where KVM refuses one, one by one."""
    try:
        vcpu.set_msrs(values)
    except KvmRefused:
        for index, value in values.items():
            _put_msr(vcpu, index, value, path)


def _put_msr(vcpu: Vcpu, index: int, value: int, path: Path) -> None:
    """What cannot be set must be what it is already, or nothing."""
    try:
        vcpu.set_msrs({index: value})
    except KvmRefused as error:
        if value and not _is_already(vcpu, index, value):
            said = f"this KVM does not take {value:#x} for MSR {index:#x} of {vcpu.name}"
            raise SnapshotRefused(said, path=path) from error


def _is_already(vcpu: Vcpu, index: int, value: int) -> bool:
    try:
        return vcpu.msr(index) == value
    except KvmRefused:
        return False
