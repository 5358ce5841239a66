"""What we did to the guest, in words: changes, stops, and what a stop does to a calibration.

A reader must never take what we did for what the kernel did: these words say "we" throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from timehands.machines.machine import Machine
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import count, duration, seconds
from timehands.story.model import Calibration
from timehands.watch.interventions import Intervention, Stopped

_MOST_VALUES = 12
#: How the words of a stop begin that only cost time (`timehands.watch.stops.engine`).
PASSED = "passed: "


def change(report: Report, done: Intervention) -> str:
    """``tsc_freq = 1 (was 0), at stop s3 (0.412 s)``, or ``..., before the boot``."""
    what = clipped(harmless(done.what), 400)
    if done.stop is None:
        at_ns = since(report, done.host_ns)
        when = f"at {seconds(at_ns)}" if at_ns else "before the boot"
        return f"{what}, {when}"
    stop = next((s for s in report.stops if s.index == done.stop), None)
    at_ns = since(report, stop.host_ns if stop else done.host_ns)
    return f"{what}, at stop s{done.stop}" + (f" ({seconds(at_ns)})" if at_ns is not None else "")


def changes(report: Report, fold: bool) -> list[tuple[str, str]]:
    """All changes, each with its kind; ``fold``: those of the same words as one, and how many."""
    groups: dict[object, list[Intervention]] = {}
    for number, done in enumerate(report.interventions):
        groups.setdefault((done.kind, done.what) if fold else number, []).append(done)
    return [
        (same[0].kind.value, change(report, same[0]) + _more_times(len(same)))
        for same in groups.values()
    ]


def _more_times(times: int) -> str:
    return "" if times < 2 else f", and {count(times - 1)} more time{'s' if times > 2 else ''}"


@dataclass(frozen=True, slots=True)
class Stops:
    """Stops that are told in one line: one, or those that were only passed at one place."""

    first: Stopped
    times: int
    stood_ns: int | None

    @property
    def length(self) -> str:
        """How long the guest stood still, in all: ``12 ms``."""
        return "to the end" if self.stood_ns is None else duration(self.stood_ns)

    @property
    def place(self) -> str:
        """Where the guest was: a place in the kernel, else the address; how often."""
        where = stop_place(self.first)
        return where if self.times == 1 else f"{where}, {count(self.times)} times"


def stopped(stops: Sequence[Stopped]) -> str:
    """``We stopped the guest 4 times, for 12 ms in all; 3 of them in passing``."""
    times = "once" if len(stops) == 1 else f"{count(len(stops))} times"
    total = stood_ns(stops)
    how_long = f", for {duration(total)} in all" if total is not None and len(stops) > 1 else ""
    passed = sum(stop.why.startswith(PASSED) for stop in stops)
    vain = f"; {count(passed)} of them in passing" if passed else ""
    return f"We stopped the guest {times}{how_long}{vain}"


def stop_place(stop: Stopped) -> str:
    """Where the guest was: a place in the kernel, else the address."""
    return harmless(stop.where, 160) or f"{stop.pc:#x}"


def stops(report: Report, fold: bool) -> list[Stops]:
    """All stops; ``fold``: those that nobody was shown as one for each place."""
    groups: dict[object, list[Stopped]] = {}
    for number, stop in enumerate(report.stops):
        passed = fold and stop.why.startswith(PASSED)
        groups.setdefault((stop.why, stop_place(stop)) if passed else number, []).append(stop)
    return [Stops(same[0], len(same), stood_ns(same)) for same in groups.values()]


def stood_ns(stops: Sequence[Stopped]) -> int | None:
    """How long the guest stood still in all; None: at the last one to the end."""
    lengths = [max(0, s.resumed_ns - s.host_ns) for s in stops if s.resumed_ns is not None]
    return sum(lengths) if lengths or not stops else None


def since(report: Report, host_ns: int) -> int | None:
    """A host time in ns since QEMU was started; None: before that, or its start is not known."""
    at_ns = host_ns - report.started_ns
    return at_ns if report.started_ns and at_ns >= 0 else None


def stop_values(stop: Stopped) -> list[str]:
    """What was printed at a stop: ``tc->tc_name = i8254``."""
    values = list((stop.values or {}).items())
    shown = [f"{harmless(name, 80)} = {harmless(value, 200)}" for name, value in values]
    more = [f"... and {len(values) - _MOST_VALUES} more"] if len(values) > _MOST_VALUES else []
    return shown[:_MOST_VALUES] + more


def callers(backtrace: tuple[str, ...], most: int = 6) -> str:
    """Callers in one line, the innermost first: ``startrtclock < cpu_configure < main``."""
    shown = [harmless(name, 80) for name in backtrace[:most]]
    if len(backtrace) > most:
        shown.append(f"... {len(backtrace) - most} more")
    return " < ".join(shown)


def trust(calibration: Calibration, machine: Machine) -> str:
    """What the stops inside a calibration do to its result; empty when none fell inside.

    Under KVM the guest's TSC runs on while it is stopped and the i8254 does not, so that what was
    measured is worth nothing; under TCG both stand still, and what is left is the moment of
    stopping and starting (some percent have been seen), or, at stops inside the plugin, both run
    on; a deterministic machine counts instructions, and a stop executes none.
    """
    if not calibration.stops:
        return ""
    inside = f"measured while the guest was stopped ({_listed(calibration.stops)})"
    if machine.deterministic:
        return f"{inside}: costs some µs, this machine's time stops too"
    if machine.accelerator == "tcg":
        return f"{inside}: may be off; --deterministic avoids it"
    return f"{inside}: not to be trusted under {machine.accelerator.upper()}"


def spoiled(calibration: Calibration, machine: Machine) -> bool:
    """Whether a stop may have changed the result."""
    return bool(calibration.stops) and not machine.deterministic


def _listed(stops: tuple[str, ...], most: int = 4) -> str:
    shown = ", ".join(harmless(one, 12) for one in stops[:most])
    return shown if len(stops) <= most else f"{shown} and {len(stops) - most} more"
