"""What a machine offers a guest kernel to tell the time with: the values of a survey.

Every value is frozen and goes to JSON and back. Frequencies are in Hz and measured against a ruler:
the host's CLOCK_MONOTONIC, or (on a deterministic machine, whose time is not the host's) the PIT's
1,193,182 Hz.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Self

from timehands.clocks.cpuid.decode import CpuidFacts, decode
from timehands.clocks.cpuid.dump import format_table, parse_table
from timehands.clocks.cpuid.numbers import HyperVAccess
from timehands.clocks.cpuid.table import CpuidTable
from timehands.clocks.rate import NS_PER_S, Rate
from timehands.errors import SurveyFailed, TimehandsError

Ruler = Literal["host", "pit"]


@dataclass(frozen=True, slots=True)
class Counter:
    """A clock device that counts or does not; ``rate`` is None when it could not be measured."""

    counts: bool
    rate: Rate | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The way back from ``dataclasses.asdict``."""
        known = {**data, "rate": Rate.from_json(data["rate"]) if data["rate"] else None}
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Pit(Counter):
    """The i8254, by its channel 0.

    ``channel_2``: whether channel 2 counts too. ``gate``: whether port 0x61 answers, by which
    kernels start channel 2 and see its output; without it they cannot calibrate with it.
    """

    channel_2: bool = False
    gate: bool = False


@dataclass(frozen=True, slots=True)
class Lapic(Counter):
    """The local APIC's timer, before division (measured with divisor 1)."""

    base: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Hpet(Counter):
    """The HPET; ``period_fs`` is the period of its count in femtoseconds as it says itself."""

    period_fs: int | None = None


@dataclass(frozen=True, slots=True)
class AcpiPm(Counter):
    """The ACPI power management timer at an I/O port; None when no ACPI table names one."""

    port: int | None = None


@dataclass(frozen=True, slots=True)
class Rtc:
    """The MC146818 real-time clock.

    ``time`` is what it showed (ISO 8601, UTC); ``offset_s`` how far that is from the host's wall
    clock in whole seconds (None where the machine's time is not the host's); ``ticks`` whether its
    periodic flag came, ``periodic_hz`` how often (1024 is asked for).
    """

    present: bool
    ticks: bool = False
    periodic_hz: int | None = None
    time: str | None = None
    offset_s: int | None = None


@dataclass(frozen=True, slots=True)
class StartInfo:
    """What PVH handed over; ``memory`` has (address, size, type) of each range."""

    version: int
    flags: int
    modules: int
    rsdp: int
    command_line: str
    memory: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """One clock that the machine offers: its name, its rate if known, and a word on it."""

    clock: str
    hz: int | None = None
    detail: str = ""


