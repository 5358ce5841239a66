"""Every code that a finding can have: its title, and the page that explains it.

A code is never reused and never changes its meaning. The hundreds group them: 1 the TSC and its
frequency, 2 the choice of a clock, 3 devices that are assumed, 4 the boot's time, 5 wrong time,
6 a boot that does not end.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources

from timehands.errors import UsageError


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of finding.

    ``title`` is its name. ``because`` is the same as the second half of a sentence about a guest:
    "Linux runs on refined-jiffies: *its TSC frequency is unknown*".
    """

    code: str
    title: str
    because: str

    @property
    def page(self) -> str:
        """The page that explains it, in Markdown of at most 100 columns."""
        pages = resources.files("timehands.findings") / "pages"
        return (pages / f"{self.code}.md").read_text(encoding="utf-8")


_ENTRIES = (
    Entry("TH101", "TSC frequency unknown", "its TSC frequency is unknown"),
    Entry("TH102", "calibration unreliable", "a clock was calibrated to a rate that does not hold"),
    Entry(
        "TH103",
        "frequency leaf not to be believed",
        "the frequency that CPUID seems to give is not to be believed",
    ),
    Entry(
        "TH104",
        "TSC calibration switched off",
        "it may not measure its TSC, and nothing tells the frequency",
    ),
    Entry(
        "TH105",
        "calibrated against a counter of reads",
        "its clocks were measured against a counter that only counts how often it is read",
    ),
    Entry(
        "TH106",
        "statistical calibration failed",
        "a clock and its reference never kept one ratio",
    ),
    Entry(
        "TH107",
        "LAPIC frequency inconsistent with the bus clock",
        "its LAPIC timer runs at another rate than it believes",
    ),
    Entry(
        "TH201", "slow fallback clock selected", "a slow fallback clock, though better was offered"
    ),
    Entry("TH202", "pvclock offered and not used", "pvclock was offered and is not used"),
    Entry("TH203", "pvclock supported and not offered", "pvclock is supported, but not offered"),
    Entry(
        "TH204",
        "LAPIC timer offered and not used",
        "its ticks come from an older timer than the LAPIC's",
    ),
    Entry("TH205", "pvclock compiled in and never reached", "its pvclock driver was never reached"),
    Entry("TH301", "PIT assumed and absent", "it counts on a PIT that is not there"),
    Entry("TH302", "RTC assumed and absent", "it counts on an RTC that is not there"),
    Entry("TH303", "HPET assumed and absent", "it counts on an HPET that is not there"),
    Entry("TH304", "i8042 assumed and absent", "it counts on an i8042 that is not there"),
    Entry(
        "TH305",
        "i8254 gate assumed and absent",
        "it counts on the i8254's gate (port 0x61), which is not there",
    ),
    Entry(
        "TH306",
        "Xen's clock assumed and absent",
        "its early busy waits read the clock of a Xen that is not there",
    ),
    Entry(
        "TH307",
        "ramdisk that the kernel does not take for one",
        "it takes the ramdisk for something else",
    ),
    Entry("TH401", "boot time lost in calibration", "its boot loses time in calibration"),
    Entry(
        "TH402",
        "frequency not told though KVM knows it",
        "it measures what its hypervisor knows",
    ),
    Entry("TH501", "wall clock wrong at init", "its wall clock is wrong when init begins"),
    Entry("TH502", "guest time runs at another rate", "its time does not run at the host's rate"),
    Entry("TH503", "time counter went backwards", "its time went backwards"),
    Entry(
        "TH601",
        "the kernel waits for a clock that never moves",
        "it waits for a clock that never moves",
    ),
)
#: From this likeness on (0 to 1) a code is worth being suggested.
_ALIKE = 0.5
CATALOGUE = {entry.code: entry for entry in _ENTRIES}


def entry(code: str) -> Entry:
    """The entry of a code, in any case (``th101``). Raises `UsageError`, naming the nearest one."""
    wanted = code.strip().upper()
    if wanted in CATALOGUE:
        return CATALOGUE[wanted]
    near = _nearest(wanted[:20])
    raise UsageError(
        f"there is no finding {code[:40]!r}",
        advice=(f"Did you mean {near}? " if near else "")
        + "`timehands explain` lists all of them.",
    )


def _nearest(wanted: str) -> str | None:
    """The code that is most like what was asked for; among equals the one that begins like it."""

    def likeness(code: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, wanted, code).ratio()
        return ratio, sum(1 for end in range(1, 6) if code[:end] == wanted[:end])

    best = max(CATALOGUE, key=likeness)
    return best if likeness(best)[0] >= _ALIKE else None
