"""Which times a reader may accept: the specification.

``torn``: the time is what one page gives for the TSC value that was read, and the flags are that
page's; anything else is made of parts. ``stale``: that page was the published one when the TSC was
read, neither replaced by then nor still to come. ``backward``: a reader's own times do not go back.
``backward across``: nor do they between readers, when one had its time before the other began.
``frozen``: a clamp gives a time that is ahead of what a page gives at this moment by no more than
pages differ, and not behind what its own page gave, so that a clock goes on as soon as true time
has advanced by more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from timehands.clocks.pvclock.numbers import Flags
from timehands.simulate.explorer.pages import Setting, true_ns


class Property(Enum):
    """What is asked of accepted times; the value is the name of its breach."""

    TORN = "torn"
    STALE = "stale"
    BACKWARD = "backward"
    ACROSS = "backward across"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Judged:
    """The values by which a time is judged, as `assemble.JUDGED` names them."""

    time: int
    ns: int | None
    flags: int | None
    nsec: int | None
    tsc: int | None
    stamp: int | None
    published: int | None
    floor: int | None
    before: int | None


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges times read from the pages of a setting.

    ``delta_clamped``: a TSC value before a page's timestamp counts as the timestamp. ``bits`` is
    the width of the reader's time: comparisons are modulo 2^bits. ``side_by_side``: the pages are
    those of several vCPUs, none follows another.
    """

    setting: Setting
    delta_clamped: bool = False
    bits: int = 64
    side_by_side: bool = False

    def __call__(self, values: tuple[int | None, ...], epoch: int, tsc: int) -> Sequence[str]:
        """The names of the properties that a time breaks; see `broken`."""
        return [broken.value for broken in self.broken(read(values), epoch, tsc)]

    def broken(self, got: Judged, epoch: int, tsc: int) -> list[Property]:
        """The properties that a time breaks that is accepted in an epoch, at this TSC value."""
        if self.setting.walls:
            whole = (got.time, got.nsec) in self.setting.walls
            return [] if whole else [Property.TORN]
        found = self._page(got)
        if got.before is not None and self._ahead(got.before, got.time) > 0:
            found.append(Property.BACKWARD)
        if got.floor is not None and self._ahead(got.floor, got.time) > 0:
            found.append(Property.ACROSS)
        if got.ns is not None and self._stands(got.time, got.ns, epoch, tsc):
            found.append(Property.FROZEN)
        return found

    def _stands(self, time: int, ns: int, epoch: int, tsc: int) -> bool:
        """Behind the page's own time, or so far ahead that the clock will stand for long."""
        if self._ahead(time, ns) < 0:
            return True
        now = true_ns(self.setting.pages[epoch], tsc)
        return self._ahead(time, ns) > 0 and self._ahead(time, now) > self.setting.ahead_ns

    def right(self, got: Judged) -> int | None:
        """The time before a last value that the page of this timestamp gives; None: no page."""
        number = self.setting.page(got.stamp) if got.stamp is not None else -1
        if number < 0 or got.tsc is None:
            return None
        page = self.setting.pages[number]
        if self.delta_clamped and got.tsc < page.tsc_timestamp:
            return page.system_time
        return true_ns(page, got.tsc)

    def _page(self, got: Judged) -> list[Property]:
        right = self.right(got)
        if right is None or got.ns is None or got.stamp is None:
            return [Property.TORN]
        number = self.setting.page(got.stamp)
        found = []
        if (got.ns - right) % (1 << self.bits) or not self._flags_of(number, got.flags):
            found.append(Property.TORN)
        if number != got.published and not self.side_by_side:
            found.append(Property.STALE)
        return found

    def _flags_of(self, number: int, flags: int | None) -> bool:
        """Whether a reader's flags are those of a page; GUEST_STOPPED comes and goes."""
        if flags is None:
            return True
        return not (flags ^ self.setting.pages[number].flags) & ~Flags.GUEST_STOPPED

    def _ahead(self, a: int, b: int) -> int:
        """By how much ``a`` is ahead of ``b``, negative when it is behind."""
        half = 1 << self.bits - 1
        return (a - b + half) % (1 << self.bits) - half


def read(values: tuple[int | None, ...]) -> Judged:
    """The registers of an instruction that accepts, by name."""
    time, *rest = values
    return Judged(time or 0, *rest)
