"""How FreeBSD looked for its frequencies, as far as its console tells: a kernel without symbols, or
a boot that no plugin watched.
"""

from __future__ import annotations

from re import Match

from timehands.guests.freebsd.messages import matches
from timehands.guests.telling import STATISTICS_FAILED
from timehands.story.model import Calibration
from timehands.watch.recording import ConsoleLine, Recording

CLOCKCALIB = "clockcalib"
#: What every boot begins with: a counter that adds one each time it is read (kern_tc.c).
DUMMY = "dummy"
TSC_NAMES = ("TSC", "TSC-low")
_MOST = 100


def calibrations_from_console(recording: Recording) -> tuple[Calibration, ...]:
    """Results that were printed: when, and nothing of what they cost."""
    teller = _Console(recording)
    for known, line, match in matches(recording):
        teller.hear(known.name, line, match)
    return tuple(teller.found[:_MOST])


class _Console:
    """What clockcalib measured against, and how it went, line by line."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.found: list[Calibration] = []
        self.reference = DUMMY
        self.went: dict[str, str] = {}
        self.tsc_hz = 0

    def add(
        self, line: ConsoleLine, of: str, hz: int, detail: str, *, against: str, method: str
    ) -> None:
        at = self.recording.since_start(line.host_ns)
        told = Calibration(of, against, method, at, at, hz or None, detail, (line.reference,))
        self.found.append(told)

    def statistical(self, line: ConsoleLine, of: str, hz: int, detail: str) -> None:
        self.add(line, of, hz, detail, against=self.reference, method=CLOCKCALIB)

    def hear(self, name: str, line: ConsoleLine, match: Match[str]) -> None:
        match name:
            case "early":
                told = f"CPUID ({match[2]})" if "CPUID" in match[2] else match[2]
                self.tsc_hz = int(match[1])
                self.add(
                    line, "tsc", self.tsc_hz, "told", against=told, method="probe_tsc_freq_early"
                )
            case "early PIT":
                self.tsc_hz = int(match[1])
                detail, method = "timed over DELAY(100000)", "probe_tsc_freq_late"
                self.add(line, "tsc", self.tsc_hz, detail, against="DELAY", method=method)
            case "took":
                detail = f"statistical: {int(match[2]):,} us and {int(match[3]):,} data points"
                self.went[match[1]] = detail
                if match[2] == match[3]:
                    self.reference = DUMMY
            case "failed":
                self.went[match[1]] = f"{STATISTICS_FAILED}: the plain quotient over 1 s was taken"
            case "multiplier" | "assertion":
                self._unknown_tsc(name, line, match)
            case "timecounter":
                self._timecounter(line, match)
            case "divisor":
                hz, detail = int(match[1]) * int(match[2]), self.went.get("lapic", "")
                self.statistical(line, "lapic", hz, detail)

    def _unknown_tsc(self, name: str, line: ConsoleLine, match: Match[str]) -> None:
        if name == "assertion" or match[3] == "0":
            detail, method = "tsc_freq is 0 when the LAPIC is set up", "lapic_init"
            self.add(line, "tsc", 0, detail, against="nothing that is known", method=method)

    def _timecounter(self, line: ConsoleLine, match: Match[str]) -> None:
        """A TSC's is printed after it was measured, shifted to the right until it fits 32 bits."""
        shifted = int(match[2])
        if match[1] in TSC_NAMES and "TSC" in self.went and shifted:
            times = max(1, (self.tsc_hz + shifted // 2) // shifted)
            self.statistical(line, "tsc", shifted * times, self.went["TSC"])
        if int(match[3]) >= 0:
            self.reference = match[1]
