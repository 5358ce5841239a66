"""What a guest runs on, and what is put into it: two plain values.

A `Machine` names the accelerator, the CPU, the memory and which clock devices exist. A `Load` names
what is started on it: kernel, arguments, ramdisk, disk. Both are frozen, print well, compare, and
go to JSON and back; nothing here starts anything. QEMU's command line is made from them in
`timehands.machines.qemu`, and only there; what our own monitor makes of them is in
`timehands.watch.exits.made`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from timehands.errors import MachineError

Accelerator = Literal["tcg", "kvm"]
MachineType = Literal["microvm", "q35", "pc", "monitor"]
ClockDevice = Literal["pit", "pic", "rtc", "hpet", "acpi"]

#: Which clock devices can be switched on each machine type, and whether they are there by default.
#: Source: QEMU 10.0 hw/i386/microvm.c (properties pit, pic, rtc, acpi) and hw/i386/pc.c (hpet, pit,
#: pic, acpi); the RTC of q35 and pc is part of the south bridge. The ACPI tables count as a clock
#: device because they tell a kernel of its LAPIC, IOAPIC, HPET and PM timer. QEMU's own default for
#: microvm is acpi=on; ours is off, as microVMs elsewhere (Firecracker) have an MP table only.
#: ``monitor`` is no machine of QEMU's but our own monitor (`timehands.monitor`).
CLOCK_DEVICES: Mapping[MachineType, Mapping[ClockDevice, bool]] = {
    "microvm": {"pit": True, "pic": True, "rtc": True, "acpi": False},
    "q35": {"pit": True, "pic": True, "hpet": True, "acpi": True},
    "pc": {"pit": True, "pic": True, "hpet": True, "acpi": True},
    "monitor": {"pit": True, "rtc": True, "hpet": False, "acpi": False},
}
#: Clock devices that a machine type has and that cannot be taken away.
FIXED_DEVICES: Mapping[MachineType, frozenset[str]] = {
    "microvm": frozenset(),
    "q35": frozenset({"rtc", "acpi_pm"}),
    "pc": frozenset({"rtc", "acpi_pm"}),
    "monitor": frozenset({"pic"}),
}
MAX_VCPUS = 64
MAX_MEMORY_MIB = 1 << 20
_CPU_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: How a clock of the monitor is set: ``pvclock=ours``, ``jump=wall@5s+1h``.
_CLOCK = re.compile(r"[a-z][a-z0-9-]*=[A-Za-z0-9@+.:_-]+")
MAX_CLOCKS = 64
_CPU_FLAG = re.compile(r"[+-][a-z0-9_.-]+|[a-z0-9_.-]+=[A-Za-z0-9_.:+-]+")


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware of a guest, as QEMU or our monitor (type ``monitor``) will make it.

    ``devices`` holds only what differs from the machine type's default (`CLOCK_DEVICES`).
    ``deterministic`` counts instructions instead of host time (QEMU ``-icount``): the guest's
    clocks then all advance 1 ns for each instruction, and two boots are the same bit for bit.
    ``clocks`` are settings of the monitor's clocks, in words (`timehands.monitor.words`).

    Raises `MachineError` when the parts do not fit together.
    """

    accelerator: Accelerator = "tcg"
    type: MachineType = "microvm"
    cpu: str = "max"
    cpu_flags: tuple[str, ...] = ()
    memory_mib: int = 256
    vcpus: int = 1
    devices: tuple[tuple[ClockDevice, bool], ...] = ()
    deterministic: bool = False
    clocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(self.accelerator in get_args(Accelerator), f"no accelerator {self.accelerator!r}")
        _require(self.type in get_args(MachineType), f"no machine type {self.type!r}")
        _require(_CPU_NAME.fullmatch(self.cpu), f"{self.cpu!r} is no name of a CPU model")
        for number in (self.vcpus, self.memory_mib):
            _require(type(number) is int, f"{number!r} is no whole number")
        _require(type(self.deterministic) is bool, "deterministic is either true or false")
        for flag in self.cpu_flags:
            _require(_CPU_FLAG.fullmatch(flag), f"{flag!r} is no CPU flag (+name, -name, name=x)")
        _require(1 <= self.vcpus <= MAX_VCPUS, f"{self.vcpus} vCPUs: give 1 to {MAX_VCPUS}")
        _require(
            16 <= self.memory_mib <= MAX_MEMORY_MIB,
            f"{self.memory_mib} MiB of memory: give 16 to {MAX_MEMORY_MIB}",
        )
        self._check_devices()
        self._check_monitor()
        if self.deterministic:
            _require(self.accelerator == "tcg", "deterministic needs the accelerator tcg")
            _require(self.vcpus == 1, "deterministic needs exactly one vCPU")

    def _check_devices(self) -> None:
        switchable = CLOCK_DEVICES[self.type]
        for name, present in self.devices:
            if name in FIXED_DEVICES[self.type]:
                _require(present, f"the {self.type} machine cannot go without its {name}")
            elif name not in switchable:
                _require(not present, f"the {self.type} machine has no {name}")

    def _check_monitor(self) -> None:
        """The monitor has KVM only, and only it has clocks that are set by words."""
        if self.type != "monitor":
            _require(not self.clocks, f"clocks are set on the monitor, not on {self.type}")
            return
        _require(self.accelerator == "kvm", "the monitor runs on KVM: give it --accel kvm")
        _require(self.cpu == "host", f"the monitor's CPU model is host, not {self.cpu}")
        _require(len(self.clocks) <= MAX_CLOCKS, f"more than {MAX_CLOCKS} settings of clocks")
        for word in self.clocks:
            text = f"{word!r} sets no clock (name=value)"
            _require(isinstance(word, str) and _CLOCK.fullmatch(word), text)

    @property
    def vmm(self) -> str:
        """Who makes it, as a sentence has it: ``QEMU``, or ``the monitor``."""
        return "the monitor" if self.type == "monitor" else "QEMU"

    def has(self, device: str) -> bool:
        """Whether the machine has the clock device (``pit pic rtc hpet acpi_pm``)."""
        if device in FIXED_DEVICES[self.type]:
            return True
        by_default = dict(CLOCK_DEVICES[self.type]).get(device, False)  # type: ignore[call-overload]
        return bool(dict(self.devices).get(device, by_default))  # type: ignore[call-overload]

    def with_device(self, device: ClockDevice, present: bool) -> Self:
        """The same machine with this device there or not."""
        others = tuple(item for item in self.devices if item[0] != device)
        return replace(self, devices=tuple(sorted((*others, (device, present)))))

    def with_cpu_flag(self, flag: str) -> Self:
        """The same machine with a CPU flag more (``+invtsc``, ``-tsc-deadline``)."""
        name = flag.lstrip("+-").split("=")[0]
        others = tuple(f for f in self.cpu_flags if f.lstrip("+-").split("=")[0] != name)
        return replace(self, cpu_flags=(*others, flag))

    def with_clock(self, word: str) -> Self:
        """The same machine with a clock set (``tsc-leaf=0x40000010``); jumps add up."""
        name = word.partition("=")[0]
        others = tuple(c for c in self.clocks if name == "jump" or c.partition("=")[0] != name)
        return replace(self, clocks=(*others, word))

    @property
    def cpu_argument(self) -> str:
        """The CPU as QEMU's ``-cpu`` takes it: ``max,+invtsc``."""
        return ",".join((self.cpu, *self.cpu_flags))

    def __str__(self) -> str:
        parts = [f"{self.type}, {self.accelerator}, -cpu {self.cpu_argument}"]
        parts.append(f"{self.vcpus} vCPU{'s' if self.vcpus > 1 else ''}, {self.memory_mib} MiB")
        parts += [f"{name} {'on' if present else 'off'}" for name, present in self.devices]
        if self.deterministic:
            parts.append("deterministic")
        if self.clocks:
            parts.append(f"clocks {' '.join(self.clocks)}")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types; `from_json` is the way back."""
        lists = {"cpu_flags": list(self.cpu_flags), "clocks": list(self.clocks)}
        return {**asdict(self), "devices": dict(self.devices), **lists}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The machine that `to_json` wrote. Raises `MachineError` when it is no machine."""
        try:
            known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
            known["devices"] = tuple(sorted(dict(known.get("devices", {})).items()))
            known["cpu_flags"] = tuple(known.get("cpu_flags", ()))
            known["clocks"] = tuple(known.get("clocks", ()))
            return cls(**known)
        except (TypeError, ValueError, AttributeError) as error:
            raise MachineError(f"this is no machine: {error}") from error


