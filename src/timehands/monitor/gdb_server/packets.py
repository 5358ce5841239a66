"""Packets of the GDB remote protocol, as a server gets and sends them (no I/O here).

GDB manual, appendix "Remote Protocol", "Overview": ``$payload#checksum``, acknowledged by ``+`` or
asked for again by ``-``; ``}`` escapes; a byte 3 between packets interrupts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from timehands.errors import ProtocolBroken

#: The longest payload that is taken or sent, in bytes; clients are told (``PacketSize``).
MAX_PAYLOAD = 0x4000
#: With the frame, and a byte that is escaped counted as two.
_MAX_RAW = 2 * MAX_PAYLOAD + 4
INTERRUPT = b"\x03"
_ESCAPED = frozenset(b"$#}*")
_ESCAPE = re.compile(rb"\}(.)", re.DOTALL)
_START = re.compile(rb"[$+\x03-]")
_DIGITS = re.compile(rb"[0-9a-fA-F]{2}")


class Kind(Enum):
    """What came."""

    PACKET = "packet"
    DAMAGED = "damaged"
    ACK = "+"
    NAK = "-"
    INTERRUPT = "interrupt"


class Received(NamedTuple):
    """One thing that came; ``payload`` is unescaped."""

    kind: Kind
    payload: bytes = b""


_SINGLE = {0x2B: Kind.ACK, 0x2D: Kind.NAK, 0x03: Kind.INTERRUPT}


def frame(payload: bytes) -> bytes:
    """A packet with this payload, which is escaped already where it needs be."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


def escape(data: bytes) -> bytes:
    """Any bytes as they may stand in a payload."""
    if not _ESCAPED.intersection(data):
        return data
    return b"".join(bytes((0x7D, b ^ 0x20)) if b in _ESCAPED else bytes((b,)) for b in data)


def unescape(data: bytes) -> bytes:
    """The bytes that were meant. Raises `ProtocolBroken` for an escape of nothing."""
    if b"}" in _ESCAPE.sub(b"", data):
        raise ProtocolBroken("a packet ends within an escape", received=data[:200])
    return _ESCAPE.sub(lambda found: bytes((found[1][0] ^ 0x20,)), data)


class Unpacker:
    """Takes bytes as they come, in any pieces, and gives what is whole. Holds one packet at most.

    Bytes between packets that mean nothing are dropped.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Received]:
        """What these bytes complete. Raises `ProtocolBroken` when a packet is too long, or bad."""
        self._buffer += data
        found: list[Received] = []
        while (one := self._next()) is not None:
            found.append(one)
        if len(self._buffer) > _MAX_RAW:
            raise ProtocolBroken(f"a packet is longer than {MAX_PAYLOAD:,} bytes")
        return found

    def _next(self) -> Received | None:
        start = _START.search(self._buffer)
        del self._buffer[: start.start() if start else len(self._buffer)]
        if not self._buffer:
            return None
        single = _SINGLE.get(self._buffer[0])
        if single is not None:
            del self._buffer[:1]
            return Received(single)
        return self._packet()

    def _packet(self) -> Received | None:
        end = self._buffer.find(b"#")
        if end < 0 or end + 3 > len(self._buffer):
            return None
        body, digits = bytes(self._buffer[1:end]), bytes(self._buffer[end + 1 : end + 3])
        again = body.rfind(b"$")
        if again >= 0:  # the end of a packet was lost and another one began
            del self._buffer[: again + 1]
            return Received(Kind.DAMAGED)
        del self._buffer[: end + 3]
        if not _DIGITS.fullmatch(digits) or int(digits, 16) != sum(body) & 0xFF:
            return Received(Kind.DAMAGED)
        payload = unescape(body)
        if len(payload) > MAX_PAYLOAD:
            raise ProtocolBroken(f"a packet is longer than {MAX_PAYLOAD:,} bytes")
        return Received(Kind.PACKET, payload)
