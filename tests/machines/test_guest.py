"""Our ends of pipes and sockets (guests themselves: tests/boots/test_guest.py)."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.machines.guest import SEND_BYTES, Watcher, _Channel, _plugin_argument


def test_everything_that_comes_is_handed_on_until_the_end() -> None:
    async def read() -> bytes:
        ours, theirs = os.pipe()
        heard: list[tuple[int, bytes]] = []
        channel = _Channel(ours, lambda ns, data: heard.append((ns, data)))
        for part in (b"a", b"b" * 5000, b"c"):
            os.write(theirs, part)
            await asyncio.sleep(0)
        os.close(theirs)
        await asyncio.wait_for(channel.ended, 5)
        assert [ns for ns, _ in heard] == sorted(ns for ns, _ in heard)
        return b"".join(data for _, data in heard)

    assert asyncio.run(read()) == b"a" + b"b" * 5000 + b"c"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=4000), max_size=20))
def test_what_is_sent_arrives_whole_and_in_order_when_somebody_reads(parts: list[bytes]) -> None:
    async def talk() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        channel = _Channel(ours.detach(), lambda _ns, _data: None)
        got = b""
        whole = b"".join(parts)[:SEND_BYTES]
        for part in parts:
            channel.send(part)
        while len(got) < len(whole):
            got += await asyncio.get_running_loop().sock_recv(theirs, 1 << 16)
        channel.close()
        theirs.close()
        return got

    assert asyncio.run(talk()) == b"".join(parts)[:SEND_BYTES]


def test_a_channel_whose_other_end_is_gone_can_be_written_and_closed() -> None:
    async def talk() -> None:
        ours, theirs = socket.socketpair()
        channel = _Channel(ours.detach(), lambda _ns, _data: None)
        theirs.close()
        channel.send(b"x" * 100)
        await asyncio.wait_for(channel.ended, 5)
        channel.send(b"x")
        channel.close()
        channel.close()

    asyncio.run(talk())


def test_commas_in_the_plugins_path_are_doubled() -> None:
    watcher = Watcher(Path("/a,b/w.so"), ("plan=/p", "steady=on"))
    assert _plugin_argument(watcher, 7) == "/a,,b/w.so,fd=7,plan=/p,steady=on"
