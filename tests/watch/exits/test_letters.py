"""From the threads of vCPUs to the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from timehands.watch.exits import letters as module
from timehands.watch.exits.letters import Letters


class Heard:
    """A sink that keeps all, and can be waited for."""

    def __init__(self) -> None:
        self.said = b""
        self.streamed = b""
        self.news = asyncio.Event()

    def console(self, _host_ns: int, data: bytes) -> None:
        self.said += data
        self.news.set()

    def stream(self, _host_ns: int, data: bytes) -> None:
        self.streamed += data
        self.news.set()

    def machine_event(self, _host_ns: int, name: str, _data: dict[str, Any]) -> None:
        raise AssertionError(name)

    async def until(self, attribute: str, wanted: bytes) -> None:
        """Wait until that has arrived."""
        async with asyncio.timeout(60):
            while getattr(self, attribute) != wanted:
                self.news.clear()
                await self.news.wait()


def in_a_thread(*calls: Any) -> None:
    def work() -> None:
        for call, data in calls:
            call(data)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_lines_prompts_and_records_arrive_in_order() -> None:
    async def talk() -> None:
        heard = Heard()
        letters = Letters(heard)
        in_a_thread((letters.console, b"a"), (letters.console, b"b\n"), (letters.console, b"> "))
        await heard.until("said", b"ab\n> ")
        in_a_thread((letters.record, b"1" * 64), (letters.record, b"2" * 64))
        await heard.until("streamed", b"1" * 64 + b"2" * 64)
        letters.close()

    asyncio.run(talk())


def test_what_came_before_the_end_is_given_and_later_nothing_is() -> None:
    async def talk() -> None:
        heard = Heard()
        letters = Letters(heard)
        letters.console(b"last words")
        letters.close()
        assert heard.said == b"last words"
        letters.console(b"from the grave\n")
        letters.close()
        await asyncio.sleep(0)
        assert heard.said == b"last words"

    asyncio.run(talk())


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONSOLE", 10)
    monkeypatch.setattr(module, "MOST_RECORDS", 64)

    async def talk() -> None:
        heard = Heard()
        letters = Letters(heard)
        for _ in range(3):
            letters.console(b"12345\n")
            letters.record(b"r" * 64)
        assert (letters.lost_console, letters.lost_records) == (12, 2)
        letters.close()
        assert heard.said == b"12345\n"
        assert heard.streamed == b"r" * 64

    asyncio.run(talk())
