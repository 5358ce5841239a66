"""The parts of a client's requests. Everything here may raise `BadRequest`: nothing is trusted."""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from timehands.errors import BreakpointImpossible
from timehands.monitor.breakpoints import Kind, Point
from timehands.monitor.gdb_server.control import Action, Go, Step

_MAX_DIGITS = 16
_TOP = 1 << 64
#: Of vCont, in one request.
_MAX_ACTIONS = 256
#: All threads, or all of a process; any one.
ALL, ANY = -1, 0
#: The digit of a Z packet. Processors have no watchpoint for reads alone.
KINDS: Mapping[bytes, Kind] = {
    b"0": Kind.SOFTWARE,
    b"1": Kind.EXECUTE,
    b"2": Kind.WRITE,
    b"4": Kind.ACCESS,
}
READ_WATCHPOINT = b"3"


class BadRequest(Exception):
    """A request that makes no sense, or cannot be met. The words go to the client."""


class Thread(NamedTuple):
    """A thread id: ``number`` from 1, or `ALL`, or `ANY`."""

    number: int

    def vcpus(self, count: int) -> Sequence[int]:
        """The vCPUs that it means. Raises `BadRequest` when there is none such."""
        if self.number == ALL:
            return range(count)
        if self.number == ANY:
            return range(1)
        if self.number > count:
            raise BadRequest(f"no thread {self.number}")
        return (self.number - 1,)


def number(text: bytes) -> int:
    """An unsigned hexadecimal number of at most 64 bits."""
    if not text or len(text) > _MAX_DIGITS or not _is_hex(text):
        raise BadRequest("no hexadecimal number")
    return int(text, 16)


def data(text: bytes) -> bytes:
    """Bytes in hexadecimal."""
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        raise BadRequest("no bytes in hexadecimal") from None


def span(text: bytes) -> tuple[int, int]:
    """``address,length``; neither goes beyond 64 bits."""
    address, comma, length = text.partition(b",")
    if not comma:
        raise BadRequest("an address and a length are wanted")
    at, size = number(address), number(length)
    if at + size > _TOP:
        raise BadRequest("beyond the last address")
    return at, size


def thread(text: bytes) -> Thread:
    """``1``, ``-1``, ``0``, and with the one process that there is: ``p1.1``, ``p1``."""
    if text.startswith(b"p"):
        process, dot, text = text[1:].partition(b".")
        if process != b"-1" and number(process) not in (0, 1):
            raise BadRequest("there is one process, with the number 1")
        if not dot:
            return Thread(ALL)
    return Thread(ALL if text == b"-1" else number(text))


def point(text: bytes) -> Point:
    """What follows Z or z: ``kind,address,length``. Conditions and commands are not offered."""
    digit, _, rest = text.partition(b",")
    address, length = span(rest.partition(b";")[0])
    if digit == READ_WATCHPOINT:
        raise BadRequest("x86 has no watchpoint for reads alone: watch all accesses (awatch)")
    kind = KINDS.get(digit)
    if kind is None:
        raise BadRequest("no such kind of breakpoint")
    try:
        return Point(address, kind, 1 if kind.executes else length)
    except BreakpointImpossible as error:
        raise BadRequest(error.message) from None


def actions(text: bytes, vcpus: int) -> dict[int, Action]:
    """What follows ``vCont``: for each vCPU the first action that names it."""
    found: dict[int, Action] = {}
    items = text.split(b";")
    if items[0] or len(items) > _MAX_ACTIONS:
        raise BadRequest("vCont wants actions")
    for item in items[1:]:
        word, colon, who = item.partition(b":")
        action = _action(word)
        for vcpu in (thread(who) if colon else Thread(ALL)).vcpus(vcpus):
            found.setdefault(vcpu, action)
    if not found:
        raise BadRequest("vCont wants actions")
    return found


def _action(word: bytes) -> Action:
    """``c``, ``s``, either with a signal (of which a guest knows nothing), or ``rSTART,END``."""
    letter, rest = word[:1], word[1:]
    if letter in (b"c", b"s") and not rest:
        return Go() if letter == b"c" else Step()
    if letter in (b"C", b"S") and number(rest) < 1 << 8:
        return Go() if letter == b"C" else Step()
    if letter == b"r":
        start, comma, end = rest.partition(b",")
        if comma:
            return Step(number(start), number(end))
    raise BadRequest("no such action")


def _is_hex(text: bytes) -> bool:
    return not text.strip(b"0123456789abcdefABCDEF")
