"""Looking after a guest whose vCPU may wait for us, against a QEMU that a test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from timehands.debug.held_inside import HeldInside
from timehands.errors import QemuFailed, StubGone
from timehands.machines.guest import Guest
from timehands.watch.stops import Stop, Stops

STOP = cast("Stop", object())


class Qemu:
    """Pauses when `may_pause` is set: no vCPU waits at a stop."""

    def __init__(self) -> None:
        self.may_pause = asyncio.Event()
        self.did: list[str] = []

    async def pause(self) -> None:
        self.did.append("asked to pause")
        await self.may_pause.wait()
        self.did.append("paused")

    async def resume(self) -> None:
        self.did.append("resumed")


class Running:
    """A guest whose next stop comes when it is given."""

    running = True

    def __init__(self) -> None:
        self.next: asyncio.Future[Stop] = asyncio.Future()

    async def run(self) -> Stop:
        return await self.next


Use = Callable[[HeldInside, Qemu, Running], Awaitable[None]]


def play(use: Use) -> None:
    async def run() -> None:
        qemu, stops = Qemu(), Running()
        held = HeldInside(cast("Guest", qemu), cast("Stops", stops))
        async with asyncio.timeout(60):
            await use(held, qemu, stops)

    asyncio.run(run())


async def soon() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_guest_without_stops_is_paused_and_let_go_on() -> None:
    async def use(held: HeldInside, qemu: Qemu, stops: Running) -> None:
        qemu.may_pause.set()
        await held.pause()
        await held.resume()
        assert qemu.did == ["asked to pause", "paused", "resumed"]
        assert stops.next.cancelled()
        assert held.take() is None

    play(use)


def test_a_stop_that_comes_first_is_kept_and_the_pause_taken_back() -> None:
    async def use(held: HeldInside, qemu: Qemu, stops: Running) -> None:
        stops.next.set_result(STOP)
        with pytest.raises(QemuFailed, match="by itself"):
            await held.pause()
        with pytest.raises(QemuFailed, match="by itself"):
            await held.pause()
        assert held.take() is STOP
        assert held.take() is None
        await soon()
        assert qemu.did == ["asked to pause"]
        qemu.may_pause.set()  # the vCPU went on
        stops.next = asyncio.Future()
        await held.pause()
        assert qemu.did == [
            "asked to pause", "paused", "resumed", "asked to pause", "paused",
        ]  # fmt: skip

    play(use)


def test_a_guest_that_stands_at_a_stop_is_not_paused() -> None:
    async def use(held: HeldInside, qemu: Qemu, stops: Running) -> None:
        stops.running = False
        with pytest.raises(QemuFailed, match="by itself"):
            await held.pause()
        assert qemu.did == []

    play(use)


def test_a_plugin_that_is_gone_leaves_it_to_qemu() -> None:
    async def use(held: HeldInside, qemu: Qemu, stops: Running) -> None:
        stops.next.set_exception(StubGone("the plugin closed its socket"))
        pausing = asyncio.create_task(held.pause())
        await soon()
        qemu.may_pause.set()
        await pausing
        assert qemu.did == ["asked to pause", "paused"]
        await held.settle()

    play(use)


def test_a_qemu_that_fails_is_told() -> None:
    async def use(held: HeldInside, qemu: Qemu, _stops: Running) -> None:
        async def fail() -> None:
            raise QemuFailed("it is gone")

        cast("Any", qemu).pause = fail
        with pytest.raises(QemuFailed, match="gone"):
            await held.pause()
        await held.settle()

    play(use)
