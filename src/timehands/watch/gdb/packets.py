"""Packets of the GDB remote protocol: bytes in, packets out, and the other way (no I/O here).

GDB manual, appendix "Remote Protocol", sections "Overview" (framing, checksum, escapes, run-length)
and "Notification Packets".
"""

from __future__ import annotations

import re
import zlib
from enum import Enum
from typing import Final, NamedTuple

from timehands.errors import ProtocolBroken

#: The largest packet that is taken, as it comes and after its run lengths: no stub needs more.
MAX_PACKET: Final = 1 << 20
_ESCAPED: Final = frozenset(b"$#}*")
_PLAIN: Final = re.compile(rb"[^$#}*%]*")
_STARTS: Final = re.compile(rb"[$%+-]")
_HEX: Final = re.compile(rb"[0-9a-fA-F]{2}")
_DIGITS: Final = tuple(b"%02x" % number for number in range(256))
#: So many bytes, or ASCII letters, cannot bring the first sum of an Adler-32 to its modulus, 65521.
_ADLER_BYTES: Final = 256
_ADLER_LETTERS: Final = 512


class Kind(Enum):
    """What came."""

    PACKET = "$"
    NOTICE = "%"  # a notification; never acknowledged
    ACK = "+"
    NAK = "-"
    DAMAGED = "damaged"  # a packet whose checksum is wrong


class Received(NamedTuple):
    """One thing that came; ``payload`` is unescaped, with run lengths spelt out."""

    kind: Kind
    payload: bytes = b""


_ACK: Final = Received(Kind.ACK)
_NAK: Final = Received(Kind.NAK)


def checksum(data: bytes) -> int:
    """The sum of the bytes modulo 256, as they are on the wire."""
    if len(data) <= _ADLER_BYTES:
        return zlib.adler32(data) - 1 & 0xFF  # 1 and the sum (RFC 1950, 9), in C
    size = _ADLER_LETTERS if data.isascii() else _ADLER_BYTES
    total = 0
    for at in range(0, len(data), size):
        total += zlib.adler32(data[at : at + size]) - 1
    return total & 0xFF


def escape(data: bytes) -> bytes:
    """Binary data as it may stand in a packet: ``$ # } *`` become ``}`` and the byte ^ 0x20."""
    if not _ESCAPED.intersection(data):
        return data
    return b"".join(bytes((0x7D, b ^ 0x20)) if b in _ESCAPED else bytes((b,)) for b in data)


def frame(payload: bytes) -> bytes:
    """A packet of an (escaped) payload: ``$payload#checksum``."""
    return b"$%b#%b" % (payload, _DIGITS[checksum(payload)])


def expand(body: bytes, limit: int = MAX_PACKET) -> bytes:
    """Undo escapes and run lengths. Raises `ProtocolBroken` on bad ones, or beyond ``limit``."""
    out = bytearray()
    at = 0
    while at < len(body):
        plain = _PLAIN.match(body, at)
        assert plain is not None
        out += plain[0]
        at = plain.end()
        if at < len(body):
            at = _expand_one(body, at, out)
        if len(out) > limit:
            raise ProtocolBroken(f"a packet is longer than {limit} bytes", received=body)
    return bytes(out)


def _expand_one(body: bytes, at: int, out: bytearray) -> int:
    """The special byte at ``at``; returns where to go on."""
    if body[at] not in b"}*":
        out.append(body[at])  # '%' is special only between packets, '$' never comes here
        return at + 1
    if at + 1 >= len(body):
        raise ProtocolBroken("a packet ends within an escape or a run length", received=body)
    if body[at] == 0x7D:
        out.append(body[at + 1] ^ 0x20)
        return at + 2
    count = body[at + 1] - 29
    if not out or not 3 <= count <= 97:
        raise ProtocolBroken("a packet has a run length that cannot be", received=body)
    out += out[-1:] * count
    return at + 2


class Unpacker:
    """Takes bytes as they come, in any pieces, and gives what is whole. Holds one packet at most.

    Bytes between packets that mean nothing are dropped, as the protocol says; ``dropped`` counts
    them.
    """

    def __init__(self, limit: int = MAX_PACKET) -> None:
        self.dropped = 0
        self._limit = limit
        self._buffer = bytearray()
        self._looked = 0

    def feed(self, data: bytes) -> list[Received]:
        """What these bytes complete. Raises `ProtocolBroken` when a packet is too long or bad."""
        found: list[Received] = []
        if not self._buffer:
            data = self._wholes(data, found)
        self._buffer += data
        while (one := self._next()) is not None:
            found.append(one)
        if len(self._buffer) > self._limit:
            raise ProtocolBroken(
                f"a packet is longer than {self._limit} bytes", received=bytes(self._buffer[:200])
            )
        return found

    def _wholes(self, data: bytes, found: list[Received]) -> bytes:
        """Adds the packets at the beginning that `whole` takes; returns the rest."""
        at = 0
        while (end := data.find(b"#", at) + 3) > 2 and end <= len(data):
            packet = self.whole(data[at:end])
            if packet is None:
                break
            if data[at] == 0x2B:
                found.append(_ACK)
            found.append(Received(Kind.PACKET, packet))
            at = end
        return data[at:]

    def whole(self, data: bytes) -> bytes | None:
        """The payload, where these bytes are one good packet that says what it means.

        That is the usual case, and told in a few searches. None: give them to `feed`.
        """
        start = 1 if data[:1] == b"+" else 0
        end = len(data) - 3
        if self._buffer or data.find(b"#") != end or data.rfind(b"$") != start:
            return None
        body = data[start + 1 : end]
        if b"}" in body or b"*" in body or data[end + 1 :] != _DIGITS[checksum(body)]:
            return None
        return body

    def _next(self) -> Received | None:
        start = _STARTS.search(self._buffer)
        skipped = start.start() if start else len(self._buffer)
        if skipped:
            self.dropped += skipped
            del self._buffer[:skipped]
        if not self._buffer:
            return None
        first = self._buffer[0]
        if first in b"+-":
            del self._buffer[:1]
            return _ACK if first == 0x2B else _NAK
        return self._packet()

    def _packet(self) -> Received | None:
        end = self._buffer.find(b"#", self._looked)
        if end < 0 or end + 3 > len(self._buffer):
            self._looked = max(0, len(self._buffer) - 1) if end < 0 else end
            return None
        self._looked = 0
        body, digits = bytes(self._buffer[1:end]), bytes(self._buffer[end + 1 : end + 3])
        first = self._buffer[0]
        again = body.rfind(b"$")
        if again >= 0:  # the end of a packet was lost and another one began
            del self._buffer[: again + 1]
            return Received(Kind.DAMAGED, body[:again])
        del self._buffer[: end + 3]
        return self._close(first, body, digits)

    def _close(self, first: int, body: bytes, digits: bytes) -> Received:
        if not _HEX.fullmatch(digits) or int(digits, 16) != checksum(body) or b"$" in body:
            return Received(Kind.DAMAGED, body)
        payload = body if b"*" not in body and b"}" not in body else expand(body, self._limit)
        return Received(Kind.PACKET if first == 0x24 else Kind.NOTICE, payload)
