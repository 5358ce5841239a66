"""QMP without the events of stops: nothing else may be lost, in whatever pieces it comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.machines.quiet import Sieve, quiet

_TIME = b'{"timestamp": {"seconds": 1795265000, "microseconds": 12}, '
STOP = _TIME + b'"event": "STOP"}\r\n'
RESUME = _TIME + b'"event": "RESUME"}\r\n'
SHUTDOWN = _TIME + b'"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\r\n'
OTHERS = (
    SHUTDOWN,
    b'{"return": {}, "id": "__qmp#00001"}\r\n',
    b'{"return": "\\"event\\": \\"STOP\\"}", "id": "__qmp#00002"}\r\n',
    b'{"return": {"event": "STOP"}, "id": "1", "event": "STOP"}\r\n',
    _TIME + b'"event": "STOP", "data": {}}\r\n',
    _TIME + b'"event": "POWERDOWN"}\r\n',
    b"no JSON at all\n",
    b"\r\n",
)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    """The same bytes in pieces."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return (data[start:end] for start, end in pairwise(places))


@given(
    st.lists(st.sampled_from((STOP, RESUME, *OTHERS))),
    st.binary(max_size=40).filter(lambda rest: b"\n" not in rest),
    st.lists(st.integers(0, 4000)),
)
def test_only_those_events_are_taken_out(lines: list[bytes], rest: bytes, at: list[int]) -> None:
    sieve = Sieve()
    passed = b"".join(map(sieve, cut(b"".join(lines) + rest, at))) + sieve(b"")
    assert passed == b"".join(line for line in lines if line not in (STOP, RESUME)) + rest


def test_a_line_without_end_is_passed_on_as_it_comes() -> None:
    sieve = Sieve()
    passed = sum(len(sieve(b"x" * 4096)) for _ in range(100))
    assert passed > 80 * 4096


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket pair: ours, and QEMU's."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


async def receive(end: socket.socket, length: int) -> bytes:
    """So many bytes; fewer at the end."""
    found = b""
    while len(found) < length:
        data = await asyncio.get_running_loop().sock_recv(end, 1 << 16)
        if not data:
            break
        found += data
    return found


def test_both_ways_go_on_though_nobody_reads_for_a_while(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, qemu = ends
    answer = b'{"return": "' + b"y" * 3000 + b'"}\r\n'
    sent = (answer + STOP) * 2000
    asked = b'{"execute": "query-status"}\r\n' * 20_000

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with quiet(ours) as outer:
            async with asyncio.timeout(20):
                writing = asyncio.create_task(loop.sock_sendall(qemu, sent))
                asking = asyncio.create_task(loop.sock_sendall(outer, asked))
                assert await receive(outer, len(answer) * 2000) == answer * 2000
                assert await receive(qemu, len(asked)) == asked
                await writing
                await asking
                qemu.shutdown(socket.SHUT_RDWR)
                assert await receive(outer, 1) == b""

    asyncio.run(run())
    assert ours.fileno() == -1


def test_the_end_comes_after_all_that_came_before_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, qemu = ends

    async def run() -> bytes:
        with quiet(ours) as outer:
            qemu.sendall(STOP + SHUTDOWN + RESUME + b"a last wo")
            qemu.close()
            async with asyncio.timeout(60):
                return await receive(outer, 10_000)

    assert asyncio.run(run()) == SHUTDOWN + b"a last wo"


def test_qemus_end_is_closed_when_the_library_closes_its_own(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, qemu = ends

    async def run() -> bytes:
        quiet(ours).close()
        async with asyncio.timeout(60):
            return await receive(qemu, 1)

    assert asyncio.run(run()) == b""
