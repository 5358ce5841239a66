"""What a debug session shows: stops as they happen, and a summary, as text and as JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from timehands.boot import Booted
from timehands.debug.session import Seen, Session
from timehands.kernels.unwind import Frame
from timehands.reports.plain import clipped
from timehands.reports.units import seconds
from timehands.watch.stops import Placed, Stop
from timehands.watch.stops.sites import Site
from timehands.watch.stops.steering import describe_leaf
from timehands.watch.stops.wants import File, Function

INDENT: Final = "      "
_MOST_NAMES: Final = 60
#: Why a session ended, in words (`timehands.watch.run.run` has the reasons).
_OVER: Final = {
    "boundary": "the guest is as far as it was to go",
    "timeout": "its time is over (--timeout)",
    "hung": "the guest runs nothing new",
    "idle": "the guest waits for an interrupt that does not come",
    "halted": "the guest halted with interrupts off",
    "lost": "the machine is gone",
    "guest-reset": "the guest reset the machine",
    "guest-shutdown": "the guest switched the machine off",
    "interrupted": "it was interrupted",
}
_LONGEST_VALUE: Final = 2000


def over(reason: str) -> str:
    """Why a boot is over, in words."""
    return _OVER.get(reason, reason)


def heading(stop: Stop, started_ns: int) -> str:
    """``s3  0.702 s  out 0x43 = 0x34  in i8254_set_timer at clock.c:211``."""
    at = seconds(stop.entry.host_ns - started_ns)
    told = stop.why.split(" in ")[0] in stop.where
    place = stop.where if told else f"{stop.why}  in {stop.where}"
    vcpu = f"  on vCPU {stop.vcpu}" if stop.vcpu else ""
    return f"s{stop.index:<3} {at}  {place}{vcpu}"


def details(stop: Stop, seen: Seen) -> Iterator[str]:
    """What was looked at and changed, line by line."""
    for note in (*stop.notes, *seen.troubles):
        yield f"({note})"
    for name, text in seen.values:
        yield f"{name} = {clipped(text, _LONGEST_VALUE)}"
    for leaf, subleaf, answer in seen.leaves:
        name = f"cpuid {leaf:#x}" + (f"/{subleaf:#x}" if subleaf else "")
        yield f"{name}: {describe_leaf(leaf, answer)}"
    if seen.backtrace is not None:
        yield from (f"#{number:<2} {frame_words(one)}" for number, one in enumerate(seen.backtrace))
        if not seen.backtrace:
            yield f"no backtrace: {seen.backtrace.ended}"
    for done in seen.changes:
        yield f"we set {done.what}"


def frame_words(frame: Frame) -> str:
    """``tc_init at kern_tc.c:707  [CFI]``, without a source ``tc_init+0x12  [ORC]``."""
    how = "inlined" if frame.inlined else f"{frame.how}, a guess" if frame.guess else frame.how
    if frame.file and frame.name:
        line = f":{frame.line}" if frame.line else ""
        return f"{frame.name} at {PurePosixPath(frame.file).name}{line}  [{how}]"
    return f"{frame.place}  [{how}]"


def summary(session: Session, booted: Booted) -> Iterator[str]:
    """What was never hit, how the boot ended, where the recording is."""
    for placed in session.files:
        yield from reached_lines(placed)
    for placed in session.breaks:
        if placed.refused:
            yield f"{placed.want.text}: not watched everywhere: {placed.refused}"
        if not placed.stops:
            yield f"never hit: {_wanted(placed)}{_why_never(placed)}"
        elif has_names(placed) and placed.unreached:
            yield f"{placed.want.text}: never hit: {_names(placed.unreached)}"
    outcome = booted.report.story.outcome
    yield f"{seconds(outcome.at_ns)}  {outcome.text}"
    yield f"recording: {session.folder}"


def reached_lines(placed: Placed) -> Iterator[str]:
    """Which functions of a source file were reached, in that order, and which were not."""
    name = placed.want.text.removesuffix(":*")
    by_address = {site.point.address: site for site in placed.sites}
    reached = [by_address[address] for address in placed.reached if address in by_address]
    yield f"{name}: {len(reached)} of {len(placed.sites)} functions were reached"
    if reached:
        yield f"{INDENT}reached, in this order: {_names(reached)}"
    if placed.unreached:
        yield f"{INDENT}never: {_names(placed.unreached)}"


def has_names(placed: Placed) -> bool:
    """Whether it is several functions, each of which may be of interest."""
    where = placed.want.where
    return isinstance(where, File) or (isinstance(where, Function) and where.is_pattern)


def _names(sites: Sequence[Site]) -> str:
    names = list(dict.fromkeys(site.name for site in sites))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _wanted(placed: Placed) -> str:
    want = placed.want
    return f"{want.text} if {want.condition}" if want.condition else want.text


def _why_never(placed: Placed) -> str:
    """Why a want was never shown, if the guest came to one of its places."""
    if not placed.hits:
        return ""
    times = "once" if placed.hits == 1 else f"{placed.hits:,} times"
    if placed.met:
        return f" (the guest was there {times}; the first {placed.want.passes:,} were passed over)"
    return f" (the guest was there {times}, and the condition did not hold)"


# ---- as JSON types


def stop_row(stop: Stop, seen: Seen, started_ns: int) -> dict[str, Any]:
    """A stop. Times are in ns since QEMU was started."""
    return {
        "stop": f"s{stop.index}",
        "at_ns": stop.entry.host_ns - started_ns,
        "vcpu": stop.vcpu,
        "pc": stop.pc,
        "instrument": stop.entry.instrument,
        "why": stop.why,
        "where": stop.where,
        "values": dict(seen.values),
        "cpuid": [
            {"leaf": leaf, "subleaf": subleaf, **answer._asdict()}
            for leaf, subleaf, answer in seen.leaves
        ],
        "backtrace": [_frame_row(frame) for frame in seen.backtrace or ()],
        "changes": [{"kind": done.kind.value, "what": done.what} for done in seen.changes],
        "notes": [*stop.notes, *seen.troubles],
    }


def _frame_row(frame: Frame) -> dict[str, Any]:
    return {
        "pc": frame.pc,
        "function": frame.name,
        "offset": frame.offset,
        "file": frame.file,
        "line": frame.line,
        "inlined": frame.inlined,
        "how": str(frame.how),
    }


def summary_row(session: Session, booted: Booted) -> dict[str, Any]:
    """The last row: what became of each want, and how the boot ended."""
    outcome = booted.report.story.outcome
    done = booted.recording.interventions
    return {
        "summary": {
            "breaks": [_placed_row(placed) for placed in session.breaks],
            "files": [_placed_row(placed) for placed in session.files],
            "changes": [{"kind": one.kind.value, "what": one.what} for one in done],
            "outcome": {"kind": outcome.kind.value, "text": outcome.text, "at_ns": outcome.at_ns},
            "reason": session.reason,
            "notes": session.notes,
            "recording": str(session.folder),
        }
    }


def _placed_row(placed: Placed) -> dict[str, Any]:
    names = {site.point.address: site.name for site in placed.sites}
    return {
        "want": placed.want.text,
        "condition": placed.want.condition,
        "places": len(placed.sites),
        "hits": placed.hits,
        "stops": placed.stops,
        "reached": [
            {"name": names[address], "hits": hits} for address, hits in placed.reached.items()
        ],
        "never": [site.name for site in placed.unreached[:1000]],
        "note": placed.note,
        "refused": placed.refused,
    }
