"""QMP without the events of stopping and going on: for a guest that a debugger stops often.

QEMU tells of each stop and each going on by an event, four of them for one breakpoint; a QMP
library parses, prints and queues each, which costs more than the stop. Whoever steers the guest
knows of them anyway. So they are taken out of the stream of bytes before the library sees it.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Final

#: Such an event, whole: QEMU docs/interop/qmp-spec.rst, "Asynchronous events"; qapi/run-state.json.
_STOPS: Final = re.compile(
    rb'^\{"timestamp": \{[^{}\r\n]*\}, "event": "(?:STOP|RESUME)"\}\r?\n', re.MULTILINE
)
_READ_BYTES: Final = 64 << 10
#: A line of QMP that is longer is passed on in pieces, as it comes.
_MAX_LINE: Final = 64 << 10


def quiet(qmp: socket.socket) -> socket.socket:
    """A socket to use QMP by in place of ``qmp``, which is closed when either end is.

    To be called from the event loop, which passes on what comes. STOP and RESUME events do not come
    through; everything else does, in order.
    """
    inner, outer = socket.socketpair()
    for end in (qmp, inner, outer):
        end.setblocking(False)
    _Relay(qmp, inner)
    return outer


class Sieve:
    """Takes bytes in any pieces, gives whole lines that are no such events."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        """What is to be passed on. Empty ``data`` is the end."""
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if not data or len(rest) > _MAX_LINE:
            whole, newline, rest = whole + newline + rest, b"", b""
        self._rest = rest
        return _STOPS.sub(b"", whole + newline)


class _Relay:
    """Two sockets joined: what comes from the one goes to the other, until one of them closes."""

    def __init__(self, qmp: socket.socket, inner: socket.socket) -> None:
        self._ends = (qmp, inner)
        _Pipe(qmp, inner, Sieve(), self.close)
        _Pipe(inner, qmp, bytes, self.close)

    def close(self) -> None:
        """Close both, once."""
        loop = asyncio.get_running_loop()
        for end in self._ends:
            if end.fileno() >= 0:
                loop.remove_reader(end)
                loop.remove_writer(end)
                end.close()


class _Pipe:
    """One direction. It reads no more while the receiver takes nothing."""

    def __init__(
        self,
        source: socket.socket,
        target: socket.socket,
        sieve: Callable[[bytes], bytes],
        close: Callable[[], None],
    ) -> None:
        self._source, self._target, self._sieve, self._close = source, target, sieve, close
        self._loop = asyncio.get_running_loop()
        self._waiting = b""
        self._ended = False
        self._loop.add_reader(source, self._readable)

    def _readable(self) -> None:
        try:
            data = self._source.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._ended = not data
        self._waiting = self._sieve(data)
        self._writable()

    def _writable(self) -> None:
        try:
            while self._waiting:
                self._waiting = self._waiting[self._target.send(self._waiting) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody is there any more
            self._waiting, self._ended = b"", True
        if self._waiting:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._writable)
        elif self._ended:
            self._close()
        else:
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._readable)
