"""``state.json``: a snapshot's state as JSON, with a version and a checksum.

Structures of KVM's are their bytes in hexadecimal digits, CPUID answers and MSRs lists of numbers,
times ns. What is read is believed in nothing: a damaged or hostile file gives `SnapshotDamaged`.
Whether KVM takes what a well-formed one says is KVM's to decide, as with any user of it.
"""

from __future__ import annotations

import json
from ctypes import sizeof
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.i8254 import MODULUS, NS_PER_S, PIT_HZ, Access, Mode
from timehands.clocks.i8254_chip import Channel, Chip
from timehands.clocks.i8254_counter import Counter
from timehands.errors import MachineError, SnapshotDamaged
from timehands.kvm.cpuid import CpuidEntry
from timehands.kvm.numbers import MAX_CPUID_ENTRIES, Capability, CpuidFlags, MpState
from timehands.kvm.structs import Irqchip, Layout, PitState2
from timehands.monitor.devices import hpet, i8042
from timehands.monitor.devices.rtc import RAM_BYTES
from timehands.monitor.devices.serial import INPUT_BYTES
from timehands.monitor.devices.virtio.disk_file import Disk, Identity, Writes
from timehands.monitor.devices.virtio.mmio import Registers as VirtioRegisters
from timehands.monitor.devices.virtio.rings import MAX_SIZE, Ring
from timehands.monitor.microvm import MAX_MEMORY, MAX_VCPUS, MIN_MEMORY
from timehands.monitor.pvclock import MSRS
from timehands.monitor.settings import (
    MAX_STEP_NS,
    MAX_TSC_KHZ,
    MIN_TSC_KHZ,
    Clocks,
    IrqChips,
    Maker,
)
from timehands.monitor.snapshot import split
from timehands.monitor.snapshot.fields import Fields, Unfit, data, listed, parse, whole
from timehands.monitor.snapshot.state import (
    CHIPS,
    OPTIONAL,
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

_L = TypeVar("_L", bound=Layout)

NAME = "state.json"
FORMAT, VERSION = "timehands snapshot", 4
#: 64 vCPUs take about 2 MiB.
MAX_BYTES = 16 << 20
MAX_MSRS = 4096
_U32, _U64 = (1 << 32) - 1, (1 << 64) - 1
_S64 = (1 << 63) - 1
#: No guest has run for longer, and none has to wait for longer, in ns and in ticks of the i8254.
_LONGEST_NS = MAX_STEP_NS
_LONGEST_TICKS = _LONGEST_NS * PIT_HZ // NS_PER_S
#: A guest may set its date to any year of four digits.
_LONGEST_PATH = 4096
#: What an HPET counted, and when its timers are due: 64 bits, and as much again.
_FARTHEST_COUNT = 1 << 66
_FARTHEST_DATE_NS = 10_000 * 366 * 86_400 * NS_PER_S


def write(state: State, folder: Path) -> None:
    """Write the file. Raises `OSError`."""
    plain = _plain(state)
    whole_file = {"format": FORMAT, "version": VERSION, "sha256": _digest(plain), "state": plain}
    with (folder / NAME).open("x", encoding="ascii") as file:
        json.dump(whole_file, file, indent=1)
        file.write("\n")


def read(folder: Path) -> State:
    """The state in a folder. Raises `SnapshotDamaged`, `OSError`."""
    with (folder / NAME).open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    try:
        if len(text) > MAX_BYTES:
            raise Unfit(f"it has more than {MAX_BYTES >> 20} MiB")
        return parse_state(text)
    except Unfit as error:
        raise SnapshotDamaged(f"{NAME}: {error}", path=folder) from None


def parse_state(text: bytes) -> State:
    """The state that ``state.json`` holds. Raises `Unfit`."""
    with Fields(parse(text), "the file") as file:
        if file.take("format") != FORMAT:
            raise Unfit(f"it is no {FORMAT}")
        version = file.whole("version", 0, _U32)
        if version != VERSION:
            raise Unfit(f"it is of version {version}; this Timehands reads {VERSION}")
        sum_told, plain = file.text("sha256", 64), file.take("state")
        if _digest(plain) != sum_told:
            raise Unfit("it is not as it was written: its SHA-256 differs")
        return _state(plain)


def _digest(plain: object) -> str:
    try:
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except (RecursionError, ValueError):
        raise Unfit("it holds what no snapshot holds") from None
    return sha256(text.encode("ascii")).hexdigest()


# The state as plain values


def _plain(state: State) -> dict[str, Any]:
    return {
        "memory": asdict(state.memory),
        "clocks": state.clocks.to_json(),
        "needs": [each.name for each in state.needs],
        "times": asdict(state.times),
        "processors": [_plain_processor(each) for each in state.processors],
        "devices": _plain_devices(state.devices),
    }


def _plain_processor(processor: Processor) -> dict[str, Any]:
    return {
        "cpuid": [[e.leaf, e.subleaf, e.flags, *e.registers] for e in processor.cpuid],
        "mp_state": processor.mp_state.name,
        "tsc_ahead": processor.tsc_ahead,
        "msrs": [list(each) for each in processor.msrs.items()],
        "parts": {name: bytes(part).hex() for name, part in processor.parts.items()},
    }


def _plain_devices(devices: Devices) -> dict[str, Any]:
    serial, rtc, ours = devices.serial, devices.rtc, devices.pvclock
    return {
        "chips": {name: bytes(chip).hex() for name, chip in devices.chips.items()},
        "serial": asdict(serial)
        | {"registers": serial.registers.hex(), "waiting": serial.waiting.hex()},
        "i8042": asdict(devices.i8042)
        | {"ram": devices.i8042.ram.hex(), "answers": devices.i8042.answers.hex()},
        "pit": bytes(devices.pit).hex() if devices.pit else None,
        "i8254": _plain_i8254(*devices.i8254) if devices.i8254 else None,
        "rtc": asdict(rtc) | {"ram": rtc.ram.hex()} if rtc else None,
        "hpet": asdict(devices.hpet) if devices.hpet else None,
        "pvclock": {
            "values": [[*register, value] for register, value in ours.values.items()],
            "wall_offset_ns": ours.wall_offset_ns,
        }
        if ours
        else None,
        "virtio": {name: asdict(each) for name, each in devices.virtio.items()},
        "disk": _plain_disk(devices.disk) if devices.disk else None,
        "split": split.plain(devices.split) if devices.split else None,
    }


def _plain_disk(kept: KeptDisk) -> dict[str, Any]:
    path, writes = str(kept.disk.path), kept.disk.writes.value
    return {"path": path, "writes": writes, **asdict(kept.identity)}


def _plain_i8254(chip: Chip, speaker: int) -> dict[str, Any]:
    return {"channels": [asdict(channel) for channel in chip.channels], "speaker": speaker}


# The state from plain values


def _state(plain: object) -> State:
    with Fields(plain, "state") as state:
        memory = _memory(state.part("memory"))
        clocks = _clocks(state.take("clocks"))
        needs = state.each("needs", len(Capability), _capability)
        times = _times(state.part("times"))
        processors = state.each("processors", MAX_VCPUS, _processor)
        devices = _devices(state.part("devices"))
    if not processors:
        raise Unfit("state.processors is empty")
    _check_devices(devices, clocks, len(processors))
    if processors[0].tsc_ahead:
        raise Unfit("the first vCPU's TSC cannot be ahead of itself")
    return State(memory, clocks, needs, times, processors, devices)


def _memory(plain: Fields) -> Memory:
    with plain as memory:
        return Memory(memory.whole("size", MIN_MEMORY, MAX_MEMORY), memory.text("sha256", 64))


def _clocks(plain: object) -> Clocks:
    try:
        return Clocks.from_json(plain)
    except MachineError as error:
        raise Unfit(f"state.clocks: {error.message}") from None


def _capability(value: object, where: str) -> Capability:
    if not isinstance(value, str) or value not in Capability.__members__:
        raise Unfit(f"{where} is no capability of KVM that is known")
    return Capability[value]


def _times(plain: Fields) -> Times:
    with plain as times:
        return Times(
            tsc_khz=times.whole("tsc_khz", MIN_TSC_KHZ, MAX_TSC_KHZ),
            tsc=times.whole("tsc", 0, _U64),
            tsc_realtime_ns=times.whole("tsc_realtime_ns", 0, _S64),
            tsc_set=times.switch("tsc_set"),
            guest_ns=times.whole("guest_ns", 0, _LONGEST_NS),
            system_ns=times.whole("system_ns", -MAX_STEP_NS, _S64),
            paused_realtime_ns=times.whole("paused_realtime_ns", 0, _S64),
        )


def _processor(plain: object, where: str) -> Processor:
    with Fields(plain, where) as processor:
        cpuid = processor.each("cpuid", MAX_CPUID_ENTRIES, _cpuid_entry)
        name = processor.text("mp_state", 20)
        if name not in MpState.__members__:
            raise Unfit(f"{where}.mp_state is none")
        ahead = processor.whole("tsc_ahead", -_S64, _S64)
        msrs = processor.each("msrs", MAX_MSRS, _msr)
        parts = processor.named("parts", PARTS, lambda each, v: _layout(v, PARTS[each], each))
    if missing := PARTS.keys() - OPTIONAL.keys() - parts.keys() - {"fpu"}:
        raise Unfit(f"{where}.parts has no {min(missing)}")
    if not parts.keys() & {"fpu", "xsave"}:
        raise Unfit(f"{where}.parts has neither xsave nor fpu")
    return Processor(cpuid, MpState[name], ahead, dict(msrs), parts)


def _layout(value: object, kind: type[_L], where: str) -> _L:
    return kind.from_buffer_copy(data(value, sizeof(kind), sizeof(kind), where))


def _cpuid_entry(value: object, where: str) -> CpuidEntry:
    leaf, subleaf, flags, *registers = (
        whole(each, 0, _U32, where) for each in listed(value, 7, 7, where)
    )
    if flags & ~CpuidFlags.SIGNIFICANT_INDEX:
        raise Unfit(f"{where} has flags that are not known")
    return CpuidEntry(leaf, subleaf, CpuidFlags(flags), Registers(*registers))


def _msr(value: object, where: str) -> tuple[int, int]:
    index, content = listed(value, 2, 2, where)
    return whole(index, 0, _U32, where), whole(content, 0, _U64, where)


def _devices(plain: Fields) -> Devices:
    with plain as devices:
        chips = devices.named("chips", dict.fromkeys(CHIPS), lambda n, v: _layout(v, Irqchip, n))
        return Devices(
            chips=chips,
            serial=_serial(devices.part("serial")),
            i8042=_i8042(devices.part("i8042")),
            pit=devices.maybe("pit", lambda v, where: _layout(v, PitState2, where)),
            i8254=devices.maybe("i8254", _i8254),
            rtc=devices.maybe("rtc", _rtc),
            hpet=devices.maybe("hpet", _hpet),
            pvclock=devices.maybe("pvclock", _our_pvclock),
            virtio=devices.named("virtio", dict.fromkeys(("disk", "entropy")), _virtio),
            disk=devices.maybe("disk", _disk),
            split=devices.maybe("split", split.parse),
        )


def _check_devices(devices: Devices, clocks: Clocks, vcpus: int) -> None:
    """Those that the settings say, and no other."""
    for name, there, wanted in (
        ("pit", devices.pit, clocks.pit is Maker.KVM),
        ("i8254", devices.i8254, clocks.pit is Maker.OURS),
        ("rtc", devices.rtc, clocks.rtc),
        ("hpet", devices.hpet, clocks.hpet),
        ("pvclock", devices.pvclock, clocks.pvclock is Maker.OURS),
        ("split", devices.split, clocks.irqchip is IrqChips.SPLIT),
    ):
        if (there is not None) is not wanted:
            raise Unfit(f"state.devices.{name} does not fit state.clocks")
    if len(devices.chips) != (0 if devices.split else len(CHIPS)):
        raise Unfit("state.devices.chips does not fit state.clocks")
    for vcpu, msr in devices.pvclock.values if devices.pvclock else ():
        if vcpu >= vcpus or msr not in MSRS:
            raise Unfit("state.devices.pvclock has a register that no vCPU of it has")
    if (devices.disk is not None) is not ("disk" in devices.virtio):
        raise Unfit("state.devices.disk does not fit state.devices.virtio")


def _serial(plain: Fields) -> SerialPort:
    with plain as serial:
        return SerialPort(
            registers=serial.data("registers", 8, 8),
            divisor=serial.whole("divisor", 0, 0xFFFF),
            fifo=serial.switch("fifo"),
            empty_pending=serial.switch("empty_pending"),
            waiting=serial.data("waiting", 0, INPUT_BYTES),
        )


def _i8042(plain: Fields) -> KeyboardController:
    with plain as controller:
        return KeyboardController(
            ram=controller.data("ram", i8042.RAM_BYTES, i8042.RAM_BYTES),
            output=controller.whole("output", 0, 0xFF),
            answers=controller.data("answers", 0, i8042.WAITING),
            nobody=controller.switch("nobody"),
            wants=controller.whole("wants", -1, 0xFF),
        )


def _rtc(plain: object, where: str) -> DateClock:
    with Fields(plain, where) as rtc:
        return DateClock(
            offset_ns=rtc.whole("offset_ns", -_FARTHEST_DATE_NS, _FARTHEST_DATE_NS),
            index=rtc.whole("index", 0, 0x7F),
            ram=rtc.data("ram", RAM_BYTES, RAM_BYTES),
        )


def _hpet(plain: object, where: str) -> CountingBlock:
    with Fields(plain, where) as block:
        timers = block.each("timers", hpet.TIMERS, _hpet_timer)
        if len(timers) != hpet.TIMERS:
            raise Unfit(f"{where} has not {hpet.TIMERS} timers")
        return CountingBlock(
            configuration=block.whole("configuration", 0, 1),
            status=block.whole("status", 0, (1 << hpet.TIMERS) - 1),
            count=block.whole("count", 0, _FARTHEST_COUNT),
            timers=timers,
        )


def _hpet_timer(plain: object, where: str) -> hpet.Timer:
    with Fields(plain, where) as timer:
        return hpet.Timer(
            configuration=timer.whole("configuration", 0, hpet.CHANGES) & hpet.CHANGES,
            comparator=timer.whole("comparator", 0, _U64),
            period=timer.whole("period", 0, _U64),
            setting=timer.switch("setting"),
            due=timer.whole("due", 0, _FARTHEST_COUNT),
        )


def _our_pvclock(plain: object, where: str) -> OurPvclock:
    with Fields(plain, where) as ours:
        values = ours.each("values", 2 * MAX_VCPUS, _register)
        return OurPvclock(dict(values), ours.whole("wall_offset_ns", -_S64, _S64))


def _register(value: object, where: str) -> tuple[tuple[int, int], int]:
    vcpu, msr, content = listed(value, 3, 3, where)
    number = whole(vcpu, 0, MAX_VCPUS - 1, where)
    return (number, whole(msr, 0, _U32, where)), whole(content, 0, _U64, where)


def _virtio(name: str, plain: object) -> VirtioRegisters:
    where = f"state.devices.virtio.{name}"
    with Fields(plain, where) as registers:
        result = VirtioRegisters(
            device_features_select=registers.whole("device_features_select", 0, _U32),
            driver_features_select=registers.whole("driver_features_select", 0, _U32),
            driver_features=registers.whole("driver_features", 0, _U64),
            queue_select=registers.whole("queue_select", 0, _U32),
            interrupts=registers.whole("interrupts", 0, 3),
            status=registers.whole("status", 0, 0xFF),
            ring=_ring(registers.part("ring")),
        )
    if result.ring.ready and not result.ring.fits:
        raise Unfit(f"{where}.ring cannot be in use")
    return result


def _ring(plain: Fields) -> Ring:
    with plain as ring:
        return Ring(
            size=ring.whole("size", 0, MAX_SIZE + 1),
            ready=ring.switch("ready"),
            descriptors=ring.whole("descriptors", 0, _U64),
            available=ring.whole("available", 0, _U64),
            used=ring.whole("used", 0, _U64),
            taken=ring.whole("taken", 0, 0xFFFF),
            returned=ring.whole("returned", 0, 0xFFFF),
        )


def _disk(plain: object, where: str) -> KeptDisk:
    with Fields(plain, where) as disk:
        path, writes = disk.text("path", _LONGEST_PATH), disk.text("writes", 10)
        if writes not in tuple(Writes) or not path:
            raise Unfit(f"{where} is none")
        identity = Identity(disk.whole("size", 1, _S64), disk.whole("changed_ns", -_S64, _S64))
        return KeptDisk(Disk(Path(path), Writes(writes)), identity)


def _i8254(plain: object, where: str) -> tuple[Chip, int]:
    with Fields(plain, where) as chip:
        channels = chip.each("channels", 3, _channel)
        if len(channels) != 3:
            raise Unfit(f"{where} has not three channels")
        return Chip((channels[0], channels[1], channels[2])), chip.whole("speaker", 0, 2)


def _channel(plain: object, where: str) -> Channel:
    with Fields(plain, where) as channel:
        return Channel(
            counter=_counter(channel.part("counter"), where),
            access=Access(channel.whole("access", Access.LOW, Access.BOTH)),
            low_written=_maybe(channel, "low_written", 0, 0xFF),
            low_read=channel.switch("low_read"),
            latched=_maybe(channel, "latched", 0, 0xFFFF),
            status=_maybe(channel, "status", 0, 0xFF),
        )


def _counter(plain: Fields, where: str) -> Counter:
    with plain as counter:
        result = Counter(
            mode=Mode(counter.whole("mode", min(Mode), max(Mode))),
            bcd=counter.switch("bcd"),
            gate=counter.switch("gate"),
            at_once=counter.switch("at_once"),
            loaded=_maybe(counter, "loaded", 1, MODULUS),
            since=counter.whole("since", 0, _LONGEST_TICKS),
            counted=counter.whole("counted", 0, _LONGEST_TICKS),
            running=counter.switch("running"),
            waiting=_maybe(counter, "waiting", 1, MODULUS),
            due=_maybe(counter, "due", 0, _LONGEST_TICKS),
            null=counter.switch("null"),
            shown=counter.whole("shown", 0, MODULUS - 1),
        )
    if max(result.loaded or 0, result.waiting or 0) > result.modulus:
        raise Unfit(f"{where} counts more than its modulus")
    return result


def _maybe(plain: Fields, name: str, low: int, high: int) -> int | None:
    return plain.maybe(name, lambda value, where: whole(value, low, high, where))
