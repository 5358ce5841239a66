"""Taking a snapshot: what cannot be kept is refused, what fails leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.running import Talk
from timehands.errors import KvmRefused, SnapshotError
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.microvm import Microvm
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.snapshot import document, memory_file, snapshot, take


@pytest.fixture
def talk(kvm: None) -> Talk:
    """A guest that is there, not yet resumed."""
    return Talk("kept", clocks=Clocks())


def test_a_guest_that_ran_goes_on_and_one_that_stood_stands(talk: Talk, tmp_path: Path) -> None:
    with talk.guest as guest:
        snapshot(guest, tmp_path / "0")
        assert not guest.running
        guest.resume()
        snapshot(guest, str(tmp_path / "1"))
        assert guest.running
        talk.wait_line()


def test_an_empty_folder_is_taken_and_a_full_one_is_not(talk: Talk, tmp_path: Path) -> None:
    with talk.guest as guest:
        assert snapshot(guest, tmp_path) == tmp_path
        before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
        assert before.keys() == {document.NAME, memory_file.NAME}
        with pytest.raises(SnapshotError, match="there is something"):
            snapshot(guest, tmp_path)
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_file_is_no_folder(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with talk.guest as guest, pytest.raises(SnapshotError, match="cannot be written"):
        snapshot(guest, tmp_path / "file" / "kept")


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_is_full_leaves_nothing(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "kept"
    if there:
        folder.mkdir()
    monkeypatch.setattr(document, "write", full)
    with talk.guest as guest:
        guest.resume()
        with pytest.raises(SnapshotError, match="No space left"):
            snapshot(guest, folder)
        assert guest.running
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])


def test_a_guest_that_has_ended_is_refused(talk: Talk, tmp_path: Path) -> None:
    with talk.guest as guest:
        guest.stop()
        with pytest.raises(SnapshotError, match="has ended"):
            snapshot(guest, tmp_path / "kept")


def test_a_device_that_is_not_known_is_refused(talk: Talk, tmp_path: Path) -> None:
    class Telex:
        def read(self, _offset: int, _size: int) -> int:
            return 0

        def write(self, _offset: int, _size: int, _value: int) -> None:
            """Nobody reads it."""

    with talk.guest as guest:
        guest.ports.add(0x1234, 1, Telex())
        with pytest.raises(SnapshotError, match="Telex"):
            snapshot(guest, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_msrs_that_cannot_be_read_are_left_out(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    msrs = Vcpu.msrs

    def without_one(self: Vcpu, indices: list[int]) -> dict[int, int]:
        if 0x174 in indices:
            raise KvmRefused("KVM_GET_MSRS", on=self.name)
        return msrs(self, indices)

    with talk.guest as guest:
        whole = take.collect(guest).processors[0].msrs
        monkeypatch.setattr(Vcpu, "msrs", without_one)
        assert take.collect(guest).processors[0].msrs.keys() == whole.keys() - {0x174}


def test_what_the_guest_needs_is_what_its_clocks_are(kvm: None) -> None:
    def names(guest: Microvm) -> set[str]:
        with guest:
            return {each.name for each in take.needs(guest)}

    kvms = names(Talk("kept", clocks=Clocks(tsc_deadline=True)).guest)
    ours = Clocks(pvclock=Maker.OURS, pit=Maker.OURS, tsc_deadline=False)
    own = names(Talk("kept", clocks=ours).guest)
    assert kvms - own >= {"ADJUST_CLOCK", "PIT2", "PIT_STATE2", "TSC_DEADLINE_TIMER"}
    assert own - kvms == {"X86_USER_SPACE_MSR", "X86_MSR_FILTER"}
