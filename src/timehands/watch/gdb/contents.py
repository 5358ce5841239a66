"""What a stopped guest holds: its threads, their registers, its memory."""

from __future__ import annotations

import difflib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from timehands.errors import GdbError, ProtocolBroken, UsageError
from timehands.watch.gdb.link import Link
from timehands.watch.gdb.packets import escape
from timehands.watch.gdb.registers import Registers
from timehands.watch.gdb.replies import StopReply, ThreadId, is_error, parse_thread, unhex
from timehands.watch.gdb.session import BATCH, Session, State, require
from timehands.watch.gdb.target import Register

MAX_THREADS: Final = 4096
#: What one `read` or `write` may ask for, in bytes.
MAX_MEMORY: Final = 1 << 24
_TOP: Final = 1 << 64


class Contents(Session):
    """Reads and writes. Every call needs a guest that stands still."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        super().__init__(link, timeout_s)
        self.stop: StopReply | None = None
        self._selected: ThreadId | None = None
        self._registers: dict[ThreadId | None, Registers] = {}

    @require(State.STOPPED)
    async def threads(self) -> list[ThreadId]:
        """All threads; of QEMU: its vCPUs, numbered from 1."""
        found: list[ThreadId] = []
        request, since = b"qfThreadInfo", time.monotonic()
        while True:
            reply = await self.ask(request)
            if reply == b"l" or (not reply and not found):
                return found
            if reply[:1] != b"m" or len(found) > MAX_THREADS:
                raise self.refusal(request, reply, "list its threads")
            self.require_progress(since, "list its threads")
            found += [parse_thread(word) for word in reply[1:].split(b",")]
            request = b"qsThreadInfo"

    @require(State.STOPPED)
    async def registers(self, thread: ThreadId | None = None) -> Registers:
        """All registers of a thread; of the one that stopped, unless told otherwise.

        Raises `ProtocolBroken` when they do not fit the stub's description of them.
        """
        thread = thread or self._current
        if thread not in self._registers:
            reply = await self._ask_of(thread, b"g")
            if not reply or is_error(reply):
                raise self.refusal(b"g", reply, "tell its registers")
            self._registers[thread] = self._laid_out(reply)
        return self._registers[thread]

    @require(State.STOPPED)
    async def register(self, name: str, thread: ThreadId | None = None) -> int:
        """One register of a thread: from what is known already, else the one alone.

        Raises `UsageError` when the guest has no such register.
        """
        thread = thread or self._current
        register = self._register_named(name)
        if (known := self._known(register, thread)) is not None:
            return known
        reply = await self._ask_of(thread, b"p%x" % register.number)
        if not reply or is_error(reply):
            held = await self.registers(thread)
            if name not in held:
                raise UsageError(f"the stub cannot tell the guest's register {name}")
            return held[name]
        data = self._checked(b"p", reply)
        if len(data) != register.size:
            message = f"{name} has {register.size} bytes, the stub told {len(data)}"
            raise self._lost(self._link.fail(ProtocolBroken(message)), b"p", reply)
        return int.from_bytes(data, "little")

    @require(State.STOPPED)
    async def set_register(self, name: str, value: int, thread: ThreadId | None = None) -> None:
        """Set one register; by writing all of them where the stub knows no other way.

        Raises `UsageError` on a name or value that cannot be, `StubRefused`.
        """
        thread = thread or self._current
        register = self._register_named(name)
        if not 0 <= value < 1 << 8 * register.size:
            raise UsageError(f"{name} has {8 * register.size} bits, {value:#x} does not fit")
        data = value.to_bytes(register.size, "little").hex().encode()
        what = f"set {name}"
        payload = b"P%x=%b" % (register.number, data)
        reply = await self._ask_of(thread, payload)
        if not reply:
            payload = (await self.registers(thread)).changed(name, value)
            reply = await self._ask_of(thread, payload)
        self._forget()
        self.require_ok(payload, reply, what)

    @require(State.STOPPED)
    async def read(self, address: int, length: int) -> bytes | None:
        """Guest memory by virtual address, as the selected vCPU sees it (physical: `physical`).

        ``length`` is 0 to 16 MiB. None when any of it cannot be read.
        """
        _require_range(address, length)
        size = self.features.read_bytes
        parts: list[bytes] = []
        end, since = address + length, time.monotonic()
        while address < end:
            self.require_progress(since, "read its memory", length)
            spans = [(at, min(size, end - at)) for at in range(address, end, size)][:BATCH]
            replies = await self.ask_all([b"m%x,%x" % span for span in spans])
            for (at, wanted), reply in zip(spans, replies, strict=True):
                data = self._read_reply(reply, wanted)
                if not data:
                    return None
                parts.append(data)
                address = at + len(data)
                if len(data) < wanted:
                    break  # the protocol allows less than asked for: go on from there
        return b"".join(parts)

    @require(State.STOPPED)
    async def read_each(self, spans: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Several pieces of memory, (address, length) each, at once.

        Each is at most what the stub tells in one packet; None for one that cannot be read, or is
        longer.
        """
        asked = self._askable(spans)
        return self._found(spans, asked, await self.ask_all([b"m%x,%x" % span for span in asked]))

    @require(State.STOPPED)
    async def registers_and(self, spans: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """`read_each`, and in the same breath all registers of the thread that stopped.

        `registers` has those then.
        """
        thread = self._current
        if thread in self._registers or (thread is not None and thread != self._selected):
            await self.registers()
            return await self.read_each(spans)
        asked = self._askable(spans)
        held, *replies = await self.ask_all([b"g", *(b"m%x,%x" % span for span in asked)])
        if not held or is_error(held):
            raise self.refusal(b"g", held, "tell its registers")
        self._registers[thread] = self._laid_out(held)
        return self._found(spans, asked, replies)

    def _askable(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        for span in spans:
            _require_range(*span)
        return [span for span in spans if 0 < span[1] <= self.features.read_bytes]

    def _found(
        self, spans: Sequence[tuple[int, int]], asked: list[tuple[int, int]], replies: list[bytes]
    ) -> list[bytes | None]:
        found = {
            span: self._read_reply(reply, span[1])
            for span, reply in zip(asked, replies, strict=True)
        }
        whole = (found.get(span) or b"" for span in spans)
        return [
            data if data and len(data) == length else None
            for data, (_, length) in zip(whole, spans, strict=True)
        ]

    @require(State.STOPPED)
    async def write(self, address: int, data: bytes) -> None:
        """Write guest memory (at most 16 MiB). Raises `StubRefused` when any of it cannot be."""
        _require_range(address, len(data))
        if self.features.binary_writes is None:
            reply = await self.ask(b"X%x,0:" % address)
            self.features = replace(self.features, binary_writes=bool(reply))
        size = self.features.write_bytes
        what = f"write {len(data)} bytes at {address:#x}"
        for at in range(0, len(data), size):
            part = data[at : at + size]
            head = (address + at, len(part))
            if self.features.binary_writes:
                payload = b"X%x,%x:%b" % (*head, escape(part))
            else:
                payload = b"M%x,%x:%b" % (*head, part.hex().encode())
            await self.ask_ok(payload, what)

    @asynccontextmanager
    async def physical(self) -> AsyncIterator[None]:
        """Within the block, `read` and `write` take physical addresses. QEMU only.

        Raises `StubRefused` where the stub has no such mode.
        """
        if self.state is not State.STOPPED:
            raise self.wrong_state("physical")
        await self.ask_ok(b"Qqemu.PhyMemMode:1", "read physical memory")
        try:
            yield
        finally:
            if self.state is State.STOPPED:
                await self.ask_ok(b"Qqemu.PhyMemMode:0", "read virtual memory again")

    @property
    def _current(self) -> ThreadId | None:
        return self.stop.thread if self.stop else None

    def _forget(self) -> None:
        """The guest ran, or was changed: nothing is known of its registers any more."""
        self._registers.clear()
        if self.stop and self.stop.registers:
            self.stop = replace(self.stop, registers={})

    async def _ask_of(self, thread: ThreadId | None, payload: bytes) -> bytes:
        """Ask something of one thread: it is selected in the same breath where it is not yet."""
        if thread is None or thread == self._selected:
            return await self.ask(payload)
        select = b"Hg" + thread.wire()
        self._selected = None
        first = await self.ask(select) if payload[:1] in b"PG" else None
        if first is None:
            first, reply = await self.ask_all((select, payload))
        self.require_ok(select, first, f"look at thread {thread.thread}")
        self._selected = thread
        return await self.ask(payload) if payload[:1] in b"PG" else reply

    def _laid_out(self, reply: bytes) -> Registers:
        try:
            return Registers(self.layout, reply)
        except ProtocolBroken as error:
            raise self._with_evidence(error, b"g", reply) from None

    def _checked(self, request: bytes, reply: bytes) -> bytes:
        try:
            return unhex(reply)
        except ProtocolBroken as error:
            raise self._lost(self._link.fail(error), request, reply) from None

    def _read_reply(self, reply: bytes, wanted: int) -> bytes | None:
        if not reply or is_error(reply):
            return None
        data = self._checked(b"m", reply)
        if len(data) > wanted:
            message = f"asked for {wanted} bytes of memory, the stub sent {len(data)}"
            raise self._lost(self._link.fail(ProtocolBroken(message)), b"m", reply)
        return data

    def _known(self, register: Register, thread: ThreadId | None) -> int | None:
        """A register's value where it came already: with the stop, or with all the others."""
        if self.stop and thread == self._current and register.number in self.stop.registers:
            raw = self.stop.registers[register.number]
            return int.from_bytes(raw, "little") if len(raw) == register.size else None
        held = self._registers.get(thread)
        return None if held is None else held.get(register.name)

    def _register_named(self, name: str) -> Register:
        register = self.layout.by_name.get(name)
        if register is None:
            near = difflib.get_close_matches(name, self.layout.by_name, 1)
            hint = f"Did you mean {near[0]}?" if near else ""
            raise UsageError(f"the guest has no register {name!r}", advice=hint)
        return register

    def _with_evidence(self, error: GdbError, sent: bytes, received: bytes) -> GdbError:
        error.sent, error.received, error.state = sent, received[:200], self.state.value
        return error


def _require_range(address: int, length: int) -> None:
    if not 0 <= length <= MAX_MEMORY or not 0 <= address <= _TOP - length:
        raise UsageError(f"no range of guest memory: {length} bytes at {address:#x}")
