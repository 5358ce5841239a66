"""What a vCPU does by itself: it runs, exits, is descheduled, and is moved to another CPU."""

from __future__ import annotations

from enum import Enum
from operator import attrgetter
from typing import NamedTuple

from timehands.simulate.randomness import Stream
from timehands.simulate.scenario import Away, Load


class Why(Enum):
    """Why a vCPU leaves the guest."""

    EXIT = "exits"
    DESCHEDULED = "descheduled"
    MIGRATION = "migrations"


class Leave(NamedTuple):
    """A vCPU leaves the guest: for how long, and what is done meanwhile."""

    why: Why
    length_ns: int
    commits: bool


class _Kind:
    """One reason to leave, and how long the vCPU runs until it comes."""

    __slots__ = ("away", "left_ns", "stream", "why")

    def __init__(self, why: Why, away: Away, stream: Stream) -> None:
        self.why, self.away, self.stream = why, away, stream
        self.left_ns = stream.between(*away.every)


_left_ns = attrgetter("left_ns")


class Activity:
    """When a vCPU leaves its guest, in time that it ran: each kind has its own random numbers.

    ``until_ns`` is how long it runs until the next leave; None: for ever.
    """

    def __init__(self, load: Load, seed: int, vcpu: int) -> None:
        kinds = ((why, getattr(load, why.value)) for why in Why)
        self._kinds = [
            _Kind(why, away, Stream(seed, f"vcpu{vcpu}/{why.value}"))
            for why, away in kinds
            if away is not None
        ]
        self._commit_percent = load.commit_percent
        self.until_ns = min((kind.left_ns for kind in self._kinds), default=None)

    def ran(self, ns: int) -> None:
        """It ran for so long, at most `until_ns`."""
        if self.until_ns is not None:
            self.until_ns -= ns
            for kind in self._kinds:
                kind.left_ns -= ns

    def leave(self) -> Leave:
        """It leaves: `until_ns` is 0."""
        kind = min(self._kinds, key=_left_ns)
        stream = kind.stream
        kind.left_ns = stream.between(*kind.away.every)
        self.until_ns = min(map(_left_ns, self._kinds))
        commits = kind.why is Why.EXIT and stream.percent(self._commit_percent)
        return Leave(kind.why, stream.between(*kind.away.length), commits)

    def other_cpu(self, cpu: int, cpus: int) -> int:
        """Where a migration leads: any other CPU of the host, each as likely."""
        if cpus == 1:
            return cpu
        moves = next(kind for kind in self._kinds if kind.why is Why.MIGRATION)
        chosen = moves.stream.between(0, cpus - 2)
        return chosen + (chosen >= cpu)
