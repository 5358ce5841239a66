"""What we did to the guest, in words: changes, stops, and what a stop does to a calibration.

A reader must never take what we did for what the kernel did: these words say "we" throughout.
"""

from __future__ import annotations

from timehands.machines.machine import Machine
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import duration, seconds
from timehands.story.model import Calibration
from timehands.watch.interventions import Intervention, Stopped

_MOST_VALUES = 12


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


def since(report: Report, host_ns: int) -> int | None:
    """A host time in ns since QEMU was started; None: before that, or its start is not known."""
    at_ns = host_ns - report.started_ns
    return at_ns if report.started_ns and at_ns >= 0 else None


def stop_length(stop: Stopped) -> str:
    """How long the guest stood still: ``12 ms``."""
    if stop.resumed_ns is None:
        return "to the end"
    return duration(max(0, stop.resumed_ns - stop.host_ns))


def stop_place(stop: Stopped) -> str:
    """Where the guest was: a place in the kernel, else the address."""
    return harmless(stop.where, 160) or f"{stop.pc:#x}"


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
    stopping and starting (some percent have been seen); a deterministic machine counts
    instructions, and a stop executes none.
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
