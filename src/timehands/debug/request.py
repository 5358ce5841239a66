"""What a debug session is to do, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from timehands.boot import Request
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.watch.stops import Want


@dataclass(frozen=True, slots=True)
class Break:
    """A place to stop at, and what to do there: first look, then change, then go on.

    ``prints`` are C expressions, ``backtrace`` how many frames to show, ``asks`` CPUID leaves (and
    subleaves) to ask inside the guest, ``sets`` assignments.
    """

    want: Want
    prints: tuple[str, ...] = ()
    backtrace: int = 0
    asks: tuple[tuple[int, int], ...] = ()
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """A function to be left out each time; ``returning`` is its result, None: as it comes."""

    function: str
    returning: int | None = None


@dataclass(frozen=True, slots=True)
class Debugging:
    """What to boot, and what to do to it.

    ``answers`` are CPUID leaves that we answer; ``files`` source files of which each function is
    noted when it is first reached. ``inside``: nothing else will be asked for, so that the stops
    can be made inside the plugin where it can do all of this (`timehands.debug.choice`).
    """

    boot: Request
    breaks: tuple[Break, ...] = ()
    answers: Mapping[int, Leaf] = field(default_factory=dict)
    skips: tuple[Skip, ...] = ()
    files: tuple[str, ...] = ()
    inside: bool = False
