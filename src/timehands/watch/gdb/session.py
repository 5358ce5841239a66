"""A conversation with a stub: its states, and requests that are held to them.

CONNECTING ──► STOPPED ◄──► RUNNING
                  │            │
                  ▼            ▼
                ENDED        LOST      (LOST from anywhere; both are final)
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Concatenate, Final, ParamSpec, TypeVar

from timehands.errors import GdbError, ProtocolBroken, StubRefused, StubSilent, WrongState
from timehands.watch.gdb.features import Features
from timehands.watch.gdb.link import Link
from timehands.watch.gdb.replies import is_error, unhex
from timehands.watch.gdb.target import PLAIN_X86_64, Layout

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Session")

ANSWER_SECONDS: Final = 5.0
MAX_OUTPUT: Final = 1 << 20
#: Requests that are sent at once, where the stub need not acknowledge each.
BATCH: Final = 16
#: What takes many answers may take as long as so many that come late, and more for much memory.
WHOLE_ANSWERS: Final = 6
BYTES_AN_ANSWER: Final = 64 << 10


class State(Enum):
    """What the client may ask for; the value is the word in messages."""

    CONNECTING = "connecting"
    STOPPED = "stopped"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


_HINTS: Final = {
    State.CONNECTING: "Connect first: GdbClient.connect().",
    State.STOPPED: "Let the guest run first: resume() or step().",
    State.RUNNING: "Stop the guest first: interrupt(), then wait_stop().",
    State.ENDED: "The guest has ended, or was left: connect again.",
    State.LOST: "The connection is of no use any more: connect again.",
}


def require(
    *states: State,
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Only in these states; else `WrongState`, which says what to call first."""

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @functools.wraps(method)
        def held(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
            if self.state not in states:
                raise self.wrong_state(method.__name__)
            return method(self, *args, **kwargs)

        return held  # type: ignore[return-value]

    return decorate


class Session:
    """A stub, its features, and one request at a time. See `GdbClient`."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        self.state = State.CONNECTING
        self.features = Features()
        self.layout: Layout = PLAIN_X86_64
        self.timeout_s = timeout_s
        self._link = link

    async def ask(self, payload: bytes) -> bytes:
        """Send one packet (escaped where it needs be) and return the reply to it.

        Raises `StubSilent`, `StubGone`, `ProtocolBroken`: after those nothing more can be asked.
        """
        link = self._link
        try:
            link.begin()
            link.send(payload)
            reply = await link.receive(self.timeout_s)
            if reply is None:
                raise self._silent(payload)
        except asyncio.CancelledError:
            link.owe(1)
            raise
        except WrongState:
            raise
        except GdbError as error:
            raise self._lost(error, payload) from None
        return reply

    async def ask_all(self, payloads: Sequence[bytes]) -> list[bytes]:
        """The replies to several packets, sent at once where the stub need not acknowledge each."""
        link = self._link
        replies: list[bytes] = []
        sent = 0
        try:
            link.begin()
            for number, payload in enumerate(payloads):
                until = min(number + self._at_once, len(payloads))
                if sent < until:
                    link.send(*payloads[sent:until])
                    sent = until
                reply = await link.receive(self.timeout_s)
                if reply is None:
                    raise self._silent(payload)
                replies.append(reply)
        except asyncio.CancelledError:
            link.owe(sent - len(replies))
            raise
        except WrongState:
            raise
        except GdbError as error:
            raise self._lost(error, payloads[len(replies)]) from None
        return replies

    async def ask_ok(self, payload: bytes, what: str) -> None:
        """A request whose only good reply is OK. Raises `StubRefused` naming ``what``."""
        self.require_ok(payload, await self.ask(payload), what)

    async def execute(self, command: str) -> str:
        """Run a command of the stub's own monitor (``qRcmd``) and return what it printed.

        Raises `StubRefused` where there is none, or it failed.
        """
        payload = b"qRcmd," + command.encode().hex().encode()
        reply = await self.ask(payload)
        output, since = bytearray(), time.monotonic()
        while reply[:1] == b"O" and reply != b"OK" and len(output) < MAX_OUTPUT:
            output += self._console(payload, reply)
            more = await self._link.receive(self.timeout_s)
            if more is None:
                raise self._lost(self._silent(payload), payload)
            self.require_progress(since, f"run {command!r}")
            reply = more
        if reply and reply != b"OK" and not is_error(reply):
            output += self._console(payload, reply)  # all of it in the reply itself
        else:
            self.require_ok(payload, reply, f"run {command!r}")
        return output.decode(errors="replace")

    def require_ok(self, payload: bytes, reply: bytes, what: str) -> None:
        """Raise `StubRefused` unless the reply is OK, `ProtocolBroken` if it makes no sense."""
        if reply != b"OK":
            raise self.refusal(payload, reply, what)

    def refusal(self, payload: bytes, reply: bytes, what: str) -> GdbError:
        """The error for a reply that is not what was hoped for."""
        if not reply:
            message = f"the stub does not know how to {what}"
        elif is_error(reply):
            message = f"the stub refused to {what} ({reply[:60].decode(errors='replace')})"
        else:
            message = f"asked to {what}, the stub answered what cannot be: {reply[:60]!r}"
            broken = ProtocolBroken(message)
            return self._lost(self._link.fail(broken), payload, reply)
        return StubRefused(message, sent=payload, received=reply, state=self.state.value)

    def require_progress(self, since: float, what: str, length: int = 0) -> None:
        """Raise `StubSilent` when something has taken too long since then (`time.monotonic`).

        Each answer may come in time and there be no end of them. ``length`` bytes are asked for.
        """
        allowed = self.timeout_s * (WHOLE_ANSWERS + length // BYTES_AN_ANSWER)
        if time.monotonic() - since > allowed:
            message = f"asked to {what}, the stub came to no end within {allowed:g} s"
            raise self._lost(self._link.fail(StubSilent(message)))

    @property
    def trouble(self) -> GdbError | None:
        """Why nothing can be asked any more, when something went wrong."""
        return self._link.error if self.state is State.LOST else None

    def wrong_state(self, asked: str) -> WrongState:
        """The error for a call that this state does not allow."""
        why = f" ({self._link.error.message})" if self._link.error else ""
        return WrongState(
            f"{asked} cannot be asked now: the guest's stub is {self.state.value}{why}",
            state=self.state.value,
            advice=_HINTS[self.state],
        )

    def post(self, payload: bytes) -> None:
        """Send one packet whose reply comes later, by itself. Raises what `ask` raises."""
        try:
            self._link.begin()
            self._link.send(payload)
            if self._link.error:
                raise self._link.error
        except WrongState:
            raise
        except GdbError as error:
            raise self._lost(error, payload) from None

    async def next_packet(self, timeout_s: float | None) -> bytes | None:
        """The next packet that comes by itself; None when the time is over before."""
        try:
            return await self._link.receive(timeout_s)
        except WrongState:
            raise
        except GdbError as error:
            raise self._lost(error) from None

    def _console(self, sent: bytes, packet: bytes) -> bytes:
        """What the stub prints: ``O`` and hexadecimal, or hexadecimal alone."""
        try:
            return unhex(packet.removeprefix(b"O"))
        except ProtocolBroken as error:
            raise self._lost(self._link.fail(error), sent, packet) from None

    @property
    def _at_once(self) -> int:
        return BATCH if self._link.may_send_ahead else 1

    def _silent(self, payload: bytes) -> GdbError:
        asked = payload[:40].decode(errors="replace")
        return self._link.fail(
            StubSilent(
                f"the stub did not answer within {self.timeout_s:g} s "
                f"({self.state.value}; asked: {asked})",
                advice="A stub serves one client at a time: is another debugger attached to it?",
            )
        )

    def _lost(self, error: GdbError, sent: bytes = b"", received: bytes = b"") -> GdbError:
        """The connection is of no use any more; the error gets its evidence."""
        error.sent = error.sent or sent[:200]
        error.received = error.received or received[:200]
        error.state = error.state or self.state.value
        if self.state is not State.ENDED:
            self.state = State.LOST
        return error
