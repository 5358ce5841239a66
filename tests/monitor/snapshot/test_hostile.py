"""Well-formed snapshots that lie, on the real KVM: an error, or a guest that can be closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.running import Talk
from timehands.errors import KvmUnavailable, SnapshotDamaged, SnapshotError, TimehandsError
from timehands.kvm import Kvm
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.snapshot import document, memory_file, restore, snapshot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a guest with our devices."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)
    path = tmp_path_factory.mktemp("hostile") / "kept"
    with Talk("kept", clocks=Clocks(pvclock=Maker.OURS, pit=Maker.OURS)) as talk:
        talk.wait_line()
        talk.ask(b"S")
        return snapshot(talk.guest, path)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each number and string of digits."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(child, (*path, key))
    elif path[0] != "memory":
        yield path


def lied(plain: Any, place: tuple[Any, ...], bits: int) -> None:
    """Turn some bits of the value there over."""
    for key in place[:-1]:
        plain = plain[key]
    value = plain[place[-1]]
    if isinstance(value, bool):
        plain[place[-1]] = not value
    elif isinstance(value, int):
        plain[place[-1]] = value ^ bits
    elif isinstance(value, str) and len(value) > 16:
        at = bits % (len(value) - 16)
        plain[place[-1]] = f"{value[:at]}{bits & 2**64 - 1:016x}{value[at + 16 :]}"


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data(), bits=st.integers(1, 2**64 - 1))
def test_lies_end_in_an_error_or_in_a_guest(folder: Path, data: st.DataObject, bits: int) -> None:
    plain = json.loads((folder / document.NAME).read_bytes())["state"]
    for place in data.draw(st.lists(st.sampled_from(list(leaves(plain))), min_size=1, max_size=3)):
        lied(plain, place, bits)
    head = {"format": document.FORMAT, "version": document.VERSION}
    text = json.dumps({**head, "sha256": document._digest(plain), "state": plain})
    other = folder.with_name("lies")
    other.mkdir(exist_ok=True)
    (other / document.NAME).write_text(text)
    memory = other / memory_file.NAME
    if not memory.exists():
        memory.symlink_to(folder / memory_file.NAME)
    try:
        guest = restore(other)
    except TimehandsError as error:
        assert str(error)
        return
    with guest:
        try:
            guest.resume()
        except TimehandsError as error:
            assert str(error)
        guest.wait(0.02)


@pytest.mark.parametrize("name", [document.NAME, memory_file.NAME])
def test_a_file_that_is_missing(folder: Path, tmp_path: Path, name: str) -> None:
    for each in {document.NAME, memory_file.NAME} - {name}:
        (tmp_path / each).symlink_to(folder / each)
    with pytest.raises(SnapshotError, match=f"{tmp_path}: cannot be read: No such file"):
        restore(tmp_path)


def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        restore(tmp_path / "nowhere")


def test_a_guest_whose_memory_is_damaged_is_not_left_behind(folder: Path, tmp_path: Path) -> None:
    (tmp_path / document.NAME).symlink_to(folder / document.NAME)
    data = bytearray((folder / memory_file.NAME).read_bytes())
    data[-1] ^= 1
    (tmp_path / memory_file.NAME).write_bytes(data)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SnapshotDamaged, match="SHA-256"):
        restore(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
