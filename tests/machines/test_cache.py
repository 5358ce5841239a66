"""The cache folder: private, found or replaced, and written without halves."""

from __future__ import annotations

import stat
import tempfile
import threading
from pathlib import Path

import pytest

from timehands.machines.cache import cache_folder, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder("a", "b")
    assert folder == tmp_path / "timehands" / "a" / "b"
    assert mode(folder) == 0o700


def test_without_a_cache_home_it_is_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / ".cache" / "timehands" / "x"


def unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache home that is a file, and a temporary folder of the test's own."""
    (tmp_path / "file").write_text("")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def test_what_cannot_be_written_is_replaced_by_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = unwritable(tmp_path, monkeypatch)
    folder = cache_folder("x")
    assert folder.is_relative_to(temporary)
    assert mode(folder) == mode(folder.parent) == 0o700
    assert cache_folder("x") == folder


@pytest.mark.parametrize("trap", ["link", "open", "file"])
def test_a_folder_that_another_user_could_have_prepared_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    import os

    temporary = unwritable(tmp_path, monkeypatch)
    expected = temporary / f"timehands-{os.getuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        expected.symlink_to(elsewhere)
    elif trap == "open":
        expected.mkdir()
        expected.chmod(0o777)
    else:
        expected.write_text("")
    folder = cache_folder("x")
    assert not folder.is_relative_to(expected)
    assert not list(elsewhere.iterdir())
    assert mode(folder.parent) == 0o700


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    contents = [bytes([n]) * 200_000 for n in range(20)]
    write_atomically(path, contents[0])
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents:
        write_atomically(path, content)
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert mode(path) == 0o600


def test_a_write_that_fails_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    with pytest.raises(OSError):
        write_atomically(tmp_path / "folder", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
