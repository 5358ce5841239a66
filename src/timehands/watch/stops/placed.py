"""What was wanted, with its places in the guest and what came of it; and the breakpoints there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from timehands.errors import StubRefused
from timehands.kernels.expressions import parse
from timehands.watch.gdb import BreakKind, Breakpoint
from timehands.watch.stops.instrument import Instrument
from timehands.watch.stops.sites import Site
from timehands.watch.stops.view import View
from timehands.watch.stops.wants import Want

if TYPE_CHECKING:
    from timehands.watch.stops.engine import Stops

#: Takes care of a stop by itself: True, and the guest goes on as if there had been none.
Action = Callable[["Stops", Site], Awaitable[bool]]
Hit = tuple["Placed", Site]
_MAX_REACHED: Final = 1 << 16


@dataclass(eq=False, slots=True)
class Placed:
    """A want with its places.

    Attributes:
        number: counts from 1.
        note: what the reader should know of how the places were found.
        hits: how often the guest came to one of them, whatever became of it.
        met: how often of those the condition held; ``stops``: how often it was shown.
        reached: how often the guest came to each place, by its address.
        refused: why some of the places are not watched; empty when all are.
        action: takes care of it silently; None: it is shown.
        once: each place is of interest only the first time.
        over: it has been shown as often as was asked for.
        before: of a variable, its last value in words.
    """

    number: int
    want: Want
    sites: tuple[Site, ...]
    note: str = ""
    hits: int = 0
    met: int = 0
    stops: int = 0
    reached: dict[int, int] = field(default_factory=dict)
    refused: str = ""
    action: Action | None = None
    once: bool = False
    over: bool = False
    before: str = ""

    def reach(self, site: Site) -> None:
        """The guest is there."""
        self.hits += 1
        self.reached[site.point.address] = self.reached.get(site.point.address, 0) + 1

    @property
    def unreached(self) -> tuple[Site, ...]:
        """The places that the guest never came to."""
        return tuple(site for site in self.sites if site.point.address not in self.reached)


class Points:
    """The breakpoints that the wants need: each inserted once, however many want it."""

    def __init__(self, client: Instrument, anchor: int | None) -> None:
        self._client = client
        self._anchor = None if anchor is None else Breakpoint(BreakKind.HARDWARE, anchor)
        self._at: dict[int, list[Hit]] = {}
        self._data: list[Hit] = []
        #: How each was inserted: a software breakpoint may have become a hardware one.
        self._inserted: dict[Breakpoint, Breakpoint] = {}
        self._late: list[Breakpoint] = []

    async def add(self, placed: Placed) -> None:
        """Insert what it needs. Raises `StubRefused` when none of it can be."""
        refusals: list[StubRefused] = []
        for site in placed.sites:
            try:
                await self._insert(site.point)
            except StubRefused as error:
                refusals.append(error)
                continue
            self._holders(site.point).append((placed, site))
        if refusals:
            placed.refused = f"{len(refusals)} of {len(placed.sites)}: {refusals[0].message}"
        if refusals and len(refusals) == len(placed.sites):
            raise refusals[0]

    async def remove(self, placed: Placed) -> None:
        """Take away what nobody else needs."""
        for site in placed.sites:
            await self.remove_site(placed, site)

    async def remove_site(self, placed: Placed, site: Site) -> None:
        """The same of one place."""
        holders = self._holders(site.point)
        if (placed, site) not in holders:
            return
        holders.remove((placed, site))
        if any(other.point == site.point for _, other in holders):
            return
        if site.point in self._late:
            self._late.remove(site.point)
        elif (used := self._inserted.pop(site.point, None)) is not None:
            await self._client.remove(used)

    def at(self, pc: int) -> list[Hit]:
        """What is wanted at an instruction."""
        return list(self._at.get(pc, ()))

    def of_data(self, kind: BreakKind, address: int | None) -> list[Hit]:
        """What is wanted of the data at an address; of all such data when that is not known."""
        return [
            (placed, site)
            for placed, site in self._data
            if site.point.kind is kind and (address is None or _covers(site.point, address))
        ]

    async def catch_up(self, pc: int) -> bool:
        """At the anchor: insert what could not be inserted before. False: this is not it."""
        if self._anchor is None or pc != self._anchor.address or not self._late:
            return False
        await self._client.remove(self._anchor)
        late, self._late = self._late, []
        for point in late:
            try:
                await self._client.insert(point)
                self._inserted[point] = point
            except StubRefused as error:
                for placed, site in self._holders(point):
                    placed.refused = f"{site.name}: {error.message}"
        return True

    def _holders(self, point: Breakpoint) -> list[Hit]:
        return self._at.setdefault(point.address, []) if point.kind.executes else self._data

    async def _insert(self, point: Breakpoint) -> None:
        if point in self._inserted or point in self._late:
            return
        for one in (point, point._replace(kind=BreakKind.HARDWARE)):
            try:
                await self._client.insert(one)
                self._inserted[point] = one
                return
            except StubRefused:
                if not point.kind.executes or (one is not point and self._anchor is None):
                    raise
        assert self._anchor is not None
        await self._client.insert(self._anchor)
        self._late.append(point)


def _covers(point: Breakpoint, address: int) -> bool:
    return point.address <= address < point.address + point.length


def check_condition(want: Want, view: View) -> None:
    """Raise `ExpressionError` when its condition is no expression."""
    if want.condition:
        parse(want.condition, view.environment.is_type)
