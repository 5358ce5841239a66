"""Every clock of a guest, as a value: what there is, how fast it is, and what the guest is told.

Nothing here is on by chance: a monitor that is given the same settings makes the same clocks. Lies
are possible on purpose (``told_tsc_khz``): kernels that believe them are what is being tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from timehands.errors import MachineError

MIN_TSC_KHZ, MAX_TSC_KHZ = 1_000, 100_000_000
MAX_BUS_NS = 1_000


class Maker(StrEnum):
    """Who makes a clock."""

    KVM = "kvm"
    OURS = "ours"
    NONE = "none"


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
        if self.clock not in ("tsc", "pvclock", "wall") or self.at_ns < 0:
            raise MachineError(f"{self.clock} cannot jump at {self.at_ns} ns")


_WORDS: Mapping[str, type[StrEnum]] = {"pvclock": Maker, "pit": Maker, "policy": Policy}


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a guest.

    ``tsc_khz``: the TSC's rate, None for the host's own (another one needs KVM_CAP_TSC_CONTROL, or
    to be within 250 ppm of the host's). ``told_tsc_khz``: what CPUID says instead of the truth.
    ``invariant_tsc``, ``tsc_deadline``: whether CPUID says so; None for what KVM supports.
    ``stable``: whether our pvclock sets its STABLE flag and CPUID announces it. ``wall_offset_ns``
    is added to the host's date in the RTC and pvclock's wall clock. ``apic_bus_ns``: the LAPIC
    timer's cycle; other than 1 needs KVM_CAP_X86_APIC_BUS_CYCLES_NS.
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
    wall_offset_ns: int = 0
    apic_bus_ns: int = 1
    policy: Policy = Policy.MONOTONIC
    jumps: tuple[Jump, ...] = ()

    def __post_init__(self) -> None:
        for khz in (self.tsc_khz, self.told_tsc_khz):
            if khz is not None and not MIN_TSC_KHZ <= khz <= MAX_TSC_KHZ:
                raise MachineError(f"a TSC of {khz:,} kHz: give {MIN_TSC_KHZ:,} to {MAX_TSC_KHZ:,}")
        if not 1 <= self.apic_bus_ns <= MAX_BUS_NS:
            raise MachineError(f"a LAPIC cycle of {self.apic_bus_ns} ns: give 1 to {MAX_BUS_NS}")

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types; `from_json` is the way back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["published"] = [each.value for each in self.published]
        for name, kind in _WORDS.items():
            plain[name] = kind(plain[name]).value
        plain["jumps"] = [[j.clock, j.at_ns, j.by_ns] for j in self.jumps]
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The clocks that `to_json` wrote. Raises `MachineError` when they are none."""
        try:
            known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
            if "published" in known:
                known["published"] = tuple(Published(each) for each in known["published"])
            for name, kind in _WORDS.items():
                if name in known:
                    known[name] = kind(known[name])
            if "jumps" in known:
                known["jumps"] = tuple(Jump(c, int(at), int(by)) for c, at, by in known["jumps"])
            return cls(**known)
        except (TypeError, ValueError, AttributeError) as error:
            raise MachineError(f"these are no clocks: {error}") from error
