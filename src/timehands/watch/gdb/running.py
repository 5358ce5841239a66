"""Letting a guest run and stop: breakpoints, steps, and going on from a breakpoint."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum
from typing import Final

from timehands.errors import ProtocolBroken, StubRefused
from timehands.watch.gdb.breakpoints import BreakKind, Breakpoint, BreakpointKinds
from timehands.watch.gdb.contents import Contents
from timehands.watch.gdb.hops import CODE_BYTES, hop
from timehands.watch.gdb.link import Link
from timehands.watch.gdb.replies import (
    SIGABRT,
    SIGINT,
    SIGTRAP,
    Cause,
    StopReply,
    ThreadId,
    is_error,
    parse_stop,
)
from timehands.watch.gdb.session import MAX_OUTPUT, State, require

#: An instruction that takes longer waits for something (``hlt``): it is interrupted.
STEP_SECONDS: Final = 1.0
_TRAPS: Final = (Cause.SIGNAL, Cause.BREAKPOINT, Cause.HARDWARE_BREAKPOINT)
_INTERRUPT: Final = b"\x03"


class Passing(Enum):
    """How a guest that stands on a breakpoint of ours is let go on; the fewest round trips first.

    QEMU's TCG steps from a breakpoint without hitting it (accel/tcg/cpu-exec.c,
    check_for_breakpoints_slow), and hits the next one at once when told to go on from it: ``s``,
    ``c``. Others are asked after the step where the guest is. Where a step does not get away from
    the breakpoint, it is lifted for the step.

    HOP is the fastest and has to be asked for (set `GdbClient.passing`; QEMU only): where the
    instruction under the breakpoint does little, we do it (hops.py), and the guest runs once and
    not twice. The guest then executes one instruction less: a plugin does not see it, and a clock
    that counts instructions does not count it.
    """

    HOP = "hop"
    STEP = "step"
    STEP_AND_LOOK = "step and look"
    LIFT = "lift"


class Running(Contents):
    """Run control. See `GdbClient`."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        super().__init__(link, timeout_s)
        self.kinds = BreakpointKinds()
        self.passing = Passing.STEP_AND_LOOK
        self.output = bytearray()
        self._inserted: dict[Breakpoint, BreakKind] = {}
        self._addresses: frozenset[int] = frozenset()
        self._stepping = False
        self._pending: StopReply | None = None
        self._hopped: int | None = None
        self._dead = ""

    def close(self) -> None:
        """Close the connection. QEMU keeps the guest as it is, breakpoints included."""
        self._link.close()
        if self.state is not State.LOST:
            self.state = State.ENDED

    @require(State.STOPPED)
    async def insert(self, point: Breakpoint) -> BreakKind:
        """Insert a breakpoint or watchpoint; returns the kind that was used (`BreakpointKinds`).

        Raises `StubRefused`: the stub does not know this kind, has no more of it (x86 hardware
        has four), or the memory is not mapped.
        """
        if point in self._inserted:
            return self._inserted[point]
        kind = self.kinds.choose(point.kind)
        what = f"insert a {kind.name.lower()} breakpoint at {point.address:#x}"
        await self.ask_ok(b"Z" + point.wire(kind), what)
        self._inserted[point] = kind
        self._index()
        return kind

    @require(State.STOPPED)
    async def remove(self, point: Breakpoint) -> None:
        """Remove one that was inserted; no other is an error. Raises `StubRefused`."""
        kind = self._inserted.pop(point, None)
        self._index()
        if kind is not None:
            await self.ask_ok(b"z" + point.wire(kind), f"remove a breakpoint at {point.address:#x}")

    @property
    def inserted(self) -> tuple[Breakpoint, ...]:
        """What is inserted now."""
        return tuple(self._inserted)

    @require(State.STOPPED)
    async def resume(self, thread: ThreadId | None = None) -> None:
        """Let the guest run, or one thread of it; past the breakpoint that it stands on, if any.

        Then `wait_stop`, and `interrupt` to stop it at any moment.
        """
        self._require_alive()
        if self.passing is Passing.HOP and self._addresses and not thread and await self._hop():
            return
        here = await self._pc() if self._addresses else None
        if here is not None and here in self._addresses:
            await self._pass(thread, here)
        else:
            self._go(await self._continue(thread))

    @require(State.STOPPED)
    async def step(self, thread: ThreadId | None = None) -> None:
        """Let one thread (the one that stopped) execute one instruction; then `wait_stop`.

        The other threads stand still.
        """
        self._require_alive()
        step = await self._step(thread or self._current)
        self._stepping = True
        self._go(step)

    @require(State.RUNNING)
    async def wait_stop(self, timeout_s: float | None = None) -> StopReply | None:
        """Wait until the guest stops; None when the time is over before (it still runs then).

        A guest that ended is a stop too (`StopReply.ended`). Raises `StubGone`, `ProtocolBroken`,
        `StubRefused` when the stub would not let the guest run.
        """
        if self._pending:
            stop, self._pending, self.state = self._pending, None, State.STOPPED
        else:
            found = await self._next_stop(timeout_s)
            if found is None:
                return None
            stop = found
        return await self._settle(stop)

    @require(State.RUNNING)
    async def interrupt(self) -> None:
        """Ask the guest to stop; `wait_stop` tells when it has, and what came first."""
        self._link.send_raw(_INTERRUPT)

    async def _continue(self, thread: ThreadId | None) -> bytes:
        if self.features.steps:
            return b"vCont;c" if thread is None else b"vCont;c:" + thread.wire()
        if thread is not None:
            await self.ask_ok(b"Hc" + thread.wire(), f"run thread {thread.thread} alone")
        return b"c"

    async def _step(self, thread: ThreadId | None) -> bytes:
        if self.features.steps:
            return b"vCont;s" if thread is None else b"vCont;s:" + thread.wire()
        if thread is not None:
            await self.ask_ok(b"Hc" + thread.wire(), f"step thread {thread.thread}")
        return b"s"

    def _go(self, payload: bytes) -> None:
        """Let the guest run: what was known of it is forgotten."""
        self.post(payload)
        self.state = State.RUNNING
        self._selected = None
        self._registers.clear()

    async def _next_stop(self, timeout_s: float | None) -> StopReply | None:
        """The next stop reply; the client is then in STOPPED. None: the time is over."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        left = timeout_s
        while True:
            packet = await self.next_packet(left)
            if packet is None:
                return None
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if packet[:1] != b"O" or packet == b"OK":
                break
            self.output += self._console(b"", packet)
            del self.output[: max(0, len(self.output) - MAX_OUTPUT)]
            if left == 0.0:
                return None
        if not packet or is_error(packet):
            self.state = State.STOPPED
            raise self.refusal(b"vCont", packet, "let the guest run")
        try:
            self.stop = parse_stop(packet)
        except ProtocolBroken as error:
            raise self._lost(self._link.fail(error), b"vCont", packet) from None
        self.state = State.STOPPED
        self._selected = self.stop.thread if self.features.qemu else None
        return self.stop

    async def _settle(self, stop: StopReply) -> StopReply:
        """A stop that is the caller's: is there a guest yet, and did its breakpoints work?"""
        stepping, self._stepping = self._stepping, False
        if stop.ended:
            self.close()
        elif self.kinds.doubts and not stepping:
            stop = await self._judge(stop)
        return stop

    async def _judge(self, stop: StopReply) -> StopReply:
        software = [p for p, kind in self._inserted.items() if kind is BreakKind.SOFTWARE]
        if not software or stop.cause is not Cause.SIGNAL:
            return stop
        pc = await self._pc() if self.kinds.needs_pc(stop) or stop.signal == SIGABRT else None
        if not self.kinds.judge(stop, pc, {p.address for p in software}):
            return stop
        for point in software:
            await self.remove(point)
        note = self.kinds.note
        for point in software:
            try:
                await self.insert(point)
            except StubRefused as error:
                note += f"; {error.message}"
        if stop.signal == SIGABRT:
            note += "; this guest does not go on after that: start it again"
            self._dead = note
        self.stop = replace(stop, note=note)
        return self.stop

    def _require_alive(self) -> None:
        """QEMU says nothing when it is told to run a guest that needs a reset (gdb_continue)."""
        if self._dead:
            raise StubRefused(self._dead, state=self.state.value)

    async def _pass(self, thread: ThreadId | None, here: int) -> None:
        """Let the guest go on from the breakpoint at ``here``. It runs then."""
        lifted = self.passing is Passing.LIFT
        stop = await (self._lift(here) if lifted else self._step_off())
        past = stop.cause in _TRAPS and stop.signal == SIGTRAP
        if past and self.passing not in (Passing.STEP, Passing.HOP):
            pc = await self._pc()
            if pc == here and not lifted:
                self.passing = Passing.LIFT
                return await self._pass(thread, here)
            past = pc == here or pc not in self._addresses
        if past:
            self._go(await self._continue(thread))
        else:  # something else stopped it meanwhile: `wait_stop` tells that
            self._pending, self.state = stop, State.RUNNING
        return None

    async def _hop(self) -> bool:
        """Go on from behind the instruction under the breakpoint, if its effect is known.

        The code is asked for together with the registers, where the guest most likely stands.
        """
        likely, code = self._hopped, None
        if likely is not None and self._current not in self._registers:
            code = (await self.registers_and([(likely, CODE_BYTES)]))[0]
        registers = await self.registers()
        here = registers.get("rip")
        if here is None or here not in self._addresses:
            return False
        if here != likely or code is None:
            code, self._hopped = await self.read(here, CODE_BYTES), here
        done = hop(code, registers) if code and len(code) == CODE_BYTES else None
        if done is None or done.pc in self._addresses:
            return False
        if done.memory:
            if any(not point.kind.executes for point in self._inserted):
                return False  # a watchpoint may want to see that write
            await self.write(*done.memory)
        if done.register:
            await self.set_register(*done.register)
        self._go(b"c%x" % done.pc)
        return True

    async def _step_off(self) -> StopReply:
        self._go(await self._step(self._current))
        stop = await self._next_stop(STEP_SECONDS)
        if stop is not None:
            return stop
        self._link.send_raw(_INTERRUPT)
        stop = await self._next_stop(self.timeout_s)
        if stop is None:
            raise self._lost(self._silent(_INTERRUPT), _INTERRUPT)
        return replace(stop, signal=SIGTRAP) if stop.signal == SIGINT else stop

    async def _lift(self, here: int) -> StopReply:
        """A step with the breakpoints at that address out of the way."""
        lifted = [p for p in self._inserted if p.kind.executes and p.address == here]
        for point in lifted:
            await self.remove(point)
        stop = await self._step_off()
        for point in lifted if not stop.ended else ():
            await self.insert(point)
        return stop

    def _index(self) -> None:
        """The addresses at which an instruction stops the guest."""
        self._addresses = frozenset(p.address for p in self._inserted if p.kind.executes)

    async def _pc(self) -> int | None:
        return await self.register(self.layout.pc.name) if self.layout.pc else None