#: The clocks that a survey looks for, as `Offer.clock` names them, in the order of reports.
CLOCKS = (
    "tsc", "tsc_frequency", "pvclock", "xen", "hyperv", "i8254", "rtc", "lapic", "tsc_deadline",
    "hpet", "acpi_pm",
)  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """What one machine offers, as a bare guest found it.

    ``duration_ns`` is host time from the start of QEMU to the end of the guest. ``pic`` and
    ``i8042`` say whether these answer, since kernels take them for granted beside the PIT.
    An MSR is None when the CPU refused the read; emulators answer unknown ones with 0.
    """

    cpuid: CpuidTable
    msrs: Mapping[int, int | None]
    ruler: Ruler
    tsc: Rate | None
    pit: Pit
    rtc: Rtc
    lapic: Lapic
    hpet: Hpet
    acpi_pm: AcpiPm
    pic: bool
    i8042: bool
    start_info: StartInfo | None
    duration_ns: int

    @cached_property
    def facts(self) -> CpuidFacts:
        """What CPUID says about clocks."""
        return decode(self.cpuid)

    @property
    def tsc_told_truly(self) -> bool | None:
        """Whether the TSC's rate that a leaf tells lies within the measured bounds.

        None when no leaf tells it, or it was not measured.
        """
        told = self.facts.tsc_hz
        return self.tsc.allows(told) if told and self.tsc else None

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """The clocks that the machine offers, in the order of `CLOCKS`."""
        found = [*self._cpu_offers(), *self._hypervisor_offers(), *self._device_offers()]
        return tuple(sorted(found, key=lambda offer: CLOCKS.index(offer.clock)))

    @property
    def lacks(self) -> tuple[str, ...]:
        """The clocks of `CLOCKS` that it does not offer."""
        there = {offer.clock for offer in self.offers}
        return tuple(clock for clock in CLOCKS if clock not in there)

    def offer(self, clock: str) -> Offer | None:
        """The offer of one clock, or None when the machine does not make it."""
        return next((offer for offer in self.offers if offer.clock == clock), None)

    def _cpu_offers(self) -> Iterator[Offer]:
        facts, tsc_hz = self.facts, self.tsc.hz if self.tsc else None
        if facts.tsc:
            yield Offer("tsc", tsc_hz, "invariant" if facts.invariant_tsc else "not invariant")
        if source := next((source for source in facts.tsc_sources if source.exact), None):
            yield Offer("tsc_frequency", source.hz, source.name)
        if facts.tsc_deadline and self.lapic.base is not None:
            yield Offer("tsc_deadline", tsc_hz)

    def _hypervisor_offers(self) -> Iterator[Offer]:
        facts = self.facts
        if facts.kvm and facts.kvm.offers_pvclock:
            yield Offer("pvclock", NS_PER_S, "stable" if facts.kvm.stable else "not stable")
        if facts.xen:
            yield Offer("xen", NS_PER_S)
        if facts.hyperv and facts.hyperv.access & _HYPERV_CLOCKS:
            yield Offer("hyperv", HYPERV_HZ)

    def _device_offers(self) -> Iterator[Offer]:
        if self.rtc.present:
            yield Offer("rtc", 1, "ticks" if self.rtc.ticks else "does not tick")
        devices: Mapping[str, Counter] = {
            "i8254": self.pit, "lapic": self.lapic, "hpet": self.hpet, "acpi_pm": self.acpi_pm,
        }  # fmt: skip
        for clock, device in devices.items():
            if device.counts:
                yield Offer(clock, device.rate.hz if device.rate else None)

    def to_json(self) -> dict[str, Any]:
        """The survey as JSON types; `from_json` is the way back (facts are for readers only)."""
        return {
            "cpuid": format_table(self.cpuid),
            "facts": self.facts.to_json(),
            "offers": [asdict(offer) for offer in self.offers],
            "lacks": list(self.lacks),
            "msrs": {f"{msr:#x}": value for msr, value in self.msrs.items()},
            "ruler": self.ruler,
            "tsc": asdict(self.tsc) if self.tsc else None,
            **{name: asdict(getattr(self, name)) for name in _DEVICES},
            "rtc": asdict(self.rtc),
            "pic": self.pic,
            "i8042": self.i8042,
            "start_info": asdict(self.start_info) if self.start_info else None,
            "duration_ns": self.duration_ns,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The survey that `to_json` wrote. Raises `SurveyFailed` when it is none."""
        try:
            return cls._from_json(data)
        except (KeyError, TypeError, ValueError, AttributeError, TimehandsError) as error:
            raise SurveyFailed(f"this is no survey: {error!r}") from error

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> Self:
        ruler: Ruler = "host" if data["ruler"] == "host" else "pit"
        time = data["rtc"]["time"]
        if time is not None:
            datetime.fromisoformat(time)
        return cls(
            cpuid=parse_table(data["cpuid"]),
            msrs={int(msr, 16): value for msr, value in data["msrs"].items()},
            ruler=ruler,
            tsc=Rate.from_json(data["tsc"]) if data["tsc"] else None,
            pit=Pit.from_json(data["pit"]),
            rtc=Rtc(**data["rtc"]),
            lapic=Lapic.from_json(data["lapic"]),
            hpet=Hpet.from_json(data["hpet"]),
            acpi_pm=AcpiPm.from_json(data["acpi_pm"]),
            pic=bool(data["pic"]),
            i8042=bool(data["i8042"]),
            start_info=_start_info(data["start_info"]),
            duration_ns=int(data["duration_ns"]),
        )


_DEVICES = ("pit", "lapic", "hpet", "acpi_pm")
#: The unit of Hyper-V's reference counter is 100 ns (TLFS, 12.4).
HYPERV_HZ = 10_000_000
_HYPERV_CLOCKS = HyperVAccess.REFERENCE_COUNTER | HyperVAccess.REFERENCE_TSC


def _start_info(data: Mapping[str, Any] | None) -> StartInfo | None:
    if data is None:
        return None
    memory = tuple((int(a), int(size), int(kind)) for a, size, kind in data["memory"])
    return StartInfo(**{**data, "memory": memory})
