"""The host's side of the talk with the conformance guest.

`talk` listens to what a VMM's serial line says, answers, does to the machine what the guest asks
for, and keeps the log. A `Vmm` is any thing with a serial line; payloads/conform_host.c is the
other end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from timehands.conform.log import MAX_LINE, MAX_LINES, Line
from timehands.errors import TimehandsError

#: How many samples are asked for in a row, and how long is waited before some of the rows.
SAMPLES = 16
GAP_SECONDS = 0.2
MAX_BYTES = 4 << 20
Heard = asyncio.Queue[tuple[int, bytes] | None]


class Vmm(Protocol):
    """A machine with the conformance guest in it, running."""

    #: What `do` can: ``pause``, ``snapshot``, ``migration``.
    can: frozenset[str]
    #: Why it cannot do others.
    cannot: Mapping[str, str]
    #: What comes from the serial line: (host ns, bytes); None when the machine has ended.
    heard: Heard

    def send(self, data: bytes) -> None:
        """Type on its serial line."""

    async def do(self, what: str, /) -> str:
        """Do it to the machine. Returns words (``key=value``) for the log.

        Raises `TimehandsError` when it cannot be done after all.
        """


@dataclass(slots=True)
class Talk:
    """What is being said. ``over`` tells why it ended: ``ended``, ``timeout``, ``flood``."""

    vmm: Vmm
    lines: list[Line] = field(default_factory=list)
    over: str = ""
    _rest: bytearray = field(default_factory=bytearray)
    _rest_ns: int = 0
    _bytes: int = 0
    _row: str = ""
    _left: int = 0
    _wish: str = ""

    def note(self, words: str) -> None:
        """A line of the host's side, at this moment."""
        self.lines.append(Line(time.monotonic_ns(), f"> {words}"))

    def listen(self, host_ns: int, data: bytes) -> list[str]:
        """Bytes that came. Returns the lines that they complete; they are in the log."""
        self._bytes += len(data)
        if self._bytes > MAX_BYTES or len(self.lines) > MAX_LINES:
            self.over = "flood"
            return []
        texts = []
        *ended, rest = data.split(b"\n")
        for piece in ended:
            texts.append(self._line(host_ns, piece))
        if not self._rest:
            self._rest_ns = host_ns
        self._rest += rest[: MAX_LINE - len(self._rest)]
        return texts

    def _line(self, host_ns: int, piece: bytes) -> str:
        began_ns = self._rest_ns if self._rest else host_ns
        raw = (bytes(self._rest) + piece)[:MAX_LINE]
        self._rest.clear()
        text = raw.decode("ascii", errors="replace").strip("\r")
        if text.lstrip().startswith(">"):  # the host's side alone begins a line so
            text = f"?{text}"
        self.lines.append(Line(began_ns, text))
        return text

    async def answer(self, text: str) -> None:
        """Do what a line of the guest asks for."""
        if text == "H hello":
            self._say(b"h")
        elif text.startswith("H row "):
            await self._begin_row(text.removeprefix("H row ")[:32])
        elif text.startswith("S "):
            self._next_sample()
        elif text.startswith("H do "):
            self._consider(text.removeprefix("H do "))
        elif text == "H ready":
            await self._do(self._wish)

    def _consider(self, what: str) -> None:
        self._wish = what
        if what in self.vmm.cannot:
            self.note(f"cannot{what} why={_one_word(self.vmm.cannot[what])}")
        self._say(b"a" if what in self.vmm.can else b"n")

    async def _begin_row(self, row: str) -> None:
        if row == self._row:
            await asyncio.sleep(GAP_SECONDS)
        self._row, self._left = row, SAMPLES
        self._next_sample()

    def _next_sample(self) -> None:
        if self._left <= 0:
            self._say(b"q")
            return
        self._left -= 1
        self.note("asked")
        self._say(b"s")

    async def _do(self, what: str) -> None:
        if what not in self.vmm.can:
            return
        began_ns = time.monotonic_ns()
        try:
            words = await self.vmm.do(what)
        except TimehandsError as error:
            self.note(f"failed{what} why={_one_word(error.message)}")
        else:
            self.note(f"{what} from={began_ns:#x} to={time.monotonic_ns():#x} {words}")
        self._say(b"d")

    def _say(self, byte: bytes) -> None:
        self.vmm.send(byte)


def _one_word(text: str) -> str:
    """Words as the log has them: in one."""
    return "-".join(text.split())[:200]


async def talk(vmm: Vmm, seconds: float) -> Talk:
    """Talk with the guest until its machine ends, so long at most. Raises nothing of the guest's.

    The host's date goes into the log first, so that a log alone can be judged later.
    """
    said = Talk(vmm)
    said.note(f"date realtime={time.time_ns():#x} monotonic={time.monotonic_ns():#x}")
    try:
        async with asyncio.timeout(seconds):
            while not said.over and (heard := await vmm.heard.get()) is not None:
                for text in said.listen(*heard):
                    await said.answer(text)
            said.over = said.over or "ended"
    except TimeoutError:
        said.over = "timeout"
    said.note(f"over why={said.over}")
    return said
