"""A stub to test with: it speaks the protocol over a socket pair, and lies where it is told to."""

# ruff: noqa: N802  (methods are named as the packets)

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from timehands.watch.gdb import GdbClient
from timehands.watch.gdb.packets import frame

_PACKET = re.compile(rb"\$([^#]*)#..", re.DOTALL)
#: A small machine: eight bytes of rax and of rip, four of eflags.
TARGET = b"""<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
<target><architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>"""
CORE = b"""<feature name="core"><reg name="rax" bitsize="64" regnum="0"/>
<reg name="rip" bitsize="64"/><reg name="eflags" bitsize="32"/></feature>"""
Answer = bytes | list[bytes] | None


@dataclass
class Stub:
    """A guest of a few registers and a page of memory, behind the protocol.

    ``answers`` overrides what it says to a request (by its beginning): payloads of packets, None
    for silence, or a function of the request. ``wire`` changes what goes out, as bytes.
    """

    features: bytes = b"PacketSize=400;qXfer:features:read+;QStartNoAckMode+"
    answers: dict[bytes, Answer | Callable[[bytes], Answer]] = field(default_factory=dict)
    documents: dict[str, bytes] = field(
        default_factory=lambda: {"target.xml": TARGET, "core.xml": CORE}
    )
    wire: Callable[[bytes], list[bytes]] = lambda data: [data]
    pc: int = 0x1000
    rax: int = 7
    base: int = 0x1000
    memory: bytearray = field(default_factory=lambda: bytearray(range(256)) * 16)
    requests: list[bytes] = field(default_factory=list)
    points: set[bytes] = field(default_factory=set)
    stops: list[bytes] = field(default_factory=list)
    acks: bool = True
    sent: bytes = b""
    naks: int = 0

    def reply(self, request: bytes) -> Answer:
        """What it says."""
        for start, answer in self.answers.items():
            if request.startswith(start):
                return answer(request) if callable(answer) else answer
        name = re.match(rb"[a-zA-Z?]+", request)
        method = getattr(self, f"on_{name[0].decode().replace('?', '_')}", None) if name else None
        return method(request) if method else b""

    def on_qSupported(self, _: bytes) -> bytes:
        return self.features

    def on_QStartNoAckMode(self, _: bytes) -> bytes:
        return b"OK"

    def on_vCont_(self, _: bytes) -> bytes:
        return b"vCont;c;C;s;S"

    def on__(self, _: bytes) -> bytes:
        return b"T05thread:1;"

    def on_qXfer(self, request: bytes) -> bytes:
        name, span = request.decode().split(":")[3:5]
        at, length = (int(word, 16) for word in span.split(","))
        document = self.documents.get(name)
        if document is None:
            return b"E00"
        part = document[at : at + length]
        return (b"m" if at + length < len(document) else b"l") + part

    def on_qfThreadInfo(self, _: bytes) -> bytes:
        return b"m1,2"

    def on_qsThreadInfo(self, _: bytes) -> bytes:
        return b"l"

    def on_Hg(self, _: bytes) -> bytes:
        return b"OK"

    def on_g(self, _: bytes) -> bytes:
        raw = self.rax.to_bytes(8, "little") + self.pc.to_bytes(8, "little") + b"\x02\0\0\0"
        return raw.hex().encode()

    def on_p(self, request: bytes) -> bytes:
        values = {0: (self.rax, 8), 1: (self.pc, 8), 2: (2, 4)}
        value, size = values[int(request[1:], 16)]
        return value.to_bytes(size, "little").hex().encode()

    def on_P(self, request: bytes) -> bytes:
        number, _, value = request[1:].partition(b"=")
        setattr(self, "pc" if int(number, 16) else "rax", _little(value))
        return b"OK"

    def on_G(self, request: bytes) -> bytes:
        self.rax, self.pc = _little(request[1:17]), _little(request[17:33])
        return b"OK"

    def on_m(self, request: bytes) -> bytes:
        address, length = (int(word, 16) for word in request[1:].split(b","))
        at = address - self.base
        if not 0 <= at <= at + length <= len(self.memory):
            return b"E14"
        return bytes(self.memory[at : at + length]).hex().encode()

    def on_M(self, request: bytes) -> bytes:
        span, _, data = request[1:].partition(b":")
        return self._put(span, bytes.fromhex(data.decode()))

    def _put(self, span: bytes, data: bytes) -> bytes:
        address, length = (int(word, 16) for word in span.split(b","))
        assert length == len(data)
        self.memory[address - self.base : address - self.base + length] = data
        return b"OK"

    def on_Z(self, request: bytes) -> bytes:
        self.points.add(request[1:])
        return b"OK"

    def on_z(self, request: bytes) -> bytes:
        self.points.discard(request[1:])
        return b"OK"

    def on_vCont(self, request: bytes) -> Answer:
        if request.startswith(b"vCont;s"):
            self.pc += 1
            return b"T05thread:1;"
        return self.stops.pop(0) if self.stops else None

    def on_D(self, _: bytes) -> bytes:
        return b"OK"

    async def serve(self, end: socket.socket) -> None:
        """Answer until the client goes."""
        loop = asyncio.get_running_loop()
        buffer = b""
        while data := await loop.sock_recv(end, 1 << 16):
            buffer += data
            buffer = await self._eat(end, buffer)

    async def _eat(self, end: socket.socket, buffer: bytes) -> bytes:
        while buffer:
            if buffer[:1] == b"$":
                packet = _PACKET.match(buffer)
                if packet is None:
                    return buffer
                buffer = buffer[packet.end() :]
                await self._answer(end, packet[1])
                continue
            if buffer[:1] == b"-":
                self.naks += 1
                await self._send(end, self.sent)
            if buffer[:1] == b"\x03":
                await self._say(end, b"T02thread:1;")
            buffer = buffer[1:]
        return buffer

    async def _answer(self, end: socket.socket, request: bytes) -> None:
        self.requests.append(request)
        if self.acks:
            await self._send(end, b"+")
        answers = self.reply(request)
        for payload in [answers] if isinstance(answers, bytes) else answers or []:
            await self._say(end, payload)
        if request == b"QStartNoAckMode" and answers == b"OK":
            self.acks = False

    async def _say(self, end: socket.socket, payload: bytes) -> None:
        self.sent = frame(payload)
        await self._send(end, self.sent)

    async def _send(self, end: socket.socket, data: bytes) -> None:
        for part in self.wire(data):
            await asyncio.get_running_loop().sock_sendall(end, part)
            await asyncio.sleep(0)


def _little(digits: bytes) -> int:
    return int.from_bytes(bytes.fromhex(digits.decode()), "little")


@asynccontextmanager
async def wired(stub: Stub) -> AsyncIterator[socket.socket]:
    """The other end of a connection to that stub, which ends with the block."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    async def serve() -> None:
        try:
            await stub.serve(theirs)
        except OSError:
            pass  # the client is gone
        finally:
            theirs.close()

    task = asyncio.create_task(serve())
    try:
        yield ours
    finally:
        ours.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def connected(stub: Stub, timeout_s: float = 5.0) -> AsyncIterator[GdbClient]:
    """A client of that stub."""
    async with wired(stub) as end, await GdbClient.connect(end, timeout_s=timeout_s) as client:
        yield client
