"""Linux's clocks as its console tells them: what is known of a boot that no plugin watched.

The messages are those of kernel/time/clocksource.c, arch/x86/kernel/{tsc,kvmclock}.c,
arch/x86/kernel/apic/apic.c and drivers/rtc; each is a fact only as far as the kernel printed it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

from timehands.guests.linux.clocks import Clocks, reported
from timehands.guests.telling import Draft
from timehands.story.model import ClockRole, ClockState, Step
from timehands.watch.recording import ConsoleLine, Recording

_TSC_NAMES = ("tsc", "tsc-early")
_NS = 1_000_000_000
_PVCLOCK = "kvm-clock"


class _Console:
    """Clocks and calibrations as they are put together from one line after the other."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.drafts: dict[tuple[str, ClockRole], Draft] = {}
        self.selected: str | None = None
        self.tsc_hz: int | None = None
        self.tsc_how = ""

    def draft(self, name: str, role: ClockRole = ClockRole.SOURCE) -> Draft:
        return self.drafts.setdefault((name, role), Draft(name, role))

    def step_down(self) -> None:
        """Another clocksource is chosen: the one before is only registered."""
        for draft in self.drafts.values():
            if draft.state is ClockState.SELECTED and draft.role is ClockRole.SOURCE:
                draft.state = ClockState.REGISTERED

    def step(self, line: ConsoleLine, name: str, what: str, state: ClockState) -> Draft:
        draft = self.draft(name, ClockRole.WALL if name == "rtc" else ClockRole.SOURCE)
        at = self.recording.since_start(line.host_ns)
        draft.steps.append(Step(at, what, (line.reference,)))
        draft.state = state
        return draft

    def tsc(self, line: ConsoleLine, megahertz: str, how: str) -> None:
        whole, _, part = megahertz.partition(".")
        self.tsc_hz = (int(whole) * 1000 + int(part.ljust(3, "0")[:3])) * 1000
        self.tsc_how = how or self.tsc_how
        draft = self.step(line, "tsc", f"frequency found: {megahertz} MHz", ClockState.CALIBRATED)
        draft.frequency_hz, draft.how = self.tsc_hz, self.tsc_how


def _registered(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    draft = console.step(line, match[1], "registered", ClockState.REGISTERED)
    if match[1] in _TSC_NAMES:
        draft.frequency_hz, draft.how = console.tsc_hz, console.tsc_how
    elif match[1] == _PVCLOCK:
        draft.frequency_hz, draft.how = _NS, "pvclock counts ns"


def _switched(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    console.step_down()
    console.step(line, match[1], "selected", ClockState.SELECTED)
    console.selected = match[1]


def _unstable(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    console.step(line, "tsc", f"marked unstable: {match[1]}", ClockState.REJECTED)


def _pvclock(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    draft = console.step(line, _PVCLOCK, f"using MSRs {match[1]} and {match[2]}", ClockState.PROBED)
    draft.frequency_hz, draft.how = _NS, "pvclock counts ns"
    console.tsc_how = "kvm_get_tsc_khz: mul and shift of the pvclock page"


def _detected(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    console.tsc(line, match[1], "")


def _fast(console: _Console, line: ConsoleLine, _match: Match[str]) -> None:
    console.tsc_how = "Fast TSC calibration against i8254"
    console.step(line, "tsc", "calibrated against the i8254", ClockState.PROBED)


def _refined(console: _Console, line: ConsoleLine, match: Match[str]) -> None:
    console.tsc(line, match[1], "refined against HPET or the ACPI PM timer")


def _date(console: _Console, line: ConsoleLine, _match: Match[str]) -> None:
    draft = console.step(line, "rtc", "read as the time of day", ClockState.SELECTED)
    draft.frequency_hz, draft.how = 1, "the system clock was set from it"


_Teller = Callable[[_Console, ConsoleLine, Match[str]], None]
_MESSAGES: tuple[tuple[re.Pattern[str], _Teller], ...] = (
    (re.compile(r"kvm-clock: Using msrs ([0-9a-f]+) and ([0-9a-f]+)"), _pvclock),
    (re.compile(r"tsc: Fast TSC calibration using PIT"), _fast),
    (re.compile(r"tsc: Detected (\d{1,9}\.\d{1,3}) MHz"), _detected),
    (re.compile(r"Refined TSC clocksource calibration: (\d{1,9}\.\d{1,3}) MHz"), _refined),
    (re.compile(r"Marking TSC unstable due to (.{1,80})"), _unstable),
    (re.compile(r"clocksource: ([a-z][\w.-]{0,40}): mask: "), _registered),
    (re.compile(r"clocksource: Switched to clocksource ([\w.-]{1,40})"), _switched),
    (re.compile(r"rtc_cmos.*: setting system clock to "), _date),
)


def clocks_from_console(recording: Recording) -> Clocks:
    """The clocks that the console tells of, and what our init said of the ones in use."""
    console = _Console(recording)
    for line in recording.console:
        for pattern, teller in _MESSAGES:
            if match := pattern.search(line.text):
                teller(console, line, match)
    told = reported(recording)
    selected = told.get("clocksource", console.selected)
    if selected:
        console.step_down()
        console.draft(selected).state = ClockState.SELECTED
    timer = told.get("clockevent")
    if timer:
        console.draft(timer, ClockRole.EVENTS).state = ClockState.SELECTED
    clocks = tuple(draft.clock() for draft in console.drafts.values())
    return Clocks(clocks, selected, timer, None)
