"""The wire to a stub: packets over a stream socket, one conversation at a time.

A stub on the same host answers in some 20 us, and a guest that is told to go on may stop again in
40 us; a turn of the event loop costs as much. So a receiver first sleeps in `recv` itself, for some
milliseconds at most and never for long without a turn of the loop; only then it waits as asyncio
does. It never asks again and again without sleeping: QEMU needs two threads for a stop, and on two
processors a client that spins halves the rate of stops. Nor does it sleep with a timeout that ends
before the kernel's next tick (1 to 10 ms): each such sleep programs the processor's timer, which
costs a virtual machine 20 us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from time import monotonic
from typing import Final

from timehands.errors import GdbError, ProtocolBroken, StubGone, WrongState
from timehands.watch.gdb.packets import Kind, Received, Unpacker, frame
from timehands.watch.gdb.together import Together

READ_BYTES: Final = 64 << 10
#: Packets that may wait for somebody to take them.
MAX_WAITING: Final = 64
#: How often a damaged packet is asked for again, or sent again, in one conversation.
MAX_RESENDS: Final = 8
#: Bytes between packets that mean nothing.
MAX_NOISE: Final = 1 << 20
MAX_PIECES: Final = 8
MIN_PACKET: Final = len(b"$#00")
_SOON_US: Final = 5000
#: How many times a receiver does not wait by itself after it did so for nothing.
_PASSED_OVER: Final = 16
_TURN_SECONDS: Final = 0.005
_ACK: Final = b"+"
_NAK: Final = b"-"


class Link:
    """A connected socket that speaks packets. It is closed with the link, and when it breaks.

    ``acks``: packets are acknowledged. ``lazy``: the stub takes the next packet for an
    acknowledgement of its last one, so ours goes along with that, and packets may be sent ahead.
    ``together``: told of what comes at once, and what does not.
    """

    def __init__(self, connection: socket.socket, together: Together | None = None) -> None:
        self.acks = True
        self.lazy = False
        self.error: GdbError | None = None
        self._socket = connection
        self._together = together
        self._loop = asyncio.get_running_loop()
        self._unpacker = Unpacker()
        self._packets: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._owed = 0
        self._due = False
        self._passed_over = 0
        self._resends = 0
        self._sent = b""
        self._last = b""
        self._unsent = bytearray()
        self._turn_due = monotonic() + _TURN_SECONDS
        _let_wait(connection)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.add_reader(connection, self._readable)

    def begin(self) -> None:
        """A new conversation: nothing may be waiting that nobody asked for.

        Raises `ProtocolBroken` if there is, `WrongState` when another task is in one.
        """
        if self.error:
            raise self.error
        if self._waiter:
            raise WrongState("another task waits for an answer of the stub: one at a time")
        self._resends = 0
        if self.acks and all(packet == self._last for packet in self._packets):
            self._packets.clear()  # sent again because our acknowledgement came late
        if self._packets:
            stray = self._packets[0]
            raise self.fail(
                ProtocolBroken(
                    f"the stub sent a packet that nobody asked for: {stray[:60]!r}", received=stray
                )
            )

    def send(self, *payloads: bytes) -> None:
        """Send packets in one piece; the payloads are escaped already."""
        data = self._sent = frame(payloads[-1])
        if len(payloads) > 1:
            data = b"".join((*map(frame, payloads[:-1]), data))
        self.send_raw(_ACK + data if self._due else data)
        self._due = False

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are: whole packets, or the interrupt byte."""
        if self._unsent:
            self._unsent += data
            return
        try:
            done = self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            done = 0
        except OSError as error:
            self.fail(_gone(str(error.strerror)))
            return
        if done < len(data):
            self._unsent += data[done:]
            self._loop.add_writer(self._socket, self._writable)

    async def receive(self, timeout_s: float | None) -> bytes | None:
        """The next packet; None when the time is over before. Raises when the link is broken."""
        if not self._packets:
            if monotonic() > self._turn_due:
                await self._turn()
            packet = self._soon()
            if packet is not None:
                return packet
            if not self._packets and not self.error:
                await self._wait(timeout_s)
        if self._packets:
            self._last = self._packets.popleft()
            return self._last
        if self.error:
            raise self.error
        return None

    @property
    def may_send_ahead(self) -> bool:
        """Whether a packet may be sent before the reply to the last one has come."""
        return self.lazy or not self.acks

    def owe(self, replies: int) -> None:
        """So many packets will still come that nobody wants: their asker has gone."""
        here = min(replies, len(self._packets))
        for _ in range(here):
            self._packets.popleft()
        self._owed += replies - here

    def fail(self, error: GdbError) -> GdbError:
        """Break the link: nothing more can be asked. Returns the error to raise."""
        if self.error is None:
            self.error = error
            self.close()
        self._wake()
        return self.error

    def close(self) -> None:
        """Close the socket, once."""
        if self._together:
            self._together.close()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
        if self.error is None:
            self.error = StubGone("the connection to the stub was closed by us")

    def _soon(self) -> bytes | None:
        """The next packet, if it comes alone and at once; None, and perhaps it waits by now.

        The usual case, and all that a stop takes: a few microseconds of ours.
        """
        if self._passed_over:
            self._passed_over -= 1
            return None
        for _ in range(MAX_PIECES):
            if self._packets or self.error:
                break
            data = self._received(0)
            if not data:
                self._passed_over = _PASSED_OVER
                if self._together:
                    self._together.waited()
                break
            packet = self._unpacker.whole(data)
            if packet is not None and not self._owed:
                self._acknowledge()
                self._last = packet
                if self._together:
                    self._together.answered()
                return packet
            self._feed(data)
        return None

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        self._turn_due = monotonic() + _TURN_SECONDS

    async def _wait(self, timeout_s: float | None) -> None:
        if self._waiter:
            raise WrongState("another task waits for the stub already: one at a time")
        waiter = self._waiter = self._loop.create_future()
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, self._wake)
        try:
            await waiter
        finally:
            self._waiter = None
            self._turn_due = monotonic() + _TURN_SECONDS
            if timer:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _readable(self) -> None:
        self._feed(self._received(socket.MSG_DONTWAIT))

    def _received(self, flags: int) -> bytes:
        """What came, or comes soon; nothing when there was nothing, or the link broke."""
        try:
            data = self._socket.recv(READ_BYTES, flags)
        except BlockingIOError:
            return b""
        except OSError as error:
            self.fail(_gone(str(error.strerror)))
            return b""
        if not data:
            self.fail(_gone("the stub closed the connection"))
        return data

    def _feed(self, data: bytes) -> None:
        try:
            for one in self._unpacker.feed(data):
                self._take(one)
            self._require_sense()
        except ProtocolBroken as error:
            self.fail(error)

    def _require_sense(self) -> None:
        if len(self._packets) > MAX_WAITING:
            raise ProtocolBroken("the stub floods us with packets that nobody asked for")
        if self._unpacker.dropped > MAX_NOISE:
            raise ProtocolBroken("the stub sends bytes that are no packets, without end")

    def _take(self, one: Received) -> None:
        if one.kind is Kind.PACKET:
            self._acknowledge()
            if self._owed:
                self._owed -= 1
                return
            self._packets.append(one.payload)
            self._wake()
        elif one.kind is Kind.DAMAGED:
            self._again(_NAK, one.payload)
        elif one.kind is Kind.NAK and self.acks:
            self._again(self._sent, b"-")

    def _acknowledge(self) -> None:
        if self.lazy:
            self._due = self.acks
        elif self.acks:
            self.send_raw(_ACK)

    def _again(self, what: bytes, received: bytes) -> None:
        """Ask for a packet again, or send ours again: only where packets are acknowledged."""
        if not self.acks:
            raise ProtocolBroken("a packet of the stub has a wrong checksum", received=received)
        self._resends += 1
        if self._resends > MAX_RESENDS:
            raise ProtocolBroken("packets are damaged again and again", received=received)
        self.send_raw(what)

    def _writable(self) -> None:
        try:
            del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(_gone(str(error.strerror)))
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket)


def _let_wait(connection: socket.socket) -> None:
    """``recv`` waits for a moment then, and on a Unix socket not only for an acknowledgement."""
    connection.setblocking(True)
    moment = struct.pack("@ll", 0, _SOON_US)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, moment)
    if connection.family == socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MIN_PACKET)


def _gone(why: str) -> StubGone:
    return StubGone(
        f"the stub is gone: {why}",
        advice="Its machine may have died, or another debugger may hold the stub.",
    )
