"""Getting to know a stub: the connection, its features, its registers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import replace
from pathlib import Path

from timehands.errors import ProtocolBroken, StubGone, StubRefused, UsageError
from timehands.watch.gdb.features import OURS, Features
from timehands.watch.gdb.session import Session
from timehands.watch.gdb.target import MAX_DOCUMENT, PLAIN_X86_64, Layout, describe

#: A socket that is connected, ``host:port``, or the path of a Unix socket.
Address = socket.socket | str | Path


async def open_socket(where: Address, timeout_s: float) -> socket.socket:
    """A connected socket. Raises `StubGone` when nobody listens, `UsageError` on no address."""
    if isinstance(where, socket.socket):
        return where
    family, address = _family(where)
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(connection, address)
    except (OSError, TimeoutError) as error:
        connection.close()
        why = getattr(error, "strerror", None) or "no answer"
        raise StubGone(f"there is no stub at {where}: {why}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _family(where: str | Path) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    text = str(where)
    if isinstance(where, Path) or "/" in text:
        return socket.AF_UNIX, text
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 0xFFFF:
        raise UsageError(f"no address of a stub: {text}", advice="Give HOST:PORT, or a path.")
    host = host.strip("[]") or "localhost"
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))


async def shake_hands(session: Session) -> bytes:
    """Learn what the stub can do and which registers it has; returns its first stop reply.

    Raises what `Session.ask` raises, and `StubRefused` when there is no guest.
    """
    session._link.send_raw(b"+")
    features = Features.parse(await session.ask(OURS))
    if await session.ask(b"QStartNoAckMode") == b"OK":
        session._link.acks = False
        features = replace(features, no_ack=True)
    session.features = features.with_actions(await session.ask(b"vCont?"))
    stop = await session.ask(b"?")
    session.layout = await _layout(session)
    await _learn_accelerator(session)
    return stop


async def _layout(session: Session) -> Layout:
    if not session.features.target_xml:
        return PLAIN_X86_64

    async def fetch(name: str) -> bytes:
        return await _document(session, name)

    try:
        layout = await describe(fetch)
    except StubRefused:
        return PLAIN_X86_64
    return layout if layout.registers else PLAIN_X86_64


async def _document(session: Session, name: str) -> bytes:
    """One document by ``qXfer``, in as many parts as it takes."""
    if not name or len(name) > 100 or not name.isascii() or set(name) & set(":#$}*"):
        raise ProtocolBroken(f"the target description includes {name[:100]!r}")
    parts: list[bytes] = []
    size, since = 0, time.monotonic()
    while size <= MAX_DOCUMENT:
        want = session.features.packet_size - 5
        request = b"qXfer:features:read:%b:%x,%x" % (name.encode(), size, want)
        reply = await session.ask(request)
        if reply[:1] not in (b"l", b"m"):
            raise session.refusal(request, reply, f"describe its registers ({name})")
        session.require_progress(since, f"describe its registers ({name})", size)
        parts.append(reply[1:])
        size += len(reply) - 1
        if reply[:1] == b"l":
            return b"".join(parts)
        if len(reply) == 1:
            break  # more is to come, says the stub, and sends nothing
    raise ProtocolBroken(f"the stub's {name} has no end", received=parts[0][:200])


async def _learn_accelerator(session: Session) -> None:
    """Whether this is QEMU, and then whether its guest runs on KVM (gdbstub.c, qqemu.sstepbits)."""
    if not (await session.ask(b"qqemu.sstepbits")).startswith(b"ENABLE="):
        return
    session._link.lazy = True  # gdb_read_byte takes a '$' for the acknowledgement
    kvm = True
    with contextlib.suppress(StubRefused):
        kvm = "disabled" not in await session.execute("info kvm")
    session.features = replace(session.features, qemu=True, kvm=kvm)
