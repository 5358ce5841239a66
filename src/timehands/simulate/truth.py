"""The judge: holds what the guest read against the truth, from event to event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from timehands.simulate import events
from timehands.simulate.outcome import EventOutcome, Sample, VcpuOutcome
from timehands.simulate.segments import NS_PER_S, Window
from timehands.simulate.tally import Read, Tallies, Tally, signed
from timehands.simulate.world import World

#: Linux's soft lockup threshold: twice watchdog_thresh (kernel/watchdog.c, get_softlockup_thresh).
LOCKUP_NS = 20 * NS_PER_S
#: A rate is told from a stretch that is at least so long.
RATE_NS = NS_PER_S
#: With more events, the plots have no points of their own for them.
_MARKED_EVENTS = 200


@dataclass(slots=True)
class _Course:
    """One vCPU from event to event. ``before`` is its last read before the present stretch."""

    start: Read | None = None
    before: Read | None = None
    worst_ppb: int | None = None
    unstable: int = 0
    samples: list[Sample] = field(default_factory=list)


class Judge:
    """Watches the tallies of a run. Call `window` before an engine gets a window, and `event` and
    `sample` when the engine is flushed.
    """

    def __init__(self, world: World, tallies: Tallies) -> None:
        self._world, self._tallies = world, tallies
        self._courses = [_Course() for _ in tallies.vcpus]
        self._jumps: dict[int, list[int | None]] = {}
        self._lockups: set[int] = set()
        self._present: int | None = None
        self._owed_ns = 0
        self._marked = len(world.scenario.events) <= _MARKED_EVENTS
        self._date_ns = world.scenario.hosts[0].realtime_offset_ns
        self._date_error_ns: int | None = None

    def window(self, window: Window) -> None:
        """Count what an engine need not know."""
        self._owed_ns = window.paused_ns
        if not self._tallies.reader.reads_page:
            return
        for segment in window.segments:
            if not segment.page.stable:
                self._courses[segment.vcpu].unstable += segment.reads

    def sample(self) -> None:
        """A point of each vCPU's plot: its last read."""
        for course, tally in zip(self._courses, self._tallies.vcpus, strict=True):
            if tally.last is not None:
                self._point(course, tally.last)

    def _point(self, course: _Course, read: Read) -> None:
        point = Sample(read.due_ns + self._owed_ns, read.offset_ns)
        if not course.samples or course.samples[-1].t_ns < point.t_ns:
            course.samples.append(point)

    def event(self, number: int | None) -> None:
        """A stretch ends: at this event, or at the end. ``window`` has not seen the next one."""
        jumps: list[int | None] = []
        for course, tally in zip(self._courses, self._tallies.vcpus, strict=True):
            jumps.append(self._close(course, tally))
        if self._present is not None:
            self._jumps[self._present] = jumps
        self._present = number
        if number is not None:
            event = self._world.scenario.events[number]
            if isinstance(event, events.SetDate):
                read_ns = event.at_ns + event.gap_ns
                self._date_error_ns = self._world.provider.host.realtime_ns(read_ns) - event.at_ns

    def _close(self, course: _Course, tally: Tally) -> int | None:
        """End a vCPU's stretch; by how much its clock had jumped at the beginning of it."""
        first, last = tally.first, tally.last
        tally.first = None
        if first is None or last is None:
            return None
        self._set_date(first)
        before, course.before = course.before, last
        if course.start is None:
            course.start = first
        if last.due_ns - first.due_ns >= RATE_NS:
            ppb = _rate_ppb(first, last)
            if course.worst_ppb is None or abs(ppb) > abs(course.worst_ppb):
                course.worst_ppb = ppb
        if self._marked:
            _insert(course.samples, Sample(first.due_ns + self._owed_ns, first.offset_ns))
            self._point(course, last)
        if before is None:
            return None
        if self._present is not None and self._locks_up(self._present, before, first):
            self._lockups.add(self._present)
        return signed(first.offset_ns - before.offset_ns)

    def _set_date(self, first: Read) -> None:
        """The guest's date was set: from then on it is off by what its source was off."""
        if self._date_error_ns is not None:
            self._date_ns = self._date_error_ns - (first.offset_ns - self._owed_ns)
            self._date_error_ns = None

    def _locks_up(self, number: int, before: Read, first: Read) -> bool:
        happened = self._world.happened[number]
        stopped = isinstance(happened.event, (events.Pause, events.Restore))
        return stopped and not happened.told and signed(first.ns - before.ns) >= LOCKUP_NS

    # The verdict, after the last `event`.

    def vcpus(self) -> tuple[VcpuOutcome, ...]:
        """The figures of each vCPU."""
        pairs = zip(self._courses, self._tallies.vcpus, strict=True)
        return tuple(_vcpu_outcome(v, c, t) for v, (c, t) in enumerate(pairs))

    def events(self) -> tuple[EventOutcome, ...]:
        """The figures of each event."""
        names = tuple(host.name for host in self._world.scenario.hosts)
        return tuple(
            self._event_outcome(number, names) for number in range(len(self._world.happened))
        )

    def _event_outcome(self, number: int, hosts: tuple[str, ...]) -> EventOutcome:
        happened = self._world.happened[number]
        jumps = tuple(self._jumps.get(number, ()))
        timer = happened.timer
        return EventOutcome(
            at_ns=happened.event.at_ns,
            what=events.in_words(happened.event, hosts),
            jump_ns=furthest(jumps),
            jumps_ns=jumps,
            stopped_ns=events.stops_for(happened.event),
            told=happened.told,
            lockup=number in self._lockups,
            dropped=happened.dropped,
            timer_late_ns=None if timer is None else timer.late_ns,
            timer_lost=timer is not None and timer.late_ns is None,
        )

    def wall_offset_ns(self) -> int | None:
        """How far the guest's date is off at the end."""
        last = next((t.last for t in self._tallies.vcpus if t.last is not None), None)
        return None if last is None else last.offset_ns - self._owed_ns + self._date_ns

    def samples(self) -> tuple[tuple[Sample, ...], ...]:
        """The plots' points."""
        return tuple(tuple(course.samples) for course in self._courses)


