"""The host's side of the talk, with a guest that says what we choose."""

from __future__ import annotations

import asyncio

from timehands.conform.log import read_log
from timehands.conform.talk import MAX_BYTES, SAMPLES, Talk, talk
from timehands.errors import MachineError


class Vmm:
    """A machine that answers by a table; ``sent`` are the bytes that it was sent."""

    def __init__(self, *can: str, fails: bool = False) -> None:
        self.can = frozenset(can)
        self.cannot = {"snapshot": "no disk"}
        self.heard: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.sent = bytearray()
        self.did: list[str] = []
        self._fails = fails

    def send(self, data: bytes) -> None:
        self.sent += data
        if data == b"s":
            self.say(b"S first tsc=0x1 tsc_after=0x2\n")
        elif data == b"q":
            self.say(None)

    def say(self, data: bytes | None) -> None:
        self.heard.put_nowait(None if data is None else (7, data))

    async def do(self, what: str) -> str:
        self.did.append(what)
        if self._fails:
            raise MachineError("no such thing")
        return "policy=wall"


def talked(vmm: Vmm, *said: bytes | None, seconds: float = 60) -> Talk:
    for data in said:
        vmm.say(data)
    return asyncio.run(talk(vmm, seconds))


def test_a_greeting_is_answered() -> None:
    vmm = Vmm()
    talked(vmm, b"H hello\n", None)
    assert vmm.sent == b"h"


def test_a_row_is_so_many_samples_each_between_two_times() -> None:
    vmm = Vmm()
    said = talked(vmm, b"H row first\n")
    log = read_log(said.lines)
    assert vmm.sent == b"s" * SAMPLES + b"q"
    assert len(log.samples) == SAMPLES
    assert all(sample.asked_ns and sample.came_ns == 7 for sample in log.samples)


def test_what_can_be_done_is_done_and_noted() -> None:
    vmm = Vmm("pause")
    said = talked(vmm, b"H do pause\nH ready\n", None)
    note = read_log(said.lines).notes["pause"]
    assert vmm.sent == b"ad"
    assert vmm.did == ["pause"]
    assert note["policy"] == "wall"
    assert int(note["from"], 0) <= int(note["to"], 0)


def test_what_cannot_be_done_is_refused() -> None:
    vmm = Vmm("pause")
    said = talked(vmm, b"H do snapshot\nH ready\n", None)
    assert (vmm.sent, vmm.did) == (b"n", [])
    assert read_log(said.lines).notes["cannotsnapshot"] == {"why": "no-disk"}


def test_what_goes_wrong_is_noted_and_the_guest_goes_on() -> None:
    vmm = Vmm("pause", fails=True)
    said = talked(vmm, b"H do pause\nH ready\n", None)
    assert read_log(said.lines).notes["failedpause"] == {"why": "no-such-thing"}
    assert vmm.sent == b"ad"


def test_a_line_has_the_time_of_its_first_byte() -> None:
    said = Talk(Vmm())
    assert said.listen(10, b"B tsc") == []
    assert said.listen(20, b".rate\r\nE") == ["B tsc.rate"]
    assert said.listen(30, b" 0\n") == ["E 0"]
    assert [line.host_ns for line in said.lines] == [10, 20]


def test_a_guest_that_says_nothing_is_given_up() -> None:
    assert talked(Vmm(), seconds=0.01).over == "timeout"


def test_a_guest_cannot_say_what_the_host_says() -> None:
    said = talked(Vmm(), b"> date realtime=0x1 monotonic=0x1\n  > asked\n", None)
    log = read_log(said.lines)
    assert log.notes["date"] != {"realtime": "0x1", "monotonic": "0x1"}
    assert not [line for line in said.lines if line.text.strip().startswith("> asked")]


def test_a_flood_ends_the_talk() -> None:
    vmm = Vmm()
    assert talked(vmm, b"x" * (MAX_BYTES + 1)).over == "flood"
    assert sum(len(line.text) for line in talked(Vmm(), b"y" * MAX_BYTES, None).lines) < 1 << 16
