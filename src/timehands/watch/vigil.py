"""Telling a guest that hangs from one that takes its time.

A guest that has done nothing new for a while is stopped for a moment, several times, and its
registers are read. Each vCPU then is one of these:

- *dead*: halted with interrupts off; only a reset can wake it,
- *waiting*: halted at some look, an interrupt can wake it,
- *circling*: it goes round in the same few states. A state is all general registers: a loop that
  counts, copies, decompresses or reads a running clock is in another one each time,
- *busy*: anything else.

A guest whose vCPUs are all dead is halted. It hangs when none is busy and at least one circles, and
is idle when it only waits, for long. A busy one goes on until its time is over.

The verdict does not depend on how fast this host is: a look counts only when QEMU has used CPU time
since the one before, and a hang needs two rounds of looks with nothing new between them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from timehands.errors import MachineError
from timehands.watch.recording import Header, Spot

#: A guest that does nothing new for this long is looked at, and again after the second time.
QUIET_SECONDS = 3.0
AGAIN_SECONDS = 2.0
#: How long a guest may wait for interrupts: kernels sleep for some seconds (Linux gives up on
#: deferred probes after 10 s, drivers/base/dd.c driver_deferred_probe_timeout).
IDLE_SECONDS = 15.0
LOOKS = 8
#: Rounds of looks that a hang needs.
ROUNDS = 2
#: QEMU uses this much CPU time between two looks, or the looks do not count.
BETWEEN_NS = 20_000_000
LONGEST_BETWEEN_SECONDS = 1.0
#: A circling vCPU is in each of its states at least this often, on average.
LOOKS_A_STATE = 2
_CPU = re.compile(r"^CPU#(\d+)", re.MULTILINE)
_RIP = re.compile(r"\b[RE]IP=([0-9a-f]+) [RE]FL=([0-9a-f]+).*?HLT=(\d)", re.DOTALL)
_GENERAL = re.compile(r"\b([RE]\w\w?) ?=([0-9a-f]+)")
_INTERRUPT_FLAG = 1 << 9


class Held(Protocol):
    """What is watched over: a `timehands.machines.vmm.Running`, or one that is held otherwise."""

    async def pause(self) -> None:
        """Stop its vCPUs. Raises `MachineError`."""

    async def resume(self) -> None:
        """Let them go on. Raises `MachineError`."""

    async def registers(self) -> str:
        """Their registers as QEMU's monitor prints them."""

    def cpu_ns(self) -> int | None:
        """The CPU time that QEMU has used; None when it is gone."""


class Verdict(Enum):
    """What becomes of a guest that is quiet; the value is the reason of its end."""

    HALTED = "halted"
    HUNG = "hung"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Look:
    """A vCPU at one moment: where it was, and its general registers as QEMU prints them."""

    spot: Spot
    registers: str


class Doing(Enum):
    """What a vCPU does, by several looks at it."""

    DEAD = 0
    WAITING = 1
    CIRCLING = 2
    BUSY = 3


