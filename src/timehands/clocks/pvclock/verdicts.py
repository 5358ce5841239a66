"""What can be wrong with a pvclock page, by code: how bad it is, and what it means to which guest.

Words only; `timehands.clocks.pvclock.check` and `timehands.clocks.pvclock.history` find it out.
What guests do: Linux arch/x86/kernel/pvclock.c and kvmclock.c; FreeBSD sys/x86/x86/pvclock.c;
OpenBSD sys/dev/pv/pvclock.c; NetBSD: the driver proposed with PR 59862.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any


class Severity(IntEnum):
    """How bad it is."""

    #: Worth knowing.
    NOTE = 1
    #: Some guest, or some situation, gets wrong time.
    WARNING = 2
    #: Guests get wrong time, none at all, or crash.
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble: what it is called, and what it means to guests."""

    severity: Severity
    title: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One trouble found. ``text`` says what was seen: the worst case of ``count``.

    ``ns`` is the size of a jump where there is one; ``line`` the line of a log it was (first) in.
    """

    code: str
    text: str
    ns: int | None = None
    line: int | None = None
    count: int = 1

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return TROUBLES[self.code].severity

    @property
    def title(self) -> str:
        """What this kind of trouble is called."""
        return TROUBLES[self.code].title

    @property
    def meaning(self) -> str:
        """What it means to which guest."""
        return TROUBLES[self.code].meaning

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "code": self.code,
            "severity": self.severity.name.lower(),
            "title": self.title,
            "text": self.text,
            "meaning": self.meaning,
            "ns": self.ns,
            "line": self.line,
            "count": self.count,
        }


def worst(verdicts: Iterable[Verdict]) -> Severity | None:
    """The greatest severity; None without verdicts."""
    return max((verdict.severity for verdict in verdicts), default=None)


def is_wrong(verdicts: Iterable[Verdict]) -> bool:
    """Whether there is more than notes."""
    return (worst(verdicts) or Severity.NOTE) > Severity.NOTE


_NOTE, _WARNING, _ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR

#: PV1xx: a page. PV15x: a wall clock. PV2xx: several samples over time.
TROUBLES: Mapping[str, Trouble] = MappingProxyType(
    {
        "PV101": Trouble(
            _ERROR, "too short", "The record has 32 bytes; what guests read behind is not a clock."
        ),
        "PV102": Trouble(
            _ERROR,
            "never written",
            "Version 0: the MSR was not handled, or no vCPU was entered since. Guests take it for "
            "a valid page (0 is even) and divide by its multiplier.",
        ),
        "PV103": Trouble(
            _WARNING,
            "being written",
            "The version is odd: every guest tries again until it is even, for ever if the "
            "provider died in between. The other fields may be of two updates.",
        ),
        "PV104": Trouble(
            _ERROR,
            "multiplier is zero",
            "Time stands still; Linux (pvclock_tsc_khz) and FreeBSD (pvclock_tsc_freq) divide by "
            "it and fault.",
        ),
        "PV105": Trouble(
            _WARNING,
            "shift that no provider gives",
            "KVM's and Xen's shifts are -34 to 30 for every frequency; this one is damage, or "
            "arithmetic of one's own.",
        ),
        "PV106": Trouble(
            _ERROR,
            "shift undefined in C",
            "Guests shift a 64-bit number by 64 or more, which C leaves undefined; x86 takes the "
            "count modulo 64, so compiled guests differ from what is worked out here (0).",
        ),
        "PV107": Trouble(
            _WARNING,
            "multiplier not normalised",
            "Bit 31 is clear; KVM and Xen always set it. Each clear bit above the first set one "
            "doubles the rounding error of the rate (2^-31 at best).",
        ),
        "PV108": Trouble(
            _WARNING,
            "implausible frequency",
            "No x86 TSC is below 100 MHz or above 10 GHz. A guest that takes its TSC frequency "
            "from here (Linux, FreeBSD, smolfire's patch) calibrates its delays and its LAPIC by "
            "it.",
        ),
        "PV109": Trouble(
            _NOTE,
            "not KVM's factors",
            "No whole kHz gives this pair in KVM. Xen scales from Hz; anything else has "
            "arithmetic of its own, and a guest moved to KVM would see the rate change.",
        ),
        "PV110": Trouble(
            _WARNING,
            "unknown flags",
            "Bits 3 to 7 are not defined; guests ignore them today and need not tomorrow.",
        ),
        "PV111": Trouble(_NOTE, "COUNTS_FROM_ZERO", "Defined, and used by no guest known."),
        "PV112": Trouble(
            _NOTE,
            "padding not zero",
            "Guests ignore it; the provider copies memory that it did not clear.",
        ),
        "PV113": Trouble(
            _NOTE,
            "GUEST_STOPPED",
            "The guest was paused. Linux spares its watchdogs once and clears the bit; no "
            "other guest is known to. A provider must keep it until the guest clears it.",
        ),
        "PV114": Trouble(
            _NOTE,
            "TSC_STABLE not set",
            "vCPUs may disagree: Linux and FreeBSD keep a last value for all vCPUs (slow, and no "
            "vDSO in Linux), OpenBSD lowers the quality to 500 (its first revision refuses).",
        ),
        "PV115": Trouble(
            _ERROR,
            "TSC before the page's",
            "The difference is unsigned: Linux and FreeBSD read a time far ahead (and keep it as "
            "last value); the driver proposed for NetBSD counts it as 0.",
        ),
        "PV116": Trouble(
            _ERROR,
            "shift loses bits",
            "So many cycles after the update the left shift leaves 64 bits: every guest's time is "
            "wrong from there on.",
        ),
        "PV117": Trouble(
            _NOTE,
            "too long for a 64-bit product",
            "Right in guests that keep the whole product; OpenBSD's first revision, which keeps "
            "64 bits, is off by a multiple of 2^32 ns.",
        ),
        "PV118": Trouble(
            _WARNING,
            "system time of centuries",
            "2^63 ns or more: negative to guests that take ns as signed (Linux's ktime); most "
            "often a difference that wrapped.",
        ),
        "PV119": Trouble(
            _ERROR,
            "time wraps",
            "system_time and what passed since are 2^64 ns or more together: guests fall back to "
            "0.",
        ),
        "PV151": Trouble(_ERROR, "wall clock too short", "The record has 12 bytes."),
        "PV152": Trouble(
            _ERROR, "wall clock never written", "Version 0: guests take 1970 for the date."
        ),
        "PV153": Trouble(
            _WARNING,
            "wall clock being written",
            "The version is odd: every guest tries again until it is even.",
        ),
        "PV154": Trouble(
            _ERROR,
            "nanoseconds of a second or more",
            "Linux adds it all up and divides, so the date is right; who puts the fields into a "
            "timespec hands out one that the kernel refuses.",
        ),
        "PV155": Trouble(
            _WARNING,
            "epoch before 2000",
            "The epoch is the date at which kvmclock was 0. A provider that writes the uptime "
            "here, or has no real-time clock, sends its guests back.",
        ),
        "PV156": Trouble(
            _NOTE,
            "seconds beyond 32 bits",
            "After 2106-02-07 06:28:15 UTC; only Xen's record holds them (wc_sec_hi).",
        ),
        "PV201": Trouble(
            _ERROR,
            "version went back",
            "A guest that was reading meanwhile may find its old version again and accept a torn "
            "page.",
        ),
        "PV202": Trouble(
            _ERROR,
            "changed without a new version",
            "A guest that was reading meanwhile accepts a mix of two pages.",
        ),
        "PV203": Trouble(
            _ERROR, "version never even", "No sample can be read: guests spin for ever."
        ),
        "PV204": Trouble(
            _ERROR,
            "TSC went back",
            "The guest's TSC itself: restored, written, or of another CPU. Linux marks it "
            "unstable; pages made before do not fit it.",
        ),
        "PV205": Trouble(
            _ERROR, "system_time went back", "The clock was set back across an update."
        ),
        "PV206": Trouble(
            _WARNING,
            "step back at an update",
            "At the update's TSC the new page says less than the old one. A step shorter than an "
            "exit is not seen by the vCPU itself, but by others that compare.",
        ),
        "PV207": Trouble(
            _NOTE,
            "step ahead at an update",
            "At the update's TSC the new page says more than the old one: time was added.",
        ),
        "PV208": Trouble(
            _ERROR,
            "factors changed in place",
            "Multiplier or shift changed but the timestamps did not: all cycles since the update "
            "are scaled anew, and time jumps.",
        ),
        "PV209": Trouble(
            _WARNING,
            "frequency changed",
            "Guests that took their TSC frequency at boot (Linux's tsc_khz, FreeBSD's tsc_freq, "
            "LAPIC deadlines) keep the old one.",
        ),
        "PV210": Trouble(
            _WARNING,
            "TSC_STABLE lost",
            "OpenBSD's first revision panics; Linux and FreeBSD go over to a last value, and "
            "times that vDSO readers got before may be ahead of it.",
        ),
        "PV211": Trouble(
            _ERROR,
            "time went back",
            'One read after the other gives less: "timecounter went backwards", or an endless '
            "wait where differences are unsigned.",
        ),
        "PV212": Trouble(
            _WARNING,
            "rate is off",
            "More than 500 ppm from the host's clock: more than NTP in the guest can make good.",
        ),
        "PV213": Trouble(
            _WARNING,
            "timestamp went back",
            "The new page's tsc_timestamp is before the old one's: the guest's TSC was set back, "
            "or the record is of another CPU.",
        ),
        "PV214": Trouble(_ERROR, "unreadable line", "Not a sample; it was left out."),
        "PV215": Trouble(_ERROR, "no samples", "There is nothing to judge."),
    }
)
