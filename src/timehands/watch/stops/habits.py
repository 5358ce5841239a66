"""Which memory is looked at wherever the guest stops: to be fetched at once the next time.

What people look at is the same at each stop in one place: the same variable, the same depth of
stack. Each piece by itself costs a round trip, and the reader that lacked it is run again.
"""

from __future__ import annotations

from typing import Final

#: Address and length, in bytes.
Span = tuple[int, int]
MAX_PLACES: Final = 1024
MAX_SPANS: Final = 8
#: A longer piece is no habit: it would be fetched for nothing when it is wanted no more.
MAX_LENGTH: Final = 1024


class Habits:
    """What was asked for at two stops in one place, one after the other. Bounded."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Span, ...]] = {}
        self._last: dict[int, frozenset[Span]] = {}

    def of(self, pc: int) -> tuple[Span, ...]:
        """What will be asked for at a stop there."""
        return self._kept.get(pc, ())

    def learn(self, pc: int, asked: list[Span]) -> None:
        """What was asked for at a stop there, besides `of`."""
        if pc not in self._last and len(self._last) >= MAX_PLACES:
            return
        found = frozenset(span for span in asked if span[1] <= MAX_LENGTH)
        again = sorted(found & self._last.get(pc, frozenset()))
        self._last[pc] = found
        if again:
            self._kept[pc] = (*self.of(pc), *again)[-MAX_SPANS:]