@dataclass(slots=True)
class Vigil:
    """Watches over one guest that may hang; what it saw last is in the header's ``spots``."""

    guest: Held
    header: Header
    quiet_s: float = QUIET_SECONDS
    _looks: list[Look] = field(default_factory=list)
    _rounds: int = 0
    _news_ns: int = 0
    _looked_ns: int = 0

    def next_look(self, news_ns: int) -> float:
        """When to look, by the monotonic clock in s; ``news_ns``: when it last did a new thing."""
        quiet = news_ns / 1e9 + self.quiet_s
        return max(quiet, self._looked_ns / 1e9 + min(AGAIN_SECONDS, self.quiet_s))

    async def judge(self, news_ns: int, idle_s: float | None = None) -> Verdict | None:
        """Look at the guest if it is time to. None: it may yet go on.

        ``idle_s``: how long it may wait for interrupts, `IDLE_SECONDS` unless told otherwise.
        """
        if time.monotonic() < self.next_look(news_ns):
            return None
        if news_ns != self._news_ns:
            self._news_ns, self._rounds = news_ns, 0
            self._looks.clear()
        looks = await self._round()
        self._looked_ns = time.monotonic_ns()
        if not looks:
            return None
        self._rounds += 1
        self._looks += looks
        self.header.spots = spots_of(looks)
        quiet_s = (self._looked_ns - news_ns) / 1e9
        return verdict(self._looks, self._rounds, quiet_s, idle_s or IDLE_SECONDS)

    async def _round(self) -> list[Look]:
        """Some looks, with work of the guest between them; none when QEMU is gone or starved."""
        looks: list[Look] = []
        for _ in range(LOOKS):
            now = await look(self.guest)
            if not now or not await self._let_it_work(now):
                return []
            looks += now
        return looks

    async def _let_it_work(self, seen: Sequence[Look]) -> bool:
        """Let QEMU have some CPU time; a guest that waits needs none."""
        start_ns, until = self.guest.cpu_ns(), time.monotonic() + LONGEST_BETWEEN_SECONDS
        while True:
            await asyncio.sleep(BETWEEN_NS / 1e9)
            now_ns = self.guest.cpu_ns()
            if start_ns is None or now_ns is None:
                return False
            if all(one.spot.halted for one in seen) or now_ns - start_ns >= BETWEEN_NS:
                return True
            if time.monotonic() > until:
                return False


def verdict(
    looks: Iterable[Look], rounds: int, quiet_s: float, idle_s: float = IDLE_SECONDS
) -> Verdict | None:
    """What the looks at a guest say that has done nothing new for ``quiet_s``.

    ``idle_s``: how long it may wait for interrupts.
    """
    by_vcpu: defaultdict[int, list[Look]] = defaultdict(list)
    for one in looks:
        by_vcpu[one.spot.vcpu].append(one)
    doings = {doing(seen) for seen in by_vcpu.values()}
    if not doings or Doing.BUSY in doings:
        return None
    if doings == {Doing.DEAD}:
        return Verdict.HALTED
    if Doing.WAITING in doings and quiet_s < idle_s:
        return None
    if Doing.CIRCLING in doings:
        return Verdict.HUNG if rounds >= ROUNDS else None
    return Verdict.IDLE


def doing(looks: Sequence[Look]) -> Doing:
    """What one vCPU does, by at least one look at it."""
    if all(one.spot.halted and not one.spot.interrupts for one in looks):
        return Doing.DEAD
    if any(one.spot.halted for one in looks):
        return Doing.WAITING
    states = {one.registers for one in looks}
    return Doing.CIRCLING if len(states) * LOOKS_A_STATE <= len(looks) else Doing.BUSY


async def look(guest: Held) -> list[Look]:
    """Stop the guest for a moment and see where its vCPUs are; nothing when QEMU is gone.

    A vCPU that runs keeps its instruction pointer to itself: it has to be stopped.
    """
    try:
        await guest.pause()
        seen = parse_registers(await guest.registers())
        await guest.resume()
        return seen
    except MachineError:
        return []


def spots_of(looks: Iterable[Look]) -> tuple[Spot, ...]:
    """Where the vCPUs were."""
    return tuple(one.spot for one in looks)


def parse_registers(text: str) -> list[Look]:
    """The vCPUs at one look, from what QEMU's monitor prints for ``info registers -a``."""
    looks = []
    parts = _CPU.split(text)[1:] or ["0", text]
    for number, body in zip(parts[::2], parts[1::2], strict=False):
        if match := _RIP.search(body):
            pc, flags, halted = int(match[1], 16), int(match[2], 16), match[3] == "1"
            spot = Spot(int(number), pc, halted, bool(flags & _INTERRUPT_FLAG))
            looks.append(Look(spot, _general(body)))
    return looks


def _general(body: str) -> str:
    return " ".join(f"{name}={value}" for name, value in _GENERAL.findall(body))
