"""Every clock of a guest, as a value: what there is, how fast it is, and what the guest is told.

Nothing here is on by chance: a monitor that is given the same settings makes the same clocks. Lies
are possible on purpose (``told_tsc_khz``): kernels that believe them are what is being tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from timehands.errors import MachineError

MIN_TSC_KHZ, MAX_TSC_KHZ = 1_000, 100_000_000
MAX_BUS_NS = 1_000
#: No clock is moved farther than 100 years.
MAX_STEP_NS = 100 * 365 * 86_400 * 10**9
_MOST, _SHOWN = 2**63 - 1, 40


class Maker(StrEnum):
    """Who makes a clock."""

    KVM = "kvm"
    OURS = "ours"
    NONE = "none"


class IrqChips(StrEnum):
    """Whose the interrupt chips are: all KVM's, or only the LAPICs, with IOAPIC and 8259s ours."""

    KVM = "kvm"
    SPLIT = "split"


class Policy(StrEnum):
    """What pvclock does about time in which the guest was paused, or lay in a snapshot.

    ``monotonic``: it goes on from where it stood, and never jumps. ``wall``: it catches up.
    """

    MONOTONIC = "monotonic"
    WALL = "wall"


class Published(StrEnum):
    """A CPUID leaf that tells the TSC's frequency."""

    TIMING = "0x40000010"
    CRYSTAL = "0x15"


@dataclass(frozen=True, slots=True)
class Jump:
    """A clock that is moved while the guest runs: ``by_ns``, ``at_ns`` after its start.

    ``clock``: ``tsc``, ``pvclock`` or ``wall``.
    """

    clock: str
    at_ns: int
    by_ns: int

    def __post_init__(self) -> None:
        if self.clock not in ("tsc", "pvclock", "wall"):
            raise MachineError(f"{_shown(self.clock)} cannot jump: tsc, pvclock, and wall can")
        if not 0 <= self.at_ns <= MAX_STEP_NS or abs(self.by_ns) > MAX_STEP_NS:
            raise MachineError(
                f"{self.clock} cannot jump by {self.by_ns} ns at {self.at_ns} ns: 100 years at most"
            )