def _insert(samples: list[Sample], point: Sample) -> None:
    """A point that comes late: a stretch's first read, known at its end."""
    at = len(samples)
    while at and samples[at - 1].t_ns > point.t_ns:
        at -= 1
    if not at or samples[at - 1].t_ns < point.t_ns:
        samples.insert(at, point)


def _rate_ppb(first: Read, last: Read) -> int:
    """The rate error between two reads, rounded to the nearest."""
    gained, passed = signed(last.offset_ns - first.offset_ns), last.due_ns - first.due_ns
    return (2 * gained * NS_PER_S + passed) // (2 * passed)


def _vcpu_outcome(vcpu: int, course: _Course, tally: Tally) -> VcpuOutcome:
    start, last = course.start, tally.last
    rate = None
    if start is not None and last is not None and last.due_ns > start.due_ns:
        rate = _rate_ppb(start, last)
    return VcpuOutcome(
        vcpu=vcpu,
        reads=tally.reads,
        refused=tally.refused,
        unstable_reads=course.unstable,
        warps=tally.warps,
        worst_warp_ns=tally.worst_warp_ns,
        stalls=tally.stalls,
        worst_stall_ns=tally.worst_stall_ns,
        rate_error_ppb=rate,
        worst_rate_error_ppb=course.worst_ppb,
        offset_last_ns=None if last is None else last.offset_ns,
        offset_worst_ns=furthest((tally.low_ns, tally.high_ns)),
    )


def together(vcpus: tuple[VcpuOutcome, ...]) -> VcpuOutcome:
    """All vCPUs as one: sums of what is counted, the furthest from 0 of the rest."""
    return VcpuOutcome(
        vcpu=-1,
        reads=sum(v.reads for v in vcpus),
        refused=sum(v.refused for v in vcpus),
        unstable_reads=sum(v.unstable_reads for v in vcpus),
        warps=sum(v.warps for v in vcpus),
        worst_warp_ns=max(v.worst_warp_ns for v in vcpus),
        stalls=sum(v.stalls for v in vcpus),
        worst_stall_ns=max(v.worst_stall_ns for v in vcpus),
        rate_error_ppb=furthest(v.rate_error_ppb for v in vcpus),
        worst_rate_error_ppb=furthest(v.worst_rate_error_ppb for v in vcpus),
        offset_last_ns=furthest(v.offset_last_ns for v in vcpus),
        offset_worst_ns=furthest(v.offset_worst_ns for v in vcpus),
    )


def furthest(numbers: Iterable[int | None]) -> int | None:
    """The number furthest from 0, the first of equals; None when there is none."""
    return max((n for n in numbers if n is not None), key=abs, default=None)
