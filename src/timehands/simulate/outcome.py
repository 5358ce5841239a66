"""What came out of a simulation: figures for each vCPU, for each event, for all; and the verdict.

All times are integer ns, rates integer ppb (positive: the clock runs fast), offsets positive when
the clock is ahead of what its policy owes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from timehands.simulate.expectations import FIGURES, Expectation

JSON_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class VcpuOutcome:
    """Of one vCPU. ``rate_error_ppb`` is over the whole run, ``worst_rate_error_ppb`` that of the
    worst stretch between events of a second or more; None when there were too few reads.
    ``offset_worst_ns`` is the offset furthest from 0. ``unstable_reads``: of a page that does not
    say TSC_STABLE. Warps, stalls: `timehands.simulate.tally.Tally`.
    """

    vcpu: int
    reads: int
    refused: int
    unstable_reads: int
    warps: int
    worst_warp_ns: int
    stalls: int
    worst_stall_ns: int
    rate_error_ppb: int | None
    worst_rate_error_ppb: int | None
    offset_last_ns: int | None
    offset_worst_ns: int | None


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """Of one event. ``jumps_ns`` by vCPU: how far its clock jumped beyond the time due between the
    last read before and the first after (None: no reads on both sides); ``jump_ns`` the furthest.
    ``stopped_ns``: for how long the guest stood still.

    ``told``: the page said GUEST_STOPPED when the guest went on. ``lockup``: the clock advanced by
    20 s or more over a stop of which the guest was not told, so that Linux's watchdog cries.
    ``dropped``: the write had no effect. ``timer_late_ns``: how late the TSC deadline timer fires
    (``timer_lost``: never).
    """

    at_ns: int
    what: str
    jump_ns: int | None
    jumps_ns: tuple[int | None, ...]
    stopped_ns: int = 0
    told: bool = False
    lockup: bool = False
    dropped: bool = False
    timer_late_ns: int | None = None
    timer_lost: bool = False


class Sample(NamedTuple):
    """A point of the plots: true time, and how far the clock was from what is due."""

    t_ns: int
    offset_ns: int


class Met(NamedTuple):
    """An expectation, and what came."""

    expectation: Expectation
    value: int | None
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The whole. ``all`` adds up or takes the worst of all vCPUs (``vcpu`` is -1).

    ``warps_across``: backward steps in the order of all vCPUs' reads. ``wall_offset_ns``: how far
    the guest's date is from true time at the end, if nobody corrects it. ``samples`` by vCPU, a
    few hundred each.
    """

    scenario: str
    title: str
    digest: str
    seed: int
    provider: str
    reader: str
    policy: str
    duration_ns: int
    vcpus: tuple[VcpuOutcome, ...]
    all: VcpuOutcome
    warps_across: int
    worst_warp_across_ns: int
    wall_offset_ns: int | None
    events: tuple[EventOutcome, ...]
    samples: tuple[tuple[Sample, ...], ...] = field(repr=False)
    expectations: tuple[Met, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all that was expected came."""
        return all(one.met for one in self.expectations)

    def to_json(self) -> dict[str, Any]:
        """Plain values: ``schema`` (1), the fields as above, and ``passed``."""
        data = {"schema": JSON_SCHEMA} | asdict(self)
        data["vcpus"] = list(data["vcpus"])
        data["events"] = [e | {"jumps_ns": list(e["jumps_ns"])} for e in data["events"]]
        data["samples"] = [[list(point) for point in line] for line in self.samples]
        data["expectations"] = [
            {"figure": e.figure, "low": e.low, "high": e.high, "text": str(e), "value": v, "met": m}
            for e, v, m in self.expectations
        ]
        return data | {"passed": self.passed}

    def figures(self) -> dict[str, int | None]:
        """What can be expected (`expectations.FIGURES`), by name. None: there was nothing to tell.

        The worst of something that has a sign is without it; ``last_offset``, ``rate_error`` and
        ``wall_offset`` have theirs.
        """
        late = [e.timer_late_ns for e in self.events if e.timer_late_ns is not None]
        jumps = [abs(e.jump_ns) for e in self.events if e.jump_ns is not None]
        values = {
            "warps": self.all.warps,
            "worst_warp": self.all.worst_warp_ns,
            "warps_across": self.warps_across,
            "worst_warp_across": self.worst_warp_across_ns,
            "stalls": self.all.stalls,
            "worst_stall": self.all.worst_stall_ns,
            "refused": self.all.refused,
            "unstable_reads": self.all.unstable_reads,
            "worst_offset": _size(self.all.offset_worst_ns),
            "last_offset": self.all.offset_last_ns,
            "rate_error": self.all.rate_error_ppb,
            "worst_rate_error": _size(self.all.worst_rate_error_ppb),
            "worst_jump": max(jumps, default=None),
            "lockups": sum(e.lockup for e in self.events),
            "wall_offset": self.wall_offset_ns,
            "worst_timer_late": max((abs(ns) for ns in late), default=None),
            "timers_lost": sum(e.timer_lost for e in self.events),
            "dropped": sum(e.dropped for e in self.events),
        }
        assert values.keys() == FIGURES.keys()
        return values


def judged(expect: tuple[Expectation, ...], outcome: Outcome) -> tuple[Met, ...]:
    """Each expectation against the figures; one about what cannot be told is not met."""
    figures = outcome.figures()
    return tuple(
        Met(one, value, value is not None and one.met(value))
        for one in expect
        for value in (figures[one.figure],)
    )


def _size(number: int | None) -> int | None:
    return None if number is None else abs(number)
