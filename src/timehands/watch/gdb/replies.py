"""Replies of a stub as values: stop replies, thread ids, numbers and bytes in hexadecimal.

GDB manual, "Remote Protocol": "Stop Reply Packets", "Packets" (thread-id syntax).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from timehands.errors import ProtocolBroken

SIGINT: Final = 2
SIGTRAP: Final = 5
SIGABRT: Final = 6
_WATCHES: Final = frozenset((b"watch", b"rwatch", b"awatch"))
_BREAKS: Final = frozenset((b"swbreak", b"hwbreak"))
_MAX_DIGITS: Final = 16
_MAX_FIELDS: Final = 512


class ThreadId(NamedTuple):
    """A thread (of QEMU: a vCPU, numbered from 1), and its process; 0 any, -1 all.

    ``process`` is None where the stub does not tell processes apart.
    """

    process: int | None
    thread: int

    def wire(self) -> bytes:
        """The id as it stands in a packet."""
        thread = b"-1" if self.thread == -1 else b"%x" % self.thread
        if self.process is None:
            return thread
        return b"p%b.%b" % (b"-1" if self.process == -1 else b"%x" % self.process, thread)


class Cause(Enum):
    """What a stop reply tells; the value is the letter or word of the protocol."""

    SIGNAL = "T"
    BREAKPOINT = "swbreak"
    HARDWARE_BREAKPOINT = "hwbreak"
    WRITE = "watch"
    READ = "rwatch"
    ACCESS = "awatch"
    EXITED = "W"
    KILLED = "X"
    NOTHING_RUNS = "N"


@dataclass(frozen=True, slots=True)
class StopReply:
    """Why the guest stands still.

    ``signal`` is the number of GDB's own signal (5 trap, 2 interrupt, 6 abort); ``address`` what a
    watchpoint saw; ``registers`` the values that came along, as raw bytes by register number;
    ``status`` the exit status of `Cause.EXITED`; ``note`` what we have to say to it. Only the
    plugin tells (`timehands.watch.stops.inside`) ``host_ns``, when it stopped (CLOCK_MONOTONIC),
    and ``memory``, whole blocks of its stack with their address.
    """

    cause: Cause
    signal: int = 0
    thread: ThreadId | None = None
    address: int | None = None
    registers: Mapping[int, bytes] = field(default_factory=dict)
    status: int | None = None
    note: str = ""
    host_ns: int | None = None
    memory: tuple[int, bytes] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is no guest any more."""
        return self.cause in (Cause.EXITED, Cause.KILLED, Cause.NOTHING_RUNS)


@lru_cache(maxsize=16)  # a guest that is stopped often is stopped for the same reason
def parse_stop(packet: bytes) -> StopReply:
    """A stop reply: T, S, W, X or N. Raises `ProtocolBroken` when it is none."""
    letter, rest = packet[:1], packet[1:]
    if letter == b"T":
        return _parse_t(packet)
    if letter == b"S":
        return StopReply(Cause.SIGNAL, _signal(rest[:2], packet))
    if letter == b"N" and not rest:
        return StopReply(Cause.NOTHING_RUNS)
    if letter in (b"W", b"X") and rest:
        status = number(rest.split(b";")[0])
        if letter == b"W":
            return StopReply(Cause.EXITED, status=status)
        return StopReply(Cause.KILLED, signal=status)
    raise ProtocolBroken(f"the stub sent a stop reply that is none: {packet[:60]!r}")


def _parse_t(packet: bytes) -> StopReply:
    cause, thread, address = Cause.SIGNAL, None, None
    registers: dict[int, bytes] = {}
    signal = _signal(packet[1:3], packet)
    for item in packet[3:].split(b";", _MAX_FIELDS):
        name, _, value = item.partition(b":")
        if name == b"thread":
            thread = parse_thread(value)
        elif name in _WATCHES:
            cause, address = Cause(name.decode()), number(value)
        elif name in _BREAKS:
            cause = Cause(name.decode())
        elif _is_register(name, value):
            registers[int(name, 16)] = bytes.fromhex(value.decode())
    return StopReply(cause, signal, thread, address, registers)


def _signal(digits: bytes, packet: bytes) -> int:
    if len(digits) != 2 or not _is_hex(digits):
        raise ProtocolBroken(f"a stop reply without a signal: {packet[:60]!r}", received=packet)
    return int(digits, 16)


def parse_thread(text: bytes) -> ThreadId:
    """A thread id (``1``, ``-1``, ``p1.2``). Raises `ProtocolBroken`."""
    if not text.startswith(b"p"):
        return ThreadId(None, _count(text))
    process, dot, thread = text[1:].partition(b".")
    return ThreadId(_count(process), _count(thread) if dot else -1)


def _count(text: bytes) -> int:
    return -1 if text == b"-1" else number(text)


def number(text: bytes) -> int:
    """An unsigned hexadecimal number, most significant digit first. Raises `ProtocolBroken`."""
    if not text or len(text) > _MAX_DIGITS or not _is_hex(text):
        raise ProtocolBroken(f"no hexadecimal number: {text[:40]!r}", received=text)
    return int(text, 16)


def unhex(text: bytes) -> bytes:
    """Bytes in hexadecimal. Raises `ProtocolBroken`."""
    try:
        return binascii.unhexlify(text)  # takes digits only, `bytes.fromhex` also spaces
    except binascii.Error:
        raise ProtocolBroken(f"no bytes in hexadecimal: {text[:40]!r}", received=text) from None


def is_error(packet: bytes) -> bool:
    """Whether a reply is an error: ``E`` and two digits, or ``E.`` and words."""
    return packet[:1] == b"E" and (
        packet[1:2] == b"." or (len(packet) == 3 and _is_hex(packet[1:]))
    )


def _is_register(name: bytes, value: bytes) -> bool:
    return 0 < len(name) <= 4 and _is_hex(name) and len(value) % 2 == 0 and _is_hex(value)


def _is_hex(text: bytes) -> bool:
    """Only digits (`bytes.fromhex` and `int` also take spaces and underscores)."""
    return not text.strip(b"0123456789abcdefABCDEF")