@dataclass(frozen=True, slots=True)
class Load:
    """What is started on a machine.

    ``arguments`` is the kernel's command line, one word an item. ``forwards`` are host forwards of
    the user network, as QEMU spells them (``tcp:127.0.0.1:2222-:22``).
    """

    kernel: Path
    arguments: tuple[str, ...] = ()
    initrd: Path | None = None
    disk: Path | None = None
    network: bool = False
    forwards: tuple[str, ...] = ()

    @property
    def command_line(self) -> str:
        """The kernel's command line as one string."""
        return " ".join(self.arguments)

    def with_argument(self, argument: str) -> Self:
        """The same load with a kernel argument more, in place of one of the same name."""
        name = argument.split("=", maxsplit=1)[0]
        others = tuple(a for a in self.arguments if a.split("=")[0] != name)
        return replace(self, arguments=(*others, argument))

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types; `from_json` is the way back."""
        return {
            "kernel": str(self.kernel),
            "arguments": list(self.arguments),
            "initrd": str(self.initrd) if self.initrd else None,
            "disk": str(self.disk) if self.disk else None,
            "network": self.network,
            "forwards": list(self.forwards),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The load that `to_json` wrote. Raises `MachineError` when it is none."""
        try:
            return cls(
                kernel=Path(data["kernel"]),
                arguments=_words(data.get("arguments", ())),
                initrd=Path(data["initrd"]) if data.get("initrd") else None,
                disk=Path(data["disk"]) if data.get("disk") else None,
                network=bool(data.get("network", False)),
                forwards=_words(data.get("forwards", ())),
            )
        except (KeyError, TypeError) as error:
            raise MachineError(f"this is no load of a machine: {error}") from error


def _words(values: Iterable[Any]) -> tuple[str, ...]:
    """A list of words out of JSON. Raises TypeError when something else is among them."""
    words = tuple(values)
    if not all(isinstance(word, str) for word in words):
        raise TypeError(f"{words!r} are not all words")
    return words


def _require(condition: object, message: str) -> None:
    if not condition:
        raise MachineError(message)
