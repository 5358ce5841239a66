"""A guest on the real KVM that drives its disk and its entropy by rings and interrupts."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.driving import PATTERN, SECTOR, Driving, sums
from monitor.guests.build import guest
from monitor.running import Talk
from timehands.errors import MachineError
from timehands.monitor.devices.signals import Ending
from timehands.monitor.devices.virtio import Disk, Writes
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings

SECTORS = 32
#: 20 bytes, as words.
NAME = [0x656D6974, 0x646E6168, 0x73, 0, 0]


ROUNDS = 1024


class Tormented(Talk):
    """A guest that does not know what it does, with a disk and entropy."""

    def __init__(self, path: Path, arguments: str) -> None:
        settings = Settings(32 * MIB, disk=Disk(path), entropy=True)
        self.start(guest("torment"), arguments, settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A disk."""
    result = tmp_path / "disk"
    result.write_bytes(bytes(range(256)) * 2 * SECTORS)
    return result


def test_both_are_found_and_take_the_driver(kvm: None, path: Path) -> None:
    with Driving(path) as talk:
        talk.wait_line()
        found = talk.ask(b"a")
    assert found[:7] == [0x74726976, 2, 2, 0x10000246, 15, SECTORS, 1]
    assert found[7:] == [0x74726976, 2, 4, 0x10000000, 15, 0, 1]


@pytest.mark.parametrize("writes", list(Writes))
def test_the_disk_is_written_and_read(kvm: None, path: Path, writes: Writes) -> None:
    before = path.read_bytes()
    after = before[:SECTOR] + PATTERN + before[4 * SECTOR :]
    with Driving(path, writes) as talk:
        talk.wait_line()
        talk.ask(b"a")
        # Each answer ends with whether the rings agree, and how many interrupts have come.
        refused = writes is Writes.REFUSED
        assert talk.ask(b"w") == [int(refused), 0, 0, 2]
        seen = before if refused else after
        assert talk.ask(b"r") == [0, 4 * SECTOR + 1, *sums(seen), 0, 3]
        assert talk.ask(b"o") == [1, 2, 0, 5]
        assert talk.ask(b"i") == [0, 21, *NAME, 0, 6]
        talk.guest.send(b"s")
        assert talk.end() == Ending("guest-reset")
    assert path.read_bytes() == (after if writes is Writes.KEPT else before)


def test_entropy_differs_each_time(kvm: None, path: Path) -> None:
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        answers = [talk.ask(b"e") for _ in range(3)]
    assert [(each[0], each[5:]) for each in answers] == [(16, [0, n]) for n in (1, 2, 3)]
    assert len({tuple(each[1:5]) for each in answers}) == 3


def test_a_driver_that_errs_is_told_and_may_begin_anew(kvm: None, path: Path) -> None:
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        assert talk.ask(b"l") == [15 | 0x40, 2]
        assert talk.guest.virtio["disk"].broken == "a chain of descriptors in a loop"
        talk.ask(b"a")
        assert talk.ask(b"r")[:2] == [0, 4 * SECTOR + 1]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_guest_that_writes_registers_at_random_ends_clearly(
    kvm: None, path: Path, seed: int
) -> None:
    """And its disk is as large as before, and can be had again."""
    size = path.stat().st_size
    with Tormented(path, f"{ROUNDS:x} {seed:x}") as talk:
        ending = talk.end()
        assert ending.reason in ("guest-shutdown", "guest-reset", "lost")
        assert ending.cause is None, ending.words
    assert path.stat().st_size == size
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        assert talk.ask(b"r")[0] == 0


def test_a_disk_that_cannot_be_had_is_told_and_leaves_nothing(kvm: None, path: Path) -> None:
    kernel = memoryview(guest("virtio"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(MachineError, match="No such file"):
        Microvm(Settings(32 * MIB, disk=Disk(path.with_name("none"))), Load(kernel))
    with Driving(path), pytest.raises(MachineError, match="another guest has this disk"):
        Driving(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
