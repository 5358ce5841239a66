"""What a campaign comes to: each figure's quantiles over all seeds, and the seeds to look at."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from timehands.simulate.campaign.rows import ALL_VCPUS, FIGURES, SIGNED, Row

Ints = npt.NDArray[np.int64]
_PERCENT = (50, 90, 99)
#: The columns that a summary is made of.
KEPT: tuple[str, ...] = ("seed", "unmet", "reads", *FIGURES)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure over all seeds that have it; all vCPUs of a seed together.

    The quantiles are by nearest rank, so that each is a value that some seed had. ``worst_seed`` is
    the seed whose value is furthest from 0 (the least such seed).
    """

    name: str
    seeds: int
    least: int
    median: int
    p90: int
    p99: int
    greatest: int
    worst_seed: int

    @classmethod
    def of(cls, name: str, seeds: Ints, values: Ints) -> Figure | None:
        """The figure of these values, one for each seed; None when there are none."""
        count = len(values)
        if not count:
            return None
        ordered = np.sort(values)
        median, p90, p99 = (int(ordered[-(-count * percent // 100) - 1]) for percent in _PERCENT)
        size = np.abs(values) if name in SIGNED else values
        worst = int(seeds[size == size.max()].min())
        return cls(name, count, int(ordered[0]), median, p90, p99, int(ordered[-1]), worst)


@dataclass(frozen=True, slots=True)
class CampaignSummary:
    """How a campaign ended. ``seeds`` were asked for, ``done`` of them are there now.

    ``resumed`` of these were there before; ``torn`` names part files that were found damaged and
    done again; ``unmet`` counts the seeds that did not do what the scenario expects, ``worst_seed``
    is the one to look at first (None without any): most expectations unmet, then the largest step
    back, then the worst offset.
    """

    identity: dict[str, str]
    seeds: range
    done: int
    resumed: int
    unmet: int
    worst_seed: int | None
    figures: tuple[Figure, ...]
    reads: int
    took_ns: int
    interrupted: bool = False
    lost_workers: int = 0
    torn: tuple[str, ...] = ()
    out: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types."""
        plain = {
            "first_seed": self.seeds.start,
            "seeds": len(self.seeds),
            "out": None if self.out is None else str(self.out),
            "torn": list(self.torn),
            "figures": {one.name: asdict(one) for one in self.figures},
        }
        return {name: plain.get(name, getattr(self, name)) for name in self.__slots__} | plain


class Results(Protocol):
    """Where rows can be read again, column by column."""

    def columns(self, *names: str) -> Iterable[tuple[Any, ...]]:
        """These columns, in pieces; each a sequence that NumPy understands, None where empty."""


@dataclass(slots=True)
class InMemory:
    """The rows of all vCPUs together, of a campaign that is not kept: 8 bytes for each figure."""

    _columns: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("q") for name in (*KEPT, "vcpu")}
    )
    _empty: dict[str, array[int]] = field(default_factory=dict)

    def write(self, rows: Sequence[Row]) -> None:
        """Keep what a summary needs."""
        for row in rows:
            if row.vcpu == ALL_VCPUS:
                for name, column in self._columns.items():
                    value = getattr(row, name)
                    if value is None:
                        self._empty.setdefault(name, array("q")).append(len(column))
                    column.append(value or 0)

    def columns(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """The columns, whole."""
        yield tuple(self._masked(name) for name in names)

    def _masked(self, name: str) -> np.ma.MaskedArray[Any, Any]:
        column = np.ma.array(np.array(self._columns[name], np.int64))
        column[np.array(self._empty.get(name, ()), np.int64)] = np.ma.masked
        return column


def figures(results: Results, seeds: range) -> tuple[Figure, ...]:
    """Each figure, of those seeds among the results that were asked for; one column at a time."""
    found = (Figure.of(name, *_column(results, seeds, name)) for name in FIGURES)
    return tuple(figure for figure in found if figure is not None)


def total(results: Results, seeds: range, name: str) -> int:
    """The sum of a column over all seeds, exact."""
    return sum(_column(results, seeds, name)[1].tolist())


def unmet(results: Results, seeds: range) -> int:
    """How many seeds did not do what the scenario expects."""
    return int(np.count_nonzero(_column(results, seeds, "unmet")[1]))


def worst_seed(results: Results, seeds: range) -> int | None:
    """The seed to look at first; None when there is none."""
    candidates: Ints | None = None
    for name in (
        "unmet",
        "worst_warp_ns",
        "worst_warp_across_ns",
        "offset_worst_ns",
        "worst_stall_ns",
    ):
        numbers, values = _column(results, seeds, name)
        if candidates is not None:
            chosen = np.isin(numbers, candidates)
            numbers, values = numbers[chosen], np.abs(values[chosen])
        if len(values):
            candidates = numbers[values == values.max()]
    return None if candidates is None else int(candidates.min())


def _column(results: Results, seeds: range, name: str) -> tuple[Ints, Ints]:
    """The seeds, and their values of a column; without those that have none."""
    pieces = [_piece(seeds, *piece) for piece in results.columns("seed", "vcpu", name)]
    if not pieces:
        return np.array([], np.int64), np.array([], np.int64)
    return tuple(np.concatenate(parts) for parts in zip(*pieces, strict=True))  # type: ignore[return-value]


def _piece(seeds: range, seed: Any, vcpu: Any, value: Any) -> tuple[Ints, Ints]:
    filled, empty = _plain(value)
    numbers, _none = _plain(seed)
    whose, _none = _plain(vcpu)
    wanted = (whose == ALL_VCPUS) & (numbers >= seeds.start) & (numbers < seeds.stop) & ~empty
    return numbers[wanted], filled[wanted]


def _plain(column: Any) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """A column as integers (0 where it is empty), and where it is empty."""
    if isinstance(column, np.ma.MaskedArray):
        return column.filled(0), np.ma.getmaskarray(column)
    empty = column.is_null().to_numpy(zero_copy_only=False)
    return column.fill_null(0).to_numpy(zero_copy_only=False), empty
