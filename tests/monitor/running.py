"""A guest of the monitor that a test talks to. None can make a test hang."""

from __future__ import annotations

import threading
from typing import Self

from monitor.guests.build import guest
from timehands.monitor.devices.signals import Ending
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks

#: After this a guest that says nothing has failed its test.
PATIENCE_S = 60.0


class Talk:
    """A running guest, and what it said. A context manager.

    ::

        with Talk("clock_loop", "1", others=("smp.S",)) as talk:
            reads, warps, *_ = talk.ask(b"t")
    """

    def __init__(
        self,
        name: str,
        arguments: str = "",
        *,
        others: tuple[str, ...] = (),
        clocks: Clocks | None = None,
        vcpus: int = 1,
    ) -> None:
        self.start(guest(name, *others), arguments, Settings(32 * MIB, vcpus, clocks or Clocks()))

    def start(self, kernel: bytes, arguments: str, settings: Settings) -> None:
        """Make the guest; it runs from `__enter__` on."""
        self.lines: list[str] = []
        self._rest = b""
        self._said = threading.Condition()
        load = Load(memoryview(kernel), arguments)
        self.guest = Microvm(settings, load, console=self._hear)

    def _hear(self, data: bytes) -> None:
        with self._said:
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.lines += [line.decode("ascii", "replace") for line in lines]
            self._said.notify_all()

    def wait_line(self, number: int = 0) -> str:
        """The guest's line of this number, from 0."""
        with self._said:
            there = self._said.wait_for(lambda: len(self.lines) > number, PATIENCE_S)
        assert there, self.where()
        return self.lines[number]

    def wait_for(self, words: str) -> str:
        """The first line that has these words."""
        with self._said:
            there = self._said.wait_for(lambda: any(words in s for s in self.lines), PATIENCE_S)
        assert there, self.where()
        return next(line for line in self.lines if words in line)

    def ask(self, byte: bytes) -> list[int]:
        """What it answers to a byte: the numbers after its tag."""
        number = len(self.lines)
        self.guest.send(byte)
        return [int(word, 16) for word in self.wait_line(number).split()[1:]]

    def end(self) -> Ending:
        """How it ends."""
        ending = self.guest.wait(PATIENCE_S)
        assert ending is not None, self.where()
        return ending

    def where(self) -> str:
        """What a failed test shows: all that it said, and where its vCPUs are."""
        places = "\n".join(map(str, self.guest.whereabouts()))
        return "\n".join([*self.lines, places, str(self.guest.exits)])

    def __enter__(self) -> Self:
        self.guest.resume()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.guest.close()
