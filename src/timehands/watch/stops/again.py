"""Looks that find what they found before: what they read of the guest is the same.

A guest that stops in one place again and again is looked at in the same way, and mostly there is
nothing new: the same callers, the same name. A look is a pure function of the registers and the
memory that it reads (see `timehands.kernels.memory`). So what it read is noted, and while all of
that is as it was, its result is as it was. Everything is compared at every stop; nothing is
assumed, and nothing is read of the guest that the look itself would not have read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar, cast

from timehands.kernels.memory import Pages, Unreadable
from timehands.watch.stops.view import FRAME, GENERAL, PRESERVED, Noting, View

T = TypeVar("T")
#: Looks that are remembered, and how many results of each: callers differ.
MAX_LOOKS: Final = 256
MAX_RESULTS: Final = 64
#: What one look may read and be remembered: pieces of memory, and bytes.
MAX_READS: Final = 128
MAX_BYTES: Final = 4 << 10
#: A look that found nothing as before so many times in a row is not remembered any more, until it
#: was made so many times in all.
MAX_MISSES: Final = 128
PASSED_OVER: Final = 4096


class _Result(NamedTuple):
    """A result and the memory that it came of; None: that could not be read."""

    memory: tuple[tuple[int, int, bytes | None], ...]
    found: Any

    def holds(self, memory: Pages) -> bool:
        """Whether all is as it was. In the order of the look, so it reads no more than that."""
        return all(_read(memory, at, length) == data for at, length, data in self.memory)


#: The values of some registers, None for one that there is not.
_Values = tuple[int | None, ...]


class _Kept:
    """One look's results, by the names of the registers that were read, and their values."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, ...], dict[_Values, list[_Result]]] = {}
        self.misses = 0
        self._held = 0

    def find(self, registers: Mapping[str, int], memory: Pages) -> _Result | None:
        """The result that came of the same."""
        for names, results in self.results.items():
            for result in results.get(tuple(map(registers.get, names)), ()):
                if result.holds(memory):
                    return result
        return None

    def add(self, registers: Mapping[str, int | None], result: _Result) -> None:
        """Keep one more; all others go when there are too many."""
        if self._held >= MAX_RESULTS:
            self.forget()
        self._held += 1
        results = self.results.setdefault(tuple(registers), {})
        results.setdefault(tuple(registers.values()), []).append(result)

    def forget(self) -> None:
        """All results."""
        self.results.clear()
        self._held = 0

    def pass_over(self) -> None:
        """It is always something new; but perhaps not for ever."""
        self.forget()
        self.misses = self.misses + 1 if self.misses < PASSED_OVER else 0


class Looks:
    """What was found by looks that have a name. Bounded."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def see(self, name: Hashable, view: View, look: Callable[[View], T]) -> T:
        """The result of a look at a view of `Pages`; the same name is the same look.

        The result is shared: it must not change, nor hold on to the view. Raises what the look
        raises; that is not remembered.
        """
        kept = self._kept_for((name, view.pc))
        if kept.misses > MAX_MISSES:
            kept.pass_over()
            return look(view)
        result = kept.find(view.registers, cast("Pages", view.memory))
        if result is not None:
            kept.misses = 0
            return cast("T", result.found)
        kept.misses += 1
        return _noted(view, look, kept)

    def _kept_for(self, key: Hashable) -> _Kept:
        if key not in self._kept:
            if len(self._kept) >= MAX_LOOKS:
                self._kept.clear()
            self._kept[key] = _Kept()
        return self._kept[key]


def _noted(view: View, look: Callable[[View], T], kept: _Kept) -> T:
    """The result; it is kept with what it came of, unless that is too much."""
    registers, memory = _Registers(view.registers), _Memory(cast("Pages", view.memory))
    found = look(replace(view, registers=registers, memory=memory))
    if registers.general:
        registers.note(_needed(view, look, found))
    if len(memory.read_so_far) <= MAX_READS and memory.bytes <= MAX_BYTES:
        pieces = tuple((*piece, data) for piece, data in memory.read_so_far.items())
        kept.add(registers.read_so_far, _Result(pieces, found))
    return found


def _needed(view: View, look: Callable[[View], T], found: T) -> tuple[str, ...]:
    """The registers that unwinding needed: it takes all along, and hardly ever looks at most.

    With those alone it finds the same.
    """
    for few in (FRAME, PRESERVED):
        if look(replace(view, unwinds=few)) == found:
            return few
    return GENERAL


class _Registers(Noting):
    """Registers that note who was asked for; ``general``: `View` took all that unwinding needs."""

    def __init__(self, held: Mapping[str, int]) -> None:
        self.held = held
        self.read_so_far: dict[str, int | None] = {}
        self.general = False

    def note(self, names: Iterable[str]) -> None:
        for name in names:
            self.read_so_far[name] = self.held.get(name)

    def for_unwinding(self) -> Mapping[str, int]:
        """All, noted as a whole."""
        self.general = True
        return self.held

    def __getitem__(self, name: str) -> int:
        self.note((name,))
        return self.held[name]

    def __iter__(self) -> Iterator[str]:
        self.note(self.held)
        return iter(self.held)

    def __len__(self) -> int:
        self.note(self.held)
        return len(self.held)


class _Memory(Pages):
    """Memory that notes what was read."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.read_so_far: dict[tuple[int, int], bytes | None] = {}
        self.bytes = 0

    def read(self, address: int, length: int) -> bytes:
        try:
            data = self._pages.read(address, length)
        except Unreadable:
            self.read_so_far[address, length] = None
            raise
        self.read_so_far[address, length] = data
        self.bytes += length
        return data

    def need(self, pieces: Iterable[tuple[int, int]]) -> None:
        self._pages.need(pieces)


def _read(memory: Pages, address: int, length: int) -> bytes | None:
    try:
        return memory.read(address, length)
    except Unreadable:
        return None
