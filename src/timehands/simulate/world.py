"""A scenario in motion: true time advances from one thing that happens to the next.

`World.windows` yields what the vCPUs do, in order, in windows that engines evaluate. Memory is
bounded: a window holds no more than `segments.MAX_WINDOW_READS` reads.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.scale import time_scale
from timehands.simulate import events
from timehands.simulate.hosts import Host
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.providers.base import Going, Saved
from timehands.simulate.readers import Reader
from timehands.simulate.scenario import Scenario
from timehands.simulate.segments import MAX_WINDOW_READS, NS_PER_S, Line, Segment, Window
from timehands.simulate.timers import Timer, restored_timer
from timehands.simulate.vcpus import Activity, Leave, Why

#: About so many points of a plot for each vCPU.
SAMPLES = 400


@dataclass(slots=True)
class Vcpu:
    """A vCPU in the world. ``due_ns`` is when it leaves (running) or comes back; None: never."""

    number: int
    activity: Activity
    cpu: int
    running: bool = False
    since_ns: int = 0
    due_ns: int | None = None
    leave: Leave | None = None
    ran_ns: int = 0
    view: tuple[Line, TimeInfo] | None = None
    epoch: int = 0


@dataclass(slots=True)
class Happened:
    """What became known of an event while it happened, for the verdict."""

    event: events.Event
    told: bool = False
    dropped: bool = False
    timer: Timer | None = None


class World:
    """One run of a scenario with a seed."""

    def __init__(self, scenario: Scenario, seed: int, provider: str, reader: Reader) -> None:
        self.scenario = scenario
        self.hosts = [Host(spec) for spec in scenario.hosts]
        self.provider = PROVIDERS[provider](
            self.hosts[0], scenario.vcpus, scenario.khz, disciplined=scenario.disciplined
        )
        self.happened = [Happened(event) for event in scenario.events]
        self.paused_ns = 0
        self._reader = reader
        self._vcpus = [
            Vcpu(v, Activity(scenario.load, seed, v), self.provider.vcpus[v].cpu)
            for v in range(scenario.vcpus)
        ]
        self._queue: list[tuple[int, int, int]] = []
        self._segments: list[Segment] = []
        self._host = self.hosts[0]
        self._own: TimeInfo | None = None

    # Windows.

    def windows(self) -> Iterator[Window]:
        """Everything that happens, in order, until the end."""
        self._boot()
        pending, sample_ns = iter(enumerate(self.scenario.events)), self._sample_every()
        number, event = next(pending, (0, None))
        t_ns, after, sampled_ns = 0, None, 0
        stop: tuple[int, Saved] | None = None
        while t_ns < self.scenario.duration_ns:
            end_ns, sample = self._window_end(t_ns, event, stop, sampled_ns + sample_ns)
            if stop is None:
                self._run(t_ns, end_ns)
                yield self._window(t_ns, end_ns, after, sample)
                after = None
                sampled_ns += sample_ns if sample else 0
            t_ns = end_ns
            if stop is not None and t_ns == self._stop_end(stop[0]):
                stopped, saved = stop
                self._go_on(t_ns, stopped, saved)
                if after not in (None, stopped):
                    yield Window(t_ns, t_ns, (), after, self._owed_ns())
                stop, after = None, stopped
                sampled_ns += t_ns - self.scenario.events[stopped].at_ns
            while event is not None and event.at_ns == t_ns and t_ns < self.scenario.duration_ns:
                if events.stops_for(event):
                    stop = number, self._stop(t_ns)
                else:
                    self._happen(t_ns, number, event, stopped=stop is not None)
                if after is not None and after != number:
                    yield Window(t_ns, t_ns, (), after, self._owed_ns())
                after = number
                number, event = next(pending, (0, None))

    def _window_end(
        self, t_ns: int, event: events.Event | None, stop: tuple[int, Saved] | None, sample_ns: int
    ) -> tuple[int, bool]:
        """Where the present stretch ends, and whether a sample is due there."""
        ends = [self.scenario.duration_ns]
        if event is not None:
            ends.append(event.at_ns)
        if stop is not None:
            return min(*ends, self._stop_end(stop[0])), False
        ends.append(t_ns + self._window_ns())
        end_ns = min(ends)
        return (sample_ns, True) if t_ns < sample_ns <= end_ns else (end_ns, False)

    def _window_ns(self) -> int:
        """So long that the reads fit in a window."""
        each = MAX_WINDOW_READS // self.scenario.vcpus - 1
        return max(1, min(self.scenario.longest_ns, each * NS_PER_S // self.scenario.reads_per_s))

    def _sample_every(self) -> int:
        stopped = sum(events.stops_for(event) for event in self.scenario.events)
        return max(1, (self.scenario.duration_ns - stopped) // SAMPLES)

    def _window(self, start_ns: int, end_ns: int, event: int | None, sample: bool) -> Window:
        segments, self._segments = tuple(self._segments), []
        return Window(start_ns, end_ns, segments, event, self._owed_ns(), sample)

    def _owed_ns(self) -> int:
        return self.scenario.policy.owed_ns(self.paused_ns)

    # vCPUs.

    def _boot(self) -> None:
        self.provider.boot(0)
        if not self._reader.reads_page:
            tsc, scale = self.provider.tsc(0).at(0), time_scale(self.scenario.khz)
            self._own = TimeInfo(2, tsc, 0, scale.mul, scale.shift, 0)
        for vcpu in self._vcpus:
            self._enter(vcpu, 0)
        self._refresh(0)

    def _run(self, t_ns: int, end_ns: int) -> None:
        """Let the vCPUs do what they do until then."""
        changed = self.provider.changed
        while True:
            timer_ns, due_ns = self.provider.next_timer_ns(), self._next_due()
            at_ns = due_ns if due_ns is not None and due_ns < end_ns else end_ns
            if timer_ns is not None and timer_ns <= at_ns and timer_ns < end_ns:
                at_ns = max(t_ns, timer_ns)
                self.provider.timer(at_ns)
            elif at_ns < end_ns:
                self._turn(self._vcpus[heapq.heappop(self._queue)[1]], at_ns)
            else:
                break
            if changed:
                self._refresh(at_ns)
        for vcpu in self._vcpus:
            if vcpu.running:
                self._cut(vcpu, end_ns)

    def _next_due(self) -> int | None:
        """The next leave or return; entries of the past are forgotten."""
        while self._queue and self._vcpus[self._queue[0][1]].epoch != self._queue[0][2]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def _turn(self, vcpu: Vcpu, t_ns: int) -> None:
        """A vCPU leaves the guest, or comes back."""
        if vcpu.running:
            self._cut(vcpu, t_ns)
            vcpu.running = False
            vcpu.leave = vcpu.activity.leave()
            self.provider.left(vcpu.number, t_ns, commits=vcpu.leave.commits)
            self._schedule(vcpu, t_ns + vcpu.leave.length_ns)
        else:
            if vcpu.leave is not None and vcpu.leave.why is Why.MIGRATION:
                cpus = len(self._host.spec.skew_cycles)
                vcpu.cpu = vcpu.activity.other_cpu(vcpu.cpu, cpus)
            self._enter(vcpu, t_ns)

    def _enter(self, vcpu: Vcpu, t_ns: int) -> None:
        self.provider.enters(vcpu.number, t_ns, vcpu.cpu)
        vcpu.running, vcpu.since_ns, vcpu.leave = True, t_ns, None
        vcpu.view = self._view(vcpu.number)
        until_ns = vcpu.activity.until_ns
        self._schedule(vcpu, None if until_ns is None else t_ns + until_ns)

    def _schedule(self, vcpu: Vcpu, due_ns: int | None) -> None:
        vcpu.epoch += 1
        vcpu.due_ns = due_ns
        if due_ns is not None:
            heapq.heappush(self._queue, (due_ns, vcpu.number, vcpu.epoch))

    def _view(self, vcpu: int) -> tuple[Line, TimeInfo]:
        page = self._own or self.provider.page(0 if self._reader.reads_first else vcpu)
        if page is None:
            raise AssertionError("a provider without a page has no reader of pages")
        return self.provider.tsc(vcpu), page

    def _refresh(self, t_ns: int) -> None:
        """What a provider changed under a running vCPU begins a new segment."""
        changed = self.provider.changed
        if self._reader.reads_first and 0 in changed:
            changed |= set(range(self.scenario.vcpus))
        for number in sorted(changed):
            vcpu = self._vcpus[number]
            if vcpu.running:
                self._cut(vcpu, t_ns)
                vcpu.view = self._view(number)
        changed.clear()

    def _cut(self, vcpu: Vcpu, t_ns: int) -> None:
        """End the present segment, with as many reads as the running time since asks for."""
        length, rate = t_ns - vcpu.since_ns, self.scenario.reads_per_s
        if length <= 0 or vcpu.view is None:
            return
        ran, vcpu.ran_ns = vcpu.ran_ns, vcpu.ran_ns + length
        reads = vcpu.ran_ns * rate // NS_PER_S - ran * rate // NS_PER_S
        vcpu.activity.ran(length)
        if reads:
            tsc, page = vcpu.view
            self._segments.append(Segment(vcpu.number, vcpu.since_ns, t_ns, tsc, page, reads))
        vcpu.since_ns = t_ns

    # Events.

    def _stop_end(self, number: int) -> int:
        event = self.scenario.events[number]
        return event.at_ns + events.stops_for(event)

    def _stop(self, t_ns: int) -> Saved:
        """All vCPUs leave; what they had in hand waits."""
        for vcpu in self._vcpus:
            if vcpu.running:
                self.provider.left(vcpu.number, t_ns, commits=False)
            left_ns = None if vcpu.due_ns is None else vcpu.due_ns - t_ns
            vcpu.epoch += 1
            vcpu.due_ns = left_ns
        return self.provider.stopped(t_ns)

    def _go_on(self, t_ns: int, number: int, saved: Saved) -> None:
        event = self.scenario.events[number]
        going = self._going(event)
        if isinstance(event, events.Restore):
            self._host = self.hosts[event.host]
        self.paused_ns += events.stops_for(event)
        self.provider.goes_on(t_ns, self._host, saved, going)
        happened = self.happened[number]
        for vcpu in self._vcpus:
            self._come_back(vcpu, t_ns, going.new_vm)
        self._refresh(t_ns)
        page = self.provider.page(0)
        happened.told = page is not None and bool(page.flags & 2)
        happened.timer = restored_timer(t_ns, saved, going, self.provider)

    def _come_back(self, vcpu: Vcpu, t_ns: int, new_vm: bool) -> None:
        """It runs again if it ran, and finishes what it had in hand if not."""
        if new_vm:
            vcpu.cpu = self.provider.vcpus[vcpu.number].cpu
        left_ns = vcpu.due_ns
        if vcpu.running:
            self._enter(vcpu, t_ns)
        else:
            self._schedule(vcpu, t_ns + (left_ns or 0))

    def _going(self, event: events.Event) -> Going:
        """What the VMM does: what the event says, else what the policy asks for."""
        if not isinstance(event, (events.Pause, events.Restore)):
            raise AssertionError("nothing was stopped")
        new_vm, vmm = isinstance(event, events.Restore), event.vmm
        tsc = self.scenario.policy.tsc if new_vm else events.TscAt.KEEP
        return Going(vmm.clock or self.scenario.policy.clock, vmm.tsc or tsc, vmm, new_vm)

    def _happen(self, t_ns: int, number: int, event: events.Event, *, stopped: bool) -> None:
        """An event that stops nobody."""
        match event:
            case events.ClockStep():
                self.hosts[event.host].step(event.by_ns)
            case events.ClockSlew():
                self.hosts[event.host].slew(t_ns, event.for_ns, event.ppb)
            case events.TscWrite():
                whose = range(self.scenario.vcpus) if event.vcpu is None else (event.vcpu,)
                took = [
                    self.provider.write_tsc(v, t_ns, event.value, by_guest=event.by_guest)
                    for v in whose
                ]
                self.happened[number].dropped = not any(took)
        if not stopped:
            self._refresh(t_ns)
