"""`GdbClient`: one guest, stopped and steered through a stub of the GDB remote protocol."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from timehands.errors import GdbError, StubGone
from timehands.watch.gdb.handshake import Address, open_socket, shake_hands
from timehands.watch.gdb.link import Link
from timehands.watch.gdb.replies import parse_stop
from timehands.watch.gdb.running import Passing, Running
from timehands.watch.gdb.session import ANSWER_SECONDS, State, require
from timehands.watch.gdb.together import Threads, Together


class GdbClient(Running):
    """A stub's only client. Make it with `connect`; use it as an async context manager.

    ``state`` is what may be asked now, ``stop`` the last stop, ``features`` what the stub can do,
    ``kinds`` which breakpoints work, ``output`` what the stub wrote to its client's console,
    ``instrument`` what a recording calls it.
    """

    instrument: Final = "stub"

    @classmethod
    async def connect(
        cls, where: Address, *, timeout_s: float = ANSWER_SECONDS, process: int | None = None
    ) -> Self:
        """Connect, and learn what the stub can do. The guest is stopped then.

        ``where``: ``host:port``, the path of a Unix socket, or a connected socket (it is closed
        with the client). ``timeout_s`` is for each answer, later too. ``process`` is that of a stub
        on this host whose guest has one vCPU: while stops come thick it is held to the processor
        that we are on (together.py), which makes them two to three times as many. Raises
        `StubGone`, `StubSilent` (another client may hold the stub), `ProtocolBroken`.
        """
        together = None if process is None else Together(Threads(process))
        client = cls(Link(await open_socket(where, timeout_s), together), timeout_s)
        try:
            client._begin(await shake_hands(client))
        except BaseException as error:
            client.close()
            if isinstance(error, GdbError):
                raise client._lost(error) from None
            raise
        return client

    def _begin(self, first: bytes) -> None:
        stop = parse_stop(first)
        if stop.ended:
            raise StubGone("the stub has no guest", received=first)
        self.state, self.stop = State.STOPPED, stop
        self.kinds.suspect = self.features.kvm
        if self.features.qemu and not self.features.kvm:
            self.passing = Passing.STEP

    @require(State.STOPPED)
    async def monitor(self, command: str) -> str:
        """Run a command of the stub's own monitor and return what it printed.

        Of QEMU it is the human monitor (``info registers``). Raises `StubRefused`.
        """
        return await self.execute(command)

    @require(State.STOPPED)
    async def detach(self) -> None:
        """Leave the guest: breakpoints are removed and it runs on. Closes the connection."""
        for point in self.inserted:
            await self.remove(point)
        process = self._current.process if self._current else None
        await self.ask_ok(b"D" if process is None else b"D;%x" % process, "let the guest go")
        self.close()

    @require(State.STOPPED)
    async def kill(self) -> None:
        """End the guest (QEMU ends itself), and the connection."""
        self._link.begin()
        self._link.send(b"k")
        try:
            while await self._link.receive(self.timeout_s) is not None:
                pass
        except StubGone:
            pass
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
