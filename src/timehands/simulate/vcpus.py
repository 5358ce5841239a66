"""What a vCPU does by itself: it runs, exits, is descheduled, and is moved to another CPU."""

from __future__ import annotations

from enum import Enum
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


class Activity:
    """When a vCPU leaves its guest, in time that it ran: each kind has its own random numbers.

    ``until_ns`` is how long it runs until the next leave; None: for ever.
    """

    def __init__(self, load: Load, seed: int, vcpu: int) -> None:
        self._load = load
        self._kinds = [why for why in Why if getattr(load, why.value) is not None]
        self._streams = {why: Stream(seed, f"vcpu{vcpu}/{why.value}") for why in Why}
        self._left_ns = {why: self._draw(why, "every") for why in self._kinds}

    def _draw(self, why: Why, what: str) -> int:
        away: Away = getattr(self._load, why.value)
        low, high = getattr(away, what)
        return self._streams[why].between(low, high)

    @property
    def until_ns(self) -> int | None:
        """Running time until the next leave."""
        return min(self._left_ns.values(), default=None)

    def ran(self, ns: int) -> None:
        """It ran for so long, at most `until_ns`."""
        for why in self._kinds:
            self._left_ns[why] -= ns

    def leave(self) -> Leave:
        """It leaves: `until_ns` is 0."""
        why = min(self._kinds, key=lambda kind: self._left_ns[kind])
        self._left_ns[why] = self._draw(why, "every")
        commits = why is Why.EXIT and self._streams[why].percent(self._load.commit_percent)
        return Leave(why, self._draw(why, "length"), commits)

    def other_cpu(self, cpu: int, cpus: int) -> int:
        """Where it is moved to: any other CPU of the host, each as likely."""
        if cpus == 1:
            return cpu
        chosen = self._streams[Why.MIGRATION].between(0, cpus - 2)
        return chosen + (chosen >= cpu)
