"""The server: one thread, one client at a time, the guest's whole life long."""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
from pathlib import Path
from typing import Self

from timehands.errors import ProtocolBroken, TimehandsError
from timehands.monitor.breakpoints import Breakpoints
from timehands.monitor.gdb_server.control import Control
from timehands.monitor.gdb_server.packets import Kind, Received, Unpacker, frame
from timehands.monitor.gdb_server.registers import Architecture
from timehands.monitor.gdb_server.session import Session
from timehands.monitor.gdb_server.sockets import is_ours, listen
from timehands.monitor.microvm import Microvm

_READ_BYTES = 64 << 10
#: How long a client may take to take what it asked for.
SEND_SECONDS = 10.0
#: A packet is sent again so often when the client says that it came damaged.
MAX_RESENDS = 8
#: How soon a guest is seen to have ended.
_LOOK_SECONDS = 0.1


def serve(
    guest: Microvm,
    where: Path | socket.socket,
    *,
    architecture: Architecture = Architecture.X86_64,
    breakpoints: Breakpoints | None = None,
) -> GdbServer:
    """Serve a guest that has not run yet, or runs: see `GdbServer`. It is a context manager.

    ``where``: the path of a Unix socket to make, or a connected socket (it is closed with the
    client). ``architecture``: what clients are to take the guest for; `Architecture.of` its kernel.
    ``breakpoints``: the guest's, where others use them too. Raises `MachineError`.
    """
    return GdbServer(guest, where, architecture, breakpoints or Breakpoints(guest))


class GdbServer:
    """Lets debuggers attach to a guest, one at a time.

    When one attaches the guest stops, and stands still until it says ``continue``: a guest that was
    never resumed is held before its first instruction that way. When it detaches the guest runs on.
    When it is gone without a word its breakpoints are removed, and the guest stays as it is; the
    next one can attach. When the guest ends the client is told so, and none can attach any more.

    Attributes:
        where: the socket's path; None for a socket that was given.
        attached: set while a client is attached.
    """

    def __init__(
        self,
        guest: Microvm,
        where: Path | socket.socket,
        architecture: Architecture,
        breakpoints: Breakpoints,
    ) -> None:
        self.where = where if isinstance(where, Path) else None
        self.attached = threading.Event()
        self._guest, self._breakpoints = guest, breakpoints
        self._architecture = architecture
        self._listener = listen(where) if isinstance(where, Path) else None
        self._given = where if isinstance(where, socket.socket) else None
        self._woken, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="gdb server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take leave of the client, and end. Breakpoints go; the guest stays as it is.

        To be called before the guest is closed.
        """
        self._closing = True
        self._wake()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake; closed: it has ended
            self._wakes.send(b".")

    @property
    def _goes_on(self) -> bool:
        return not self._closing and self._guest.ending is None

    def _work(self) -> None:
        try:
            if self._given is not None:
                self._serve(self._given)
            while self._listener is not None and self._goes_on:
                connection = self._accept(self._listener)
                if connection is not None:
                    self._serve(connection)
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        if self._listener is not None and self.where is not None:
            self._listener.close()
            self.where.unlink(missing_ok=True)
        self._woken.close()
        self._wakes.close()

    def _accept(self, listener: socket.socket) -> socket.socket | None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while self._goes_on:
                for key, _ in selector.select(_LOOK_SECONDS):
                    if key.fileobj is listener:
                        connection = listener.accept()[0]
                        if is_ours(connection):
                            return connection
                        connection.close()
                    else:
                        self._woken.recv(_READ_BYTES)
        return None

    def _serve(self, connection: socket.socket) -> None:
        """One client, until it has gone, or the guest has, or we are to close."""
        control = Control(self._guest, self._breakpoints, self._wake)
        client, session = Wire(connection), None
        try:
            session = Session(control, self._architecture)
            self.attached.set()
            self._converse(client, session)
        except (OSError, TimehandsError, ValueError) as error:
            # The client is gone, makes no sense, or the guest was closed: nobody to tell but it.
            client.say(f"{error}\n")
        finally:
            self.attached.clear()
            if session and not session.over and self._guest.ending is None:
                with contextlib.suppress(TimehandsError, ValueError):
                    session.leave()
            client.close()

    def _converse(self, client: Wire, session: Session) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client.socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            while not self._closing and not session.over:
                for key, _ in selector.select(_LOOK_SECONDS):
                    if key.fileobj is client.socket:
                        for one in client.receive():
                            self._take(one, client, session)
                    elif key.fileobj is self._woken:
                        self._woken.recv(_READ_BYTES)
                    elif self._listener is not None and not client.has_more():
                        self._listener.accept()[0].close()  # one at a time
                self._tell_stop(client, session)

    def _take(self, one: Received, client: Wire, session: Session) -> None:
        if session.over:
            return
        if one.kind is Kind.INTERRUPT:
            client.send(session.interrupt())
        elif one.kind is Kind.NAK and session.acks:
            client.resend()
        elif one.kind is Kind.DAMAGED and session.acks:
            client.send(None, b"-")
        elif one.kind is Kind.PACKET:
            ack = b"+" if session.acks else b""
            client.send(None if session.running else session.ask(one.payload), ack)

    def _tell_stop(self, client: Wire, session: Session) -> None:
        if not session.running:
            return
        stop = session.poll()
        if session.over:
            client.send(session.last_words or None)
        client.send(stop)


class Wire:
    """A client's socket. Raises OSError when it is gone, or takes nothing for `SEND_SECONDS`."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.settimeout(SEND_SECONDS)
        self._unpacker = Unpacker()
        self._last, self._resent = b"", 0

    def receive(self) -> list[Received]:
        """What has come, of which there is some. Raises `ProtocolBroken`."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("the client closed the connection")
        return self._unpacker.feed(data)

    def has_more(self) -> bool:
        """Whether something has come that was not received yet, or the client has gone."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))

    def send(self, payload: bytes | None, ack: bytes = b"") -> None:
        """An acknowledgement, or none, and a packet, or none for None."""
        if payload is not None:
            self._last, self._resent = frame(payload), 0
            ack += self._last
        self.socket.sendall(ack)

    def resend(self) -> None:
        """The last one again. Raises `ProtocolBroken` when that has been too often."""
        self._resent += 1
        if self._resent > MAX_RESENDS:
            raise ProtocolBroken("the client finds all packets damaged")
        self.socket.sendall(self._last)

    def say(self, words: str) -> None:
        """Text for the client's user, if it is still there."""
        with contextlib.suppress(OSError):
            self.socket.sendall(frame(b"O" + words.encode(errors="replace").hex().encode()))

    def close(self) -> None:
        """Close it."""
        self.socket.close()
