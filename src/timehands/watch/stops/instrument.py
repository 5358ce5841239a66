"""What makes a guest's stops, QEMU's stub or the plugin: `Stops` needs this much of either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from timehands.errors import GdbError
from timehands.watch.gdb import Breakpoint, State, StopReply
from timehands.watch.gdb.target import Layout


class Instrument(Protocol):
    """A guest that is let run to its next stop, and looked at there.

    `timehands.watch.gdb.GdbClient` documents each of these; `timehands.watch.stops.inside` is the
    other one, which can do no more than this.
    """

    @property
    def instrument(self) -> str:
        """Its name in a recording: ``stub`` or ``plugin``."""

    @property
    def state(self) -> State:
        """What may be asked for now."""

    @property
    def layout(self) -> Layout:
        """Which register is the instruction pointer."""

    @property
    def trouble(self) -> GdbError | None:
        """Why nothing can be asked any more."""

    async def insert(self, point: Breakpoint, /) -> object:
        """From now on stop there. Raises `StubRefused`."""

    async def remove(self, point: Breakpoint, /) -> None:
        """Stop there no more."""

    async def resume(self) -> None:
        """Let the guest run."""

    async def wait_stop(self, timeout_s: float | None = None, /) -> StopReply | None:
        """Its next stop; None when the time is over."""

    async def interrupt(self) -> None:
        """Have `wait_stop` return soon."""

    async def registers(self) -> Mapping[str, int]:
        """Of the vCPU that stopped."""

    async def register(self, name: str, /) -> int:
        """One of them. Raises `UsageError`."""

    async def read(self, address: int, length: int, /) -> bytes | None:
        """Guest memory by virtual address; None when any of it cannot be read."""

    async def read_each(self, spans: Sequence[tuple[int, int]], /) -> list[bytes | None]:
        """Several pieces at once."""

    async def registers_and(self, spans: Sequence[tuple[int, int]], /) -> list[bytes | None]:
        """The same, and the registers."""

    def require_progress(self, since: float, what: str, length: int = 0, /) -> None:
        """Raise `StubSilent` when it takes too long."""

    def close(self) -> None:
        """Nothing more is asked."""
