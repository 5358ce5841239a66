"""What was done to a guest, written into its recording as it is done."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

from timehands.watch.interventions import Did, Intervention, Stopped

#: Texts in a recording are no longer than this.
MAX_WORDS: Final = 1000


class Book(Protocol):
    """Where stops and interventions are written: a `timehands.watch.recorder.Recorder`."""

    def stopped(self, stop: Stopped, /) -> None:
        """A stop, when it is over."""

    def intervened(self, done: Intervention, /) -> None:
        """A change that we made."""


@dataclass(slots=True)
class Entry:
    """A stop that is not over yet: what `Stopped` will say of it."""

    index: int
    host_ns: int
    vcpu: int
    pc: int
    why: str
    where: str = ""
    values: dict[str, str] = field(default_factory=dict)
    backtrace: tuple[str, ...] = ()
    instrument: str = "stub"

    def stopped(self, resumed_ns: int | None) -> Stopped:
        """As it goes into the recording."""
        values = {k[:MAX_WORDS]: v[:MAX_WORDS] for k, v in self.values.items()}
        return Stopped(
            self.index, self.host_ns, resumed_ns, self.vcpu, self.pc, self.why[:MAX_WORDS],
            self.where[:MAX_WORDS], values or None, self.backtrace, self.instrument,
        )  # fmt: skip


class Log:
    """Numbers stops and interventions, and writes them.

    ``book`` None keeps no record. ``first_change`` is how many changes the recording has already.
    ``instrument`` is what makes the stops (`Stopped.instrument`).
    """

    def __init__(self, book: Book | None, first_change: int = 0) -> None:
        self._book = book
        self._next_stop = 0
        self._done = itertools.count(first_change)
        self._open: Entry | None = None
        self.changes: list[Intervention] = []
        self.instrument = "stub"

    def begin(
        self, vcpu: int, pc: int, why: str, where: str = "", *, host_ns: int | None = None
    ) -> Entry:
        """The guest stands still, since now or ``host_ns``."""
        self.end(None)
        since_ns = time.monotonic_ns() if host_ns is None else host_ns
        self._open = Entry(
            self._next_stop, since_ns, vcpu, pc, why, where, instrument=self.instrument
        )
        self._next_stop += 1
        return self._open

    def forget(self) -> None:
        """The stop that is under way is nobody's: a look at whether the guest hangs."""
        if self._open is not None:
            self._next_stop, self._open = self._open.index, None

    def end(self, resumed_ns: int | None) -> None:
        """It goes on; None: it never will."""
        if self._open is not None and self._book is not None:
            self._book.stopped(self._open.stopped(resumed_ns))
        self._open = None

    def go_on(self) -> None:
        """The guest is about to be let go on."""
        if self._open is not None:
            self.end(time.monotonic_ns())

    def did(self, kind: Did, what: str) -> Intervention:
        """A change that was made now, at the stop that is under way, if any."""
        stop = self._open.index if self._open else None
        done = Intervention(next(self._done), time.monotonic_ns(), kind, what[:MAX_WORDS], stop)
        self.changes.append(done)
        if self._book is not None:
            self._book.intervened(done)
        return done
