"""The declared policy of a clock: what it owes its guest for the time it was stopped.

VMMs chose opposite defaults (Firecracker: the monotonic clock must not jump; Cloud Hypervisor: the
date must catch up), so a clock is judged by what was declared.
"""

from __future__ import annotations

from enum import Enum

from timehands.simulate.events import ClockAt, TscAt


class Policy(Enum):
    """``MONOTONIC``: the clock stops with the guest. ``WALL``: it catches up when it goes on."""

    MONOTONIC = "monotonic"
    WALL = "wall"

    @property
    def clock(self) -> ClockAt:
        """What a VMM of this policy does with KVM's clock."""
        return ClockAt.SET if self is Policy.MONOTONIC else ClockAt.REALTIME

    @property
    def tsc(self) -> TscAt:
        """What a VMM of this policy does with the TSC in a new VM."""
        return TscAt.RESTORE if self is Policy.MONOTONIC else TscAt.ADVANCE

    def owed_ns(self, stopped_ns: int) -> int:
        """How much less than true time is due after the guest was stopped for so long in all."""
        return stopped_ns if self is Policy.MONOTONIC else 0
