"""Ways from one function to another, those first that are easiest to believe.

A way is looked for from its end towards its start (A*): what a function costs at least from there
is known before. What a step is worth is settled when it is taken.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from timehands.errors import SourcesError
from timehands.sources.code.calls import Calls, Ints
from timehands.sources.code.forward import FAR, least_costs
from timehands.sources.code.functions import MACRO
from timehands.sources.code.graph import Edges, Graph, Reach
from timehands.sources.code.model import Cut, Ran, Step
from timehands.sources.where import Where

if TYPE_CHECKING:
    from timehands.sources.code.checks import Checks
    from timehands.sources.code.index import Index

_MAX_TAKEN: Final = 50_000
_MAX_NAMED: Final = 60
_USED_AGAIN: Final = 8
_TRIES: Final = 4
_SHOWN: Final = 3
_MOST_REFUSED: Final = 60
#: A way that costs a quarter more than the best one, and this, is none that helps; nor is one that
#: has more than twice the steps, and these.
_FAR_MORE: Final = 40
_LONGER: Final = 2
#: To a step whose condition is not decided; the second, where there is no configuration to do so.
_UNDECIDED: Final = 6
_CONDITIONAL: Final = 2
#: For a line that is not compiled, where such are taken.
_LACKING: Final = 200
#: What it is taken to cost to come to a function that nobody calls in sight.
_ORPHAN: Final = 24
#: For each further function that a call may mean.
_AMBIGUOUS: Final = 2
_MANY: Final = 12
#: For a member of another structure than that in which the function was set.
_FOREIGN: Final = 120
_COMMON_MEMBER: Final = 2
#: With a recording: a function that was not watched, and one that never ran.
_NOT_WATCHED: Final = 4
_NEVER: Final = 80


class _Edge(NamedTuple):
    """``caller`` reaches ``function`` on a line; what checking it added is in the rest."""

    caller: int
    function: int
    line: int
    reach: Reach
    cost: int
    doubt: str | None = None


#: What costs more than this nobody believes.
_MOST: Final = 320


@dataclass(slots=True)
class Asked:
    """A question: from which functions to which, not through ``banned``.

    ``used`` are functions of ways that were found, and what they cost more therefore; ``done`` the
    steps that were a way by themselves. None that costs more than ``most`` is looked for.
    """

    starts: set[int]
    ends: list[int]
    banned: set[int] = field(default_factory=set)
    used: dict[int, int] = field(default_factory=dict)
    named: bool = False
    done: set[tuple[int, int]] = field(default_factory=set)
    most: int = _MOST
    most_used: int = 0


class Ways:
    """Answers of one graph. ``ran`` are functions of a recording, which are preferred.

    With ``lacking`` the checks are those of a configuration that the graph is not of: what it does
    not compile is taken, at a price.
    """

    def __init__(
        self,
        index: Index,
        calls: Calls,
        graph: Graph,
        ran: Ran | None = None,
        lacking: Checks | None = None,
    ) -> None:
        self._index, self._calls, self._graph, self._ran = index, calls, graph, ran
        self._functions, self._checks = calls.functions, lacking or graph.checks
        self._lacking = lacking is not None
        self._known: dict[tuple[int, int, int, str], _Edge | None] = {}
        self._least: Ints = np.zeros(0, np.int64)

    def find(self, start: str, end: str, limit: int, avoid: frozenset[str]) -> list[list[Step]]:
        """See `timehands.sources.code.index.Index.path`. Raises `SourcesError`."""
        asked = self._asked(start, end, avoid)
        found = self._several(asked, limit)
        if not found:
            asked.named = True
            found = self._several(asked, limit)
        return [self._steps(way) for _, way in sorted(found, key=lambda one: one[0])]

    def _asked(self, start: str, end: str, avoid: frozenset[str]) -> Asked:
        banned = {one for name in avoid for one in self._calls.named(name.encode())}
        asked = Asked(set(self._of(start)), self._of(end), banned)
        asked.starts = self._of_kernel(start, asked.starts)
        self._least = least_costs(
            self._graph, asked.starts, asked.ends, _FAR_MORE + 4 * _USED_AGAIN
        )
        return asked

    def _several(self, asked: Asked, limit: int) -> list[tuple[int, list[_Edge]]]:
        """Some ways that differ, with what they cost; none that costs far more than the first."""
        found: list[tuple[int, list[_Edge]]] = []
        names = set()
        for _ in range(limit * _TRIES):
            way = self._confirmed(asked)
            cost = sum(edge.cost for edge in way)
            if not way or cost > asked.most:
                break
            told = tuple(self._functions.names[edge.function] for edge in way)
            if told not in names and (not found or len(way) <= 2 * len(found[0][1]) + _LONGER):
                names.add(told)
                found.append((cost, way))
                asked.most = min(asked.most, cost * 5 // 4 + _FAR_MORE)
            if len(found) == limit:
                break
            if len(way) == 1:
                asked.done.add((way[0].caller, way[0].function))
            for edge in way[1:]:
                asked.used[edge.caller] = asked.used.get(edge.caller, 0) + _USED_AGAIN
                asked.most_used += _USED_AGAIN
        return found

    def _confirmed(self, asked: Asked) -> list[_Edge]:
        """The next way that has no file of which it turns out that it is not compiled."""
        for _ in range(_MOST_REFUSED):
            way = self._way(asked)
            files = {place[0] for edge in way for place in self._places(edge)}
            if sum(map(self._checks.confirmed, files)) == len(files):
                return way
            self._known.clear()
        return []

    def _of(self, name: str) -> list[int]:
        """The functions of a name; macros only when there is no function."""
        every = self._calls.named(name.encode())
        found = [one for one in every if self._functions.kind[one] != MACRO] or every
        if not found:
            near = [one for one in self._index.near(name) if one != name]
            advice = f"Perhaps {', '.join(near)}." if near else ""
            raise SourcesError(f"no function {name} in this tree", advice=advice)
        return found

    def _of_kernel(self, name: str, starts: set[int]) -> set[int]:
        """Of several those of the kernel: a tree has programs besides, and each its ``main``."""
        if len(starts) < 2:
            return starts  # whoever names it means it; the way says what its lines lack
        good = {one for one in starts if not self._checks.is_aside(self._home(one))}
        if not good:
            paths = sorted({self._checks.paths[self._home(one)[0]] for one in starts})
            more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
            raise SourcesError(
                f"nothing that this configuration compiles defines {name}",
                advice=f"It is in {', '.join(paths[:_SHOWN])}{more}.",
            )
        return good

    def _home(self, function: int) -> tuple[int, int]:
        return int(self._functions.file[function]), int(self._functions.line[function])

    # ---- the search

    def _way(self, asked: Asked) -> list[_Edge]:
        """The cheapest way, from its start on; empty: there is none."""
        search = _Search(asked, self._least)
        for end in asked.ends:
            search.take(end)
            self._push(search, end, 0)
        while (popped := search.pop()) is not None:
            so_far, edge, checked = popped
            if not checked:
                better = self._checked(asked, edge)
                if better is None:
                    continue
                if better.cost > edge.cost:
                    search.again(so_far + better.cost - edge.cost, better)
                    continue
                edge = better
            search.onward[edge.caller] = edge
            search.take(edge.caller)
            if edge.caller in asked.starts:
                return list(search.chain(edge.caller))
            self._push(search, edge.caller, so_far)
        return []

    def _push(self, search: _Search, function: int, so_far: int) -> None:
        every = self._graph.into(function)
        if not every or function in search.asked.ends:
            every = [*every, *self._graph.defined_with(function)]
        if not every and (function in search.asked.ends or self._graph.orphans[function]):
            every = self._graph.handed(function) if search.may_name() else []
        if search.asked.named and not every and search.may_name():
            every = [self._graph.naming(function)]
        for edges in every:
            search.push(function, so_far, edges)

    def _checked(self, asked: Asked, edge: _Edge) -> _Edge | None:
        """An edge with what is known of its lines; None: it is not compiled, or not meant."""
        if (edge.caller, edge.function) in asked.done:
            return None
        key = (edge.caller, edge.function, edge.line, edge.reach.how)
        if key not in self._known:
            self._known[key] = self._check(edge)
        return self._known[key]

    def _check(self, edge: _Edge) -> _Edge | None:
        if not self._is_called(edge):
            return None
        lines, meant = self._price_of_lines(edge), self._price_of_name(edge)
        if lines is None or meant is None:
            return None
        more = lines + meant[0] + self._foreign(edge) + self._by_recording(edge.caller)
        return edge._replace(cost=edge.cost + more, doubt=meant[1])

    def _price_of_lines(self, edge: _Edge) -> int | None:
        """What the conditions of its lines make an edge dearer; None: one does not hold."""
        checks, more = self._checks, 0
        open_ = _UNDECIDED if checks.configured else _CONDITIONAL
        for place in self._places(edge):
            held = False if checks.file_refused(place[0]) else checks.holds(place)
            if held is False and not self._lacking:
                return None
            more += _LACKING if held is False else open_ if held is None else 0
        return more

    def _price_of_name(self, edge: _Edge) -> tuple[int, str | None] | None:
        """What it costs that a name may mean several functions, and the doubt; None: not this."""
        name = self._functions.names[edge.function]
        if edge.reach.how != "call" or len(self._calls.named(name)) < 2:
            return 0, edge.reach.doubt
        meant = self._checks.meant(name, edge.caller)
        if edge.function not in meant.functions:
            return (0, None) if self._lacking and not meant.functions else None
        return min(_MANY, _AMBIGUOUS * (len(meant.functions) - 1)), meant.doubt

    def _is_called(self, edge: _Edge) -> bool:
        """Whether the pointer that is called can be the one that was set."""
        reach, functions, checks = edge.reach, self._functions, self._checks
        if reach.member:
            place = int(functions.file[edge.caller]), edge.line
            return checks.is_member(reach.member, place) is not False
        if reach.variable and reach.set:
            return checks.is_shared(reach.variable, edge.caller, reach.set)
        return True

    def _foreign(self, edge: _Edge) -> int:
        """What a member costs more that is one of another structure, as far as is seen."""
        reach = edge.reach
        if not reach.member or not reach.set or reach.structures < _COMMON_MEMBER:
            return 0
        call = int(self._functions.file[edge.caller]), edge.line
        fits = self._checks.is_of(reach.member, call, reach.set, reach.link)
        return _FOREIGN if fits is False else 0

    def _places(self, edge: _Edge) -> Iterator[tuple[int, int]]:
        """The lines that have to be compiled for an edge: the call, what is called, what is set."""
        functions = self._functions
        yield int(functions.file[edge.caller]), edge.line
        yield self._home(edge.function)
        if edge.reach.set:
            yield edge.reach.set

    def _by_recording(self, function: int) -> int:
        if self._ran is None:
            return 0
        told = self._ran.of(self._functions.names[function].decode(errors="replace"))
        return {"ran": 0, "never": _NEVER}.get(told, _NOT_WATCHED)

    # ---- answers

    def _steps(self, way: list[_Edge]) -> list[Step]:
        functions = self._functions
        first = way[0].caller
        place = self._home(first)
        conditions = tuple(self._checks.conditions(place))
        begin = self._where(place)
        steps = [
            Step(self._name(first), begin, "start", conditions=conditions, ran=self._told(first))
        ]
        for edge in way:
            place = int(functions.file[edge.caller]), edge.line
            steps.append(
                Step(
                    self._name(edge.function),
                    self._where(place),
                    edge.reach.how,
                    self._where(edge.reach.set) if edge.reach.set else None,
                    edge.doubt,
                    tuple(dict.fromkeys(self._conditions(edge))),
                    self._told(edge.function),
                )
            )
        return steps

    def _conditions(self, edge: _Edge) -> Iterator[str]:
        """What has to hold: around the call, for what is called, and where a pointer is set."""
        call, *others = self._places(edge)
        yield from self._checks.around(call)
        for place in others:
            yield from self._checks.conditions(place)

    def _where(self, place: tuple[int, int]) -> Where:
        return Where(self._checks.paths[place[0]], place[1])

    def _name(self, function: int) -> str:
        return self._functions.names[function].decode(errors="replace")

    def _told(self, function: int) -> str:
        return self._ran.of(self._name(function)) if self._ran else ""

    def cut(self, start: str, end: str, avoid: frozenset[str]) -> Cut | None:
        """What keeps the way that lacks the least from being compiled; None: there is no way."""
        asked = self._asked(start, end, avoid)
        asked.most = 1 << 30
        way = self._way(asked)
        places = dict.fromkeys(place for edge in way for place in self._places(edge))
        lines = [refused for place in places if (refused := self._checks.refused(place))]
        return Cut(tuple(dict.fromkeys(lines)), tuple(self._steps(way))) if lines else None


class _Search:
    """What one search has seen so far. Functions are settled once, at their lowest cost."""

    def __init__(self, asked: Asked, least: Ints) -> None:
        self.asked = asked
        self.onward: dict[int, _Edge] = {}
        self._least = np.where(least >= FAR, _ORPHAN, least) if asked.named else least
        self._closed = self._least >= FAR
        self._closed[sorted(asked.banned)] = True
        self._heap: list[tuple[int, int, int, _Edge, bool]] = []
        self._pushed = self._named = self._taken = 0

    def take(self, function: int) -> None:
        """Settle a function."""
        self._closed[function] = True
        self._taken += 1

    def may_name(self) -> bool:
        """Whether the files may be asked once more who names a function."""
        self._named += 1
        return self._named <= _MAX_NAMED

    def push(self, function: int, so_far: int, edges: Edges) -> None:
        """Offer edges into a function that was reached at a cost."""
        good = ~self._closed[edges.caller]
        rows = zip(
            edges.caller[good].tolist(), edges.line[good].tolist(), edges.cost[good].tolist(),
            self._least[edges.caller[good]].tolist(), strict=True,
        )  # fmt: skip
        for caller, line, cost, least in rows:
            more = so_far + cost + self.asked.used.get(caller, 0)
            edge = _Edge(caller, function, line, edges.reach, cost)
            self._pushed += 1
            heapq.heappush(self._heap, (more + least, self._pushed, more, edge, False))

    def again(self, so_far: int, edge: _Edge) -> None:
        """Offer an edge that was checked, at the cost that this gave."""
        self._pushed += 1
        least = int(self._least[edge.caller])
        heapq.heappush(self._heap, (so_far + least, self._pushed, so_far, edge, True))

    def pop(self) -> tuple[int, _Edge, bool] | None:
        """The most promising edge: cost up to its caller, whether it was checked."""
        while self._heap and self._taken < _MAX_TAKEN:
            least, _, so_far, edge, checked = heapq.heappop(self._heap)
            if least > self.asked.most + self.asked.most_used:
                return None
            if not self._closed[edge.caller]:
                return so_far, edge, checked
        return None

    def chain(self, function: int) -> Iterator[_Edge]:
        """The edges from a settled function to the end."""
        while edge := self.onward.get(function):
            yield edge
            function = edge.function