_WORDS: Mapping[str, type[StrEnum]] = {
    "pvclock": Maker,
    "pit": Maker,
    "policy": Policy,
    "irqchip": IrqChips,
}


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a guest.

    ``tsc_khz``: the TSC's rate, None for the host's own (another one needs KVM_CAP_TSC_CONTROL, or
    to be within 250 ppm of the host's). ``told_tsc_khz``: what CPUID says instead of the truth.
    ``invariant_tsc``, ``tsc_deadline``: whether CPUID says so; None for what KVM supports.
    ``stable``: whether our pvclock sets its STABLE flag and CPUID announces it. ``rtc``, ``hpet``:
    whether the guest has them; both are the monitor's. ``wall_offset_ns`` is added to the host's
    date in the RTC and pvclock's wall clock. ``apic_bus_ns``: the LAPIC timer's cycle; other than 1
    needs KVM_CAP_X86_APIC_BUS_CYCLES_NS. ``irqchip``: split (KVM_CAP_SPLIT_IRQCHIP) takes KVM's
    i8254 away, which interrupts through KVM's chips.
    """

    tsc_khz: int | None = None
    published: tuple[Published, ...] = (Published.TIMING,)
    told_tsc_khz: int | None = None
    invariant_tsc: bool | None = None
    tsc_deadline: bool | None = None
    pvclock: Maker = Maker.KVM
    stable: bool = True
    pit: Maker = Maker.KVM
    rtc: bool = True
    hpet: bool = False
    wall_offset_ns: int = 0
    apic_bus_ns: int = 1
    policy: Policy = Policy.MONOTONIC
    jumps: tuple[Jump, ...] = ()
    irqchip: IrqChips = IrqChips.KVM

    def __post_init__(self) -> None:
        for khz in (self.tsc_khz, self.told_tsc_khz):
            if khz is not None and not MIN_TSC_KHZ <= khz <= MAX_TSC_KHZ:
                raise MachineError(f"a TSC of {khz:,} kHz: give {MIN_TSC_KHZ:,} to {MAX_TSC_KHZ:,}")
        if not 1 <= self.apic_bus_ns <= MAX_BUS_NS:
            raise MachineError(f"a LAPIC cycle of {self.apic_bus_ns} ns: give 1 to {MAX_BUS_NS}")
        if abs(self.wall_offset_ns) > MAX_STEP_NS:
            raise MachineError(
                f"a date {self.wall_offset_ns} ns from the host's: 100 years at most"
            )
        if self.irqchip is IrqChips.SPLIT and self.pit is Maker.KVM:
            raise MachineError(
                "KVM's i8254 needs KVM's interrupt chips, and these are split",
                advice="Let the i8254 be ours (pit=ours), or none.",
            )
        for jump in self.jumps:
            self._check(jump)

    def _check(self, jump: Jump) -> None:
        if jump.clock == "pvclock" and self.pvclock is Maker.NONE:
            raise MachineError("pvclock cannot jump: there is none")
        if jump.clock == "wall" and self.pvclock is not Maker.OURS and not self.rtc:
            raise MachineError("the date cannot jump: neither the RTC nor pvclock is the monitor's")

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types; `from_json` is the way back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["published"] = [each.value for each in self.published]
        for name, kind in _WORDS.items():
            plain[name] = kind(plain[name]).value
        plain["jumps"] = [[j.clock, j.at_ns, j.by_ns] for j in self.jumps]
        return plain

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The clocks that `to_json` wrote; what is not there is as it is by default.

        Raises `MachineError` when they are none, and for names that are not known.
        """
        if not isinstance(data, dict):
            raise MachineError(f"clocks are an object, not {_shown(data)}")
        unknown = data.keys() - _READERS.keys()
        if unknown:
            raise MachineError(
                f"no clock has a setting {_shown(min(unknown, key=str))}",
                advice=f"There are {', '.join(_READERS)}.",
            )
        return cls(**{name: _read(name, value) for name, value in data.items()})


def _read(name: str, value: object) -> Any:
    try:
        return _READERS[name](value)
    except (TypeError, ValueError) as error:
        raise MachineError(f"{name} cannot be {_shown(value)}: {error}") from error


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than some thousand digits
        return "a number that long"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("it is a whole number")
    if abs(value) > _MOST:
        raise ValueError("it has 64 bits at most")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("it is true or false")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("it is a list")
    return value


def _word(kind: type[StrEnum]) -> Callable[[object], Any]:
    def read(value: object) -> StrEnum:
        if value not in tuple(kind):
            raise ValueError(f"it is one of {', '.join(kind)}")
        return kind(str(value))

    return read


def _or_none(reader: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else reader(value)


def _jump(value: object) -> Jump:
    parts = _list(value)
    if len(parts) != len(fields(Jump)):
        raise ValueError("a jump is a clock, a time, and a distance")
    if not isinstance(parts[0], str):
        raise TypeError("its clock is a name")
    return Jump(parts[0], _whole(parts[1]), _whole(parts[2]))


#: How each setting is read from JSON.
_READERS: Mapping[str, Callable[[object], Any]] = {
    "tsc_khz": _or_none(_whole),
    "published": lambda value: tuple(map(_word(Published), _list(value))),
    "told_tsc_khz": _or_none(_whole),
    "invariant_tsc": _or_none(_switch),
    "tsc_deadline": _or_none(_switch),
    "pvclock": _word(Maker),
    "stable": _switch,
    "pit": _word(Maker),
    "rtc": _switch,
    "hpet": _switch,
    "wall_offset_ns": _whole,
    "apic_bus_ns": _whole,
    "policy": _word(Policy),
    "jumps": lambda value: tuple(_jump(each) for each in _list(value)),
    "irqchip": _word(IrqChips),
}
