"""Every state that can be reached, breadth first: the first fault found is the shortest.

States are kept as they are and compared whole (no hashes that could collide), so that the search is
exhaustive for its bounds, or says that it is not: past `MOST_STATES` it stops and tells so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from timehands.simulate.explorer.world import Next, Rules, Step, Verdict, World

#: States after which a search is given up, some 2 GB.
MOST_STATES = 2_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """How a fault comes about: the states from the first on, the steps between, what is wrong."""

    worlds: tuple[World, ...]
    steps: tuple[Step, ...]
    wrong: tuple[Verdict, ...]


@dataclass(slots=True)
class Searched:
    """What a search found. ``traces`` has the shortest way to each broken property, by its name.

    ``states`` and ``transitions`` are counted, and ``times``: accepted times that differ in
    anything they are judged by. ``complete`` is False when the search was given up, or a state was
    met in which readers have work left and nobody can do anything. ``resting`` is the memory when
    all is done. ``finals`` are the states from which nothing goes on.
    """

    states: int = 0
    transitions: int = 0
    times: int = 0
    complete: bool = True
    traces: dict[str, Trace] = field(default_factory=dict)
    resting: set[tuple[int, ...]] = field(default_factory=set)
    finals: list[World] = field(default_factory=list)


def search(
    rules: Rules,
    memory: Sequence[int],
    *,
    most_states: int = MOST_STATES,
    until: str | None = None,
    finals: bool = False,
) -> Searched:
    """Visit every state. With ``until`` it ends as soon as that property is broken.

    With ``finals`` it goes on when no reader is left, and collects the last states.
    """
    return _Search(rules, most_states, until, finals).run(memory)


class _Search:
    def __init__(self, rules: Rules, most: int, until: str | None, finals: bool) -> None:
        self.rules, self.most, self.until, self.finals = rules, most, until, finals
        self.found = Searched()
        self.ids: dict[World, int] = {}
        self.parents: list[int] = []
        self.first: dict[str, tuple[int, World]] = {}

    def run(self, memory: Sequence[int]) -> Searched:
        frontier = self._enter(-1, self.rules.start(memory))
        while frontier and not self._ended():
            following: list[World] = []
            for world in frontier:
                following += self._expand(world)
                if self._ended():
                    break
            frontier = following
        self._trace_all()
        self.found.states = len(self.ids)
        self.found.times = self.rules.times
        return self.found

    def _ended(self) -> bool:
        if len(self.ids) > self.most:
            self.found.complete = False
            return True
        return self.until is not None and self.until in self.first

    def _expand(self, world: World) -> list[World]:
        if self.rules.done(world):
            self.found.resting.add(self.rules.memory(world))
        over = self.rules.over(world)
        if over and not self.finals:
            return []  # what the provider still does is seen by nobody
        here = self.ids[world]
        single = self.rules.alone(world)
        if single and all(after not in self.ids for after, _how, _wrong in single):
            return self._enter(here, single)
        nexts = self.rules.all_next(world)
        if not nexts and not over and self.rules.stuck(world):
            self.found.complete = False
        if not nexts and self.finals:
            self.found.finals.append(world)
        return self._enter(here, nexts)

    def _enter(self, parent: int, nexts: Sequence[Next]) -> list[World]:
        """Note states; those that are new."""
        new = []
        self.found.transitions += len(nexts)
        for world, _how, wrong in nexts:
            for verdict in wrong:
                self.first.setdefault(verdict.problem, (parent, world))
            if world not in self.ids:
                self.ids[world] = len(self.parents)
                self.parents.append(parent)
                new.append(world)
        return new

    def _trace_all(self) -> None:
        if not self.first:
            return
        worlds = list(self.ids)
        for problem, (parent, last) in self.first.items():
            way, at = [last], parent
            while at >= 0:
                way.append(worlds[at])
                at = self.parents[at]
            self.found.traces[problem] = self._trace(list(reversed(way)))

    def _trace(self, way: list[World]) -> Trace:
        """The steps between the states of a way: each is looked for again."""
        steps: list[Step] = []
        wrong: tuple[Verdict, ...] = ()
        for before, after in itertools.pairwise(way):
            nexts = [n for n in self.rules.all_next(before) if n[0] == after]
            _after, how, wrong = max(nexts, key=lambda n: len(n[2]))
            steps.append(Step(*how))
        return Trace(tuple(way), tuple(steps), wrong)
