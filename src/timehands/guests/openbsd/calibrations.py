"""How OpenBSD looked for its frequencies (sys/arch/amd64/amd64/{tsc,lapic}.c)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from timehands.guests.bsd.clocks import DELAY_FUNC, clock_of
from timehands.guests.bsd.messages import matches
from timehands.guests.bsd.seen import Seen, leaf_of, seen_calls
from timehands.guests.openbsd.messages import KNOWN
from timehands.story.model import Calibration
from timehands.story.spans import Call
from timehands.watch.recording import Recording

_CRYSTAL_LEAF = 0x15
_MOST = 100


def calibrations_of(recording: Recording, calls: Iterable[Call]) -> tuple[Calibration, ...]:
    """Every attempt to find a frequency, in order of time."""
    if not recording.header.planned:
        return tuple(_from_console(recording))
    found: list[Calibration] = []
    for seen in seen_calls(recording, calls, frozenset(_TELLERS)):
        found += _TELLERS[seen.call.name](seen)
    return tuple(found[:_MOST])


def _identified(seen: Seen) -> Iterator[Calibration]:
    """tsc_identify: leaf 0x15, when the TSC is invariant; some kernels time it by DELAY else."""
    hz = seen.after("tsc_frequency") or None
    crystal = seen.leaf(_CRYSTAL_LEAF)
    if hz and seen.reads_pit:
        clock, function = clock_of(seen.recording, seen.before(DELAY_FUNC))
        yield seen.make("tsc", clock, hz, f"timed over DELAY, by {function}")
        return
    if crystal is None:
        basic = leaf_of(seen.recording.events, 0)
        end = f": the basic leaves end at {basic[0]:#x}" if basic else ""
        invariant = seen.after("tsc_is_invariant")
        why = end if invariant else ": the TSC is not invariant"
        detail = f"leaf 0x15 was not read{why}"
    else:
        detail = f"leaf 0x15 gave eax {crystal[0]:#x}, ebx {crystal[1]:#x}, ecx {crystal[2]:#x}"
    yield seen.make("tsc", "CPUID leaf 0x15", hz, detail)


def _measured(seen: Seen) -> Iterator[Calibration]:
    """measure_tsc_freq: three times DELAY(100000), against a better timecounter."""
    recording, entered = seen.recording, seen.call.entered
    against = recording.text(entered, "tc_name") or "the timecounter in use"
    hz = seen.call.result or None
    detail = "least of three times 100 ms" if hz else "fewer than two of three tries were good"
    yield seen.make("tsc", against, hz, detail)


def _lapic(seen: Seen) -> Iterator[Calibration]:
    """lapic_calibrate_timer: over ``hz`` turns of the i8254, or by a better DELAY of a second.

    Nothing is measured when leaf 0x15 told it.
    """
    hz = seen.after("lapic_per_second") or None
    if seen.before("lapic_per_second") and not seen.reads_pit:
        yield seen.make("lapic", "CPUID leaf 0x15", hz, "the crystal's rate: nothing was measured")
        return
    clock, function = clock_of(seen.recording, seen.before(DELAY_FUNC))
    if function not in ("i8254_delay", "unknown"):
        yield seen.make("lapic", clock, hz, f"over a DELAY of 1 s, by {function}")
        return
    detail = "by the i8254's count"
    if seen.pit_is_silent:
        detail = "the i8254 is absent: every read gave 0xff"
    yield seen.make("lapic", "i8254", hz, detail)


_TELLERS: dict[str, Callable[[Seen], Iterator[Calibration]]] = {
    "tsc_identify": _identified,
    "measure_tsc_freq": _measured,
    "lapic_calibrate_timer": _lapic,
}


def _from_console(recording: Recording) -> Iterator[Calibration]:
    """The results that are printed, in MHz."""
    for one, line, match in matches(recording, KNOWN):
        at = recording.since_start(line.host_ns)
        if one.name == "LAPIC":
            hz = int(match[1]) * 1_000_000 or None
            detail = "printed in MHz"
            yield Calibration("lapic", "i8254", one.source, at, at, hz, detail, (line.reference,))
