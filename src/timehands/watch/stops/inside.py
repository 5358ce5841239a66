"""Stops inside the plugin: the vCPU's own thread tells where it is, and waits to be let go on.

::

    client = InsideClient(guest.stops, plan.stops, guest.resume)
    stops = Stops(client, kernel)               # from here on as with the stub's client

QEMU's stub stops all of QEMU for each breakpoint, and throws away translated code; here one thread
of it waits for an answer (payloads/watch_stops.c). That is some ten times as fast, and has a price:

- the guest can only be looked at: nothing is changed, and no instruction executed;
- places are those of the plan, known before the guest is started: code is marked as it is
  translated;
- just that vCPU stands still. The others run on, and so does the guest's time, unless the machine
  is deterministic: it counts instructions, and none is executed;
- while a vCPU waits, QEMU does not pause and does not quit (`Guest.stops`).

What is asked at a stop is answered by a thread that does nothing else, in microseconds: we wait for
it without the event loop. For the next stop too, for a few ms after the last one; then the loop
waits. It has its turn every few ms in any case: the guest's console and records come by it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from timehands.errors import (
    GdbError,
    ProtocolBroken,
    StubGone,
    StubRefused,
    StubSilent,
    UsageError,
    WrongState,
)
from timehands.watch.gdb import Breakpoint, Cause, State, StopReply
from timehands.watch.gdb.replies import SIGTRAP, ThreadId
from timehands.watch.gdb.session import ANSWER_SECONDS, WHOLE_ANSWERS
from timehands.watch.gdb.target import PLAIN_X86_64
from timehands.watch.gdb.together import Threads, Together

#: As watch.h has them.
REGISTERS: Final = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10",
                    "r11", "r12", "r13", "r14", "r15", "eflags")  # fmt: skip
STACK_BYTES: Final = 512
#: number, vcpu, host_ns, pc, stack_at, stack_length, registers, stack (`struct told`).
TOLD: Final = struct.Struct(f"=IIQQQQ{len(REGISTERS)}Q{STACK_BYTES}s")
#: what, value, address, length (`struct asked`).
ASKED: Final = struct.Struct("=IIQQ")
LENGTH: Final = struct.Struct("=Q")
GO_ON: Final = ASKED.pack(0, 0, 0, 0)
_READ: Final = 1
_SWITCH: Final = 2
#: The plugin answers at most so many bytes at once.
MAX_ANSWER: Final = 1 << 16
#: What one `read` may ask for.
MAX_READ: Final = 1 << 24
MAX_VCPUS: Final = 64
_TOP: Final = 1 << 64
#: A stop that follows another one is waited for so long before the event loop is left to wait.
_PATIENCE: Final = struct.pack("@ll", 0, 4000)
#: So often the event loop has its turn while stops come thick.
TURN_SECONDS: Final = 0.005


class InsideClient:
    """The owner of the plugin's stops (it is an `Instrument`).

    Args:
        plugin: our end of the socket; closed with the client.
        places: the plan's stops, in its order.
        start: lets the guest run, which has not run yet.
        timeout_s: for each answer.
        process: of QEMU, when its guest has one vCPU: while stops come thick it is held to the
            processor that we are on (gdb/together.py).
    """

    instrument: Final = "plugin"
    layout: Final = PLAIN_X86_64

    def __init__(
        self,
        plugin: socket.socket,
        places: Sequence[int],
        start: Callable[[], Awaitable[None]],
        *,
        timeout_s: float = ANSWER_SECONDS,
        process: int | None = None,
    ) -> None:
        plugin.setblocking(True)
        plugin.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        self.state = State.STOPPED
        self.trouble: GdbError | None = None
        self._socket = plugin
        self._places = tuple(places)
        self._numbers = {address: number for number, address in enumerate(places)}
        self._start: Callable[[], Awaitable[None]] | None = start
        self._timeout_s = timeout_s
        self._together = None if process is None else Together(Threads(process))
        self._inserted: set[int] = set()
        self._switches = b""
        self._standing = self._hot = self._halted = False
        self._registers: dict[str, int] = {}
        self._told = bytearray(TOLD.size)
        self._turned = 0.0
        self._waiter: asyncio.Future[None] | None = None

    # ---- where to stop

    async def insert(self, point: Breakpoint) -> None:
        """From now on stop there. Raises `StubRefused` for what is no place of the plan."""
        if not point.kind.executes or point.address not in self._numbers:
            raise StubRefused(
                f"a stop at {point.address:#x} cannot be made inside the plugin any more",
                advice="Ask for it before the guest is started, or take the stub: --stub.",
            )
        self._switch(point.address, on=True)

    async def remove(self, point: Breakpoint) -> None:
        """Stop there no more."""
        if point.address in self._inserted:
            self._switch(point.address, on=False)

    def _switch(self, address: int, *, on: bool) -> None:
        """The plugin hears of it with the next answer: it listens at stops only."""
        (self._inserted.add if on else self._inserted.discard)(address)
        if on and self._start is not None:
            return  # all are on in the beginning
        self._switches += ASKED.pack(_SWITCH, on, self._numbers[address], 0)

    # ---- running

    async def resume(self) -> None:
        """Let the vCPU go on; at first, the machine. Raises `QemuFailed`, `StubGone`."""
        self._require(State.STOPPED, "resume")
        self.state, self._registers = State.RUNNING, {}
        if self._start is not None:
            start, self._start = self._start, None
            await start()
        elif self._standing:
            self._let_go()

    def _let_go(self) -> None:
        self._standing, self._hot = False, True
        switches, self._switches = self._switches, b""
        self._send(switches + GO_ON)

    async def wait_stop(self, timeout_s: float | None = None) -> StopReply | None:
        """The next stop; None when the time is over.

        After `interrupt` it is one that says that there are no more. Raises `StubGone`,
        `StubSilent`, `ProtocolBroken`.
        """
        self._require(State.RUNNING, "wait_stop")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            await self._turn()
            if self._halted:
                self.state = State.ENDED
                return StopReply(Cause.NOTHING_RUNS)
            if not self._hot and not await self._wait(deadline):
                return None
            if not self._halted and self._hear():
                reply = self._reply()
                if reply is not None:
                    return reply
                self._let_go()

    async def _turn(self) -> None:
        """Let others work, now and then."""
        now = time.monotonic()
        if now - self._turned > TURN_SECONDS:
            await asyncio.sleep(0)
            self._turned = time.monotonic()

    async def _wait(self, deadline: float | None) -> bool:
        """Leave it to the event loop; False when the time is over."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self._socket, self._wake)
        try:
            async with asyncio.timeout(deadline and max(0.0, deadline - time.monotonic())):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._waiter = None
            if self._socket.fileno() >= 0:
                loop.remove_reader(self._socket)
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hear(self) -> bool:
        """Take what a vCPU tells. False: nothing came in that moment."""
        hot, self._hot = self._hot, True
        if not self._receive(self._told, begun=not hot):
            self._hot = False
        if self._together is not None:
            (self._together.answered if hot and self._hot else self._together.waited)()
        return self._hot

    def _reply(self) -> StopReply | None:
        """What was told, as a stop; None where nobody wants it."""
        number, vcpu, host_ns, pc, stack_at, length, *registers, stack = TOLD.unpack(self._told)
        known = number < len(self._places) and self._places[number] == pc
        if not known or vcpu >= MAX_VCPUS or length > STACK_BYTES or stack_at % 256:
            error = ProtocolBroken("the plugin told of a stop that cannot be")
            raise self._lost(error, bytes(self._told))
        self._standing = True
        if pc not in self._inserted:
            self._switches += ASKED.pack(_SWITCH, False, number, 0)
            return None
        self.state = State.STOPPED
        self._registers = dict(zip(REGISTERS, registers, strict=True))
        self._registers["rip"] = pc
        along = stack[: length - length % 256]
        return StopReply(
            Cause.BREAKPOINT,
            SIGTRAP,
            ThreadId(None, vcpu + 1),
            host_ns=host_ns,
            memory=(stack_at, along) if along else None,
        )

    async def interrupt(self) -> None:
        """Let the guest run: there are no stops any more, and `wait_stop` says so.

        It cannot be stopped from here at any moment; QEMU's monitor can.
        """
        self._halted = True
        self._hang_up()
        self._wake()

    def close(self) -> None:
        """Close the socket: a vCPU that waits goes on, and none stops any more."""
        self._hang_up()
        if self.state is not State.LOST:
            self.state = State.ENDED

    def _hang_up(self) -> None:
        if self._together is not None:
            self._together.close()
        if self._waiter is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._standing = self._hot = False

    # ---- looking

    async def registers(self) -> Mapping[str, int]:
        """Those of the vCPU that stopped: general ones, ``eflags``, ``rip``."""
        self._require(State.STOPPED, "registers")
        return self._registers

    async def register(self, name: str) -> int:
        """One of them. Raises `UsageError`."""
        held = await self.registers()
        if name not in held:
            raise UsageError(f"the plugin does not tell ${name}", advice="The stub does: --stub.")
        return held[name]

    async def read(self, address: int, length: int) -> bytes | None:
        """Guest memory as that vCPU sees it, 0 to 16 MiB; None when any of it cannot be read."""
        if not 0 <= length <= MAX_READ or not 0 <= address <= _TOP - length:
            raise UsageError(f"{length} bytes at {address:#x} are no memory that can be asked for")
        since, parts = time.monotonic(), []
        for at in range(address, address + length, MAX_ANSWER):
            self.require_progress(since, "read memory", length)
            (part,) = await self.read_each([(at, min(MAX_ANSWER, address + length - at))])
            if part is None:
                return None
            parts.append(part)
        return b"".join(parts)

    async def read_each(self, spans: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Several pieces of at most 64 KiB each; None for one that cannot be read, or is longer."""
        self._require(State.STOPPED, "read")
        if not self._standing:
            raise WrongState("no vCPU waits that could be asked", state=self.state.value)
        asked = [ASKED.pack(_READ, 0, *one) if one[1] <= MAX_ANSWER else b"" for one in spans]
        self._send(b"".join(asked))
        return [
            self._answer(one[1]) if sent else None for one, sent in zip(spans, asked, strict=True)
        ]

    async def registers_and(self, spans: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """`read_each`: the registers are there."""
        return await self.read_each(spans)

    def _answer(self, wanted: int) -> bytes | None:
        head = bytearray(LENGTH.size)
        self._receive(head, begun=True)
        (length,) = LENGTH.unpack(head)
        if length > wanted:
            error = ProtocolBroken(f"the plugin told {length} bytes of {wanted}")
            raise self._lost(error, bytes(head))
        data = bytearray(length)
        self._receive(data, begun=True)
        return bytes(data) if length == wanted else None

    def require_progress(self, since: float, what: str, length: int = 0) -> None:
        """Raise `StubSilent` when something has taken too long since then (`time.monotonic`)."""
        allowed = self._timeout_s * (WHOLE_ANSWERS + length // MAX_ANSWER)
        if time.monotonic() - since > allowed:
            message = f"asked to {what}, the plugin came to no end within {allowed:g} s"
            raise self._lost(StubSilent(message))

    # ---- the socket

    def _receive(self, into: bytearray, *, begun: bool) -> bool:
        """Fill it. False: not ``begun``, and nothing came in a moment."""
        view, got, deadline = memoryview(into), 0, 0.0
        while got < len(into):
            try:
                count = self._socket.recv_into(view[got:], 0, socket.MSG_WAITALL)
            except BlockingIOError:
                if not got and not begun:
                    return False
                deadline = deadline or time.monotonic() + self._timeout_s
                if time.monotonic() > deadline:
                    message = f"the plugin did not answer within {self._timeout_s:g} s"
                    raise self._lost(StubSilent(message), bytes(into[:got])) from None
                continue
            except OSError:
                count = 0
            if not count:
                raise self._lost(StubGone("the plugin closed its socket"), bytes(into[:got]))
            got += count
        return True

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            gone = StubGone(f"the plugin closed its socket: {error.strerror}")
            raise self._lost(gone) from None

    def _lost(self, error: GdbError, received: bytes = b"") -> GdbError:
        """Nothing more can be asked; the guest, if there is one, runs on."""
        self._hang_up()
        error.received, error.state = received[:200], self.state.value
        self.state, self.trouble = State.LOST, error
        return error

    def _require(self, state: State, asked: str) -> None:
        if self.state is not state:
            why = f" ({self.trouble.message})" if self.trouble else ""
            raise WrongState(
                f"{asked} cannot be asked now: the guest is {self.state.value}{why}",
                state=self.state.value,
            )
