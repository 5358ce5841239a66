"""A client of the GDB remote protocol that sends what a test says, and nothing else."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

#: After this a server that says nothing has failed its test.
PATIENCE_S = 60.0


class RawClient:
    """Connected by a path, or a socket. A context manager. Packets are not acknowledged."""

    def __init__(self, where: Path | socket.socket, *, no_ack: bool = True) -> None:
        if isinstance(where, Path):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.connect(str(where))
        else:
            self.socket = where
        self.socket.settimeout(PATIENCE_S)
        self._buffer = b""
        if no_ack:
            assert self.ask(b"QStartNoAckMode") == b"OK"
            self.socket.sendall(b"+")

    def send(self, payload: bytes) -> None:
        """One packet."""
        self.socket.sendall(b"$%b#%02x" % (payload, sum(payload) & 0xFF))

    def receive(self) -> bytes:
        """The next packet's payload, as it came. Raises `EOFError` when the server has closed."""
        while (end := self._buffer.find(b"#")) < 0 or len(self._buffer) < end + 3:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        packet, self._buffer = self._buffer[: end + 3], self._buffer[end + 3 :]
        body = packet[packet.index(b"$") + 1 : end]
        assert int(packet[-2:], 16) == sum(body) & 0xFF
        return body

    def ask(self, payload: bytes) -> bytes:
        """The reply to a packet."""
        self.send(payload)
        return self.receive()

    def stop(self) -> bytes:
        """Interrupt the guest; what it says to that."""
        self.socket.sendall(b"\x03")
        return self.receive()

    def poke(self, wire: bytes) -> bool:
        """Send any bytes, and drop what has come. False: the server has closed the connection."""
        try:
            self.socket.sendall(wire)
            has_come = bool(select.select([self.socket], [], [], 0)[0])
            return not has_come or self.socket.recv(65536) != b""
        except OSError:
            return False

    def gone(self) -> bool:
        """Send no more, and wait until the server has closed the connection."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()
