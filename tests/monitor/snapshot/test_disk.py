"""Guests with virtio devices that are kept and go on: rings half done, and the disk as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from monitor.driving import SECTOR, Driving, sums, total
from monitor.snapshot.restored import Restored
from timehands.errors import SnapshotError, SnapshotRefused
from timehands.monitor.devices.virtio import Writes
from timehands.monitor.snapshot import document, restore, snapshot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A disk."""
    result = tmp_path / "disk"
    result.write_bytes(bytes(range(256)) * 64)
    return result


@pytest.mark.parametrize("writes", [Writes.KEPT, Writes.REFUSED])
def test_what_was_offered_before_is_done_after_it(kvm: None, path: Path, writes: Writes) -> None:
    with Driving(path, writes) as talk:
        talk.wait_line()
        talk.ask(b"a")
        entropy = talk.ask(b"e")
        talk.ask(b"q")
        snapshot(talk.guest, path.with_name("kept"))
        before = talk.guest.virtio["disk"].registers
    with Restored(path.with_name("kept")) as again:
        assert again.guest.virtio["disk"].registers == before
        # N: status, bytes written, sum of sector 1, whether the rings agree, interrupts so far
        assert again.ask(b"n") == [
            0,
            SECTOR + 1,
            total(path.read_bytes()[SECTOR : 2 * SECTOR]),
            0,
            1,
        ]
        assert again.ask(b"r")[2:6] == sums(path.read_bytes())
        assert again.ask(b"e")[-1] == entropy[-1] + 1
        assert again.ask(b"w")[0] == int(writes is Writes.REFUSED)


def test_an_interrupt_that_was_not_taken_is_there_again(kvm: None, path: Path) -> None:
    """The guest is caught with its device's line raised: before it runs, the line is again."""
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        talk.ask(b"q")
        with talk.guest.paused():
            talk.guest.virtio["disk"].write(0x50, 4, 0)
            kept = snapshot(talk.guest, path.with_name("kept"))
    with Restored(kept) as again:
        assert again.guest.virtio["disk"].registers.interrupts == 1
        assert again.ask(b"n")[0] == 0


def test_a_broken_device_is_still_broken(kvm: None, path: Path) -> None:
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        talk.ask(b"l")
        snapshot(talk.guest, path.with_name("kept"))
    with Restored(path.with_name("kept")) as again:
        assert again.guest.virtio["disk"].registers.status == 15 | 0x40
        again.ask(b"a")
        assert again.ask(b"r")[0] == 0


@pytest.fixture
def kept(kvm: None, path: Path) -> Path:
    """A snapshot of a guest that has written to its disk."""
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        talk.ask(b"w")
        return snapshot(talk.guest, path.with_name("kept"))


def refused(folder: Path, disk: Path | None = None) -> str:
    """Why it cannot go on."""
    with pytest.raises(SnapshotRefused) as caught:
        restore(folder, disk=disk)
    return caught.value.message


def test_a_disk_that_was_written_since_is_refused(kept: Path, path: Path) -> None:
    with Restored(kept) as again:
        again.ask(b"w")  # what it writes is what was there, and nobody can know that
    assert "its disk was changed since: " in refused(kept)


def test_a_guest_that_goes_on_spoils_its_own_snapshot(kvm: None, path: Path) -> None:
    with Driving(path) as talk:
        talk.wait_line()
        talk.ask(b"a")
        talk.ask(b"w")
        folder = snapshot(talk.guest, path.with_name("kept"))
        talk.ask(b"w")
        assert "another guest has this disk" in refused(folder)
    assert "its disk was changed since: " in refused(folder)


def test_a_disk_of_another_size_is_refused(kept: Path, path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, size + SECTOR)
    assert f"its disk was of {size} bytes, and now has {size + SECTOR} since" in refused(kept)


def test_a_disk_that_is_gone_is_refused(kept: Path, path: Path) -> None:
    path.unlink()
    assert "No such file" in refused(kept)


def test_a_copy_with_its_times_will_do(kept: Path, path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    path.unlink()
    assert "No such file" in refused(kept)
    with restore(kept, disk=copy) as guest:
        assert guest.disk is not None
        assert guest.disk.disk.path == copy


def test_what_is_dropped_is_not_kept(kvm: None, path: Path) -> None:
    with Driving(path, Writes.DROPPED) as talk:
        talk.wait_line()
        talk.ask(b"a")
        snapshot(talk.guest, path.with_name("0"))
        talk.ask(b"w")
        with pytest.raises(SnapshotError, match="what the guest wrote to its disk is dropped"):
            snapshot(talk.guest, path.with_name("1"))
    with Restored(path.with_name("0")) as again:
        assert again.ask(b"w")[0] == 0


def test_the_disk_is_told_by_its_whole_path(
    kvm: None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    with Driving(Path(path.name)).guest as guest:
        snapshot(guest, "kept")
    state = document.read(path.with_name("kept"))
    assert state.devices.disk is not None
    assert state.devices.disk.disk.path == path
