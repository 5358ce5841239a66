"""A machine and a load in the monitor's own terms."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from timehands.errors import MachineError
from timehands.machines.machine import Load, Machine
from timehands.monitor.devices.virtio import Disk, Writes
from timehands.monitor.features import hidden_by
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load as Loaded
from timehands.monitor.microvm import Settings
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.words import WATCHED, clocks_from

#: Flags that are clocks' settings and may be switched on, too.
_CLOCK_FLAGS = {"invtsc": "invariant-tsc", "tsc-deadline": "tsc-deadline"}
#: A kernel or a ramdisk has this many bytes at most.
MAX_FILE_BYTES = 1 << 30


def settings_for(machine: Machine, load: Load) -> Settings:
    """What the monitor makes. Raises `MachineError` for what it cannot."""
    if load.network:
        raise MachineError("the monitor has no network", advice="Leave --network out.")
    return Settings(
        memory_bytes=machine.memory_mib * MIB,
        vcpus=machine.vcpus,
        clocks=clocks_of(machine),
        hidden=hidden_by(tuple(_hiding(machine))),
        disk=Disk(load.disk, Writes.DROPPED) if load.disk else None,
    )


def check(machine: Machine) -> None:
    """Raise `MachineError` for what cannot be made, before anything is begun."""
    settings_for(machine, Load(Path()))


def clocks_of(machine: Machine) -> Clocks:
    """Its clocks: by devices and CPU flags, and then by the words of ``machine.clocks``."""
    words = tuple(_by_flags(machine)) + machine.clocks
    clocks = clocks_from(words, replace(WATCHED, rtc=machine.has("rtc"), hpet=machine.has("hpet")))
    pit = clocks.pit
    if not machine.has("pit"):
        if any(word.startswith("pit=") for word in machine.clocks):
            raise MachineError("--pit off takes the i8254 away, and --clock pit= gives one")
        pit = Maker.NONE
    return replace(clocks, pit=pit)


def _by_flags(machine: Machine) -> list[str]:
    """The words that CPU flags such as ``+invtsc`` stand for."""
    words = []
    for flag in machine.cpu_flags:
        name, state = flag.lstrip("+-"), "off" if flag.startswith("-") else "on"
        if name in _CLOCK_FLAGS:
            words.append(f"{_CLOCK_FLAGS[name]}={state}")
    return words


def _hiding(machine: Machine) -> list[str]:
    """The names of the features that are taken away."""
    names = []
    for flag in machine.cpu_flags:
        name = flag.lstrip("+-")
        if name in _CLOCK_FLAGS:
            continue
        if not flag.startswith("-"):
            raise MachineError(
                f"the CPU flag {flag} cannot be given: the monitor's guests see what KVM has",
                advice=f"Features can be hidden: -{name.partition('=')[0]}.",
            )
        names.append(name)
    return names


def loaded(machine: Machine, load: Load) -> Loaded:
    """The files of a load, read. Raises `MachineError` for one that cannot be."""
    kernel = memoryview(_read(load.kernel, "kernel"))
    initrd = _read(load.initrd, "ramdisk") if load.initrd else b""
    words = " ".join((*load.arguments, *announced(machine, load)))
    return Loaded(kernel, words, initrd, acpi=machine.has("acpi"))


def announced(machine: Machine, load: Load) -> tuple[str, ...]:
    """The words by which a kernel finds its virtio devices; none where ACPI tells of them.

    Linux (drivers/virtio/virtio_mmio.c), FreeBSD (virtio_mmio_cmdline.c) and NetBSD
    (virtio_mmio_cmdline.c) all read this form, which QEMU's microvm adds as well.
    """
    if machine.has("acpi"):
        return ()
    return tuple(
        f"virtio_mmio.device={place.size >> 10}K@{place.address:#x}:{place.irq}"
        for place in settings_for(machine, load).virtio
    )


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MachineError(f"the {what} cannot be read: {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise MachineError(f"the {what} has more than {MAX_FILE_BYTES >> 20} MiB: {path}")
    return data


def command_for(machine: Machine, load: Load) -> tuple[str, ...]:
    """What runs the same on a terminal: this is the monitor's command line."""
    words = ["timehands", "run", str(load.kernel), "--machine", "monitor"]
    words += ["--memory", str(machine.memory_mib), "--vcpus", str(machine.vcpus)]
    if machine.cpu_flags:
        words += ["--cpu", machine.cpu_argument]
    for name, present in machine.devices:
        words += [f"--{name}", "on" if present else "off"]
    for word in machine.clocks:
        words += ["--clock", word]
    if load.arguments:
        words += ["--append", shlex.join(load.arguments)]
    for option, path in (("--initrd", load.initrd), ("--disk", load.disk)):
        if path:
            words += [option, str(path)]
    return tuple(words)
