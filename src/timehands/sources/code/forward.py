"""What it costs at least to come from some functions to all others, without reading any file.

It is the measure by which the search from the other end knows where to go. Costs are those of
`timehands.sources.code.graph` before a step is checked, which only makes it dearer.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

import numpy as np

from timehands.sources.code.calls import Ints

if TYPE_CHECKING:
    from timehands.sources.code.graph import Graph

FAR: Final = 1 << 30


def least_costs(graph: Graph, starts: set[int], ends: list[int], more: int) -> Ints:
    """Of each function, the least cost to it; `FAR` beyond twice the ends' cost and ``more``."""
    found = np.full(len(graph.functions.names), FAR, np.int64)
    found[sorted(starts)] = 0
    waiting: dict[int, list[Ints]] = {0: [np.array(sorted(starts), np.int64)]}
    heap, limit = [0], FAR
    while heap and heap[0] <= limit:
        cost = heapq.heappop(heap)
        front = np.unique(np.concatenate(waiting.pop(cost)))
        front = front[found[front] == cost]
        reached, total = graph.onward(front)
        total = total + cost
        better = total < found[reached]
        reached, total = reached[better], total[better]
        np.minimum.at(found, reached, total)
        for one in np.unique(total).tolist():
            if one not in waiting:
                waiting[one] = []
                heapq.heappush(heap, one)
            waiting[one].append(reached[total == one])
        limit = min(limit, 2 * int(found[ends].min()) + more)
    found[found > limit] = FAR
    return found
