"""What is kept of a tree: used again while nothing changed, and never after a change."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config_trees import let_the_clock_tick
from timehands.sources.config import cache
from timehands.sources.config.cache import Kept, Seen, Tables

LATER = 10**10


class Maker:
    """Makes rows of a folder's files; counts how often."""

    def __init__(self, tree: Path) -> None:
        self.tree, self.calls = tree, 0
        self.whole = True

    def __call__(self, seen: Seen) -> Tables:
        self.calls += 1
        seen.note(self.tree)
        seen.note(self.tree / "absent")
        if not self.whole:
            seen.spoil()
        for path in self.tree.iterdir():
            seen.note(path)
        text = {path.name: [path.read_text(), 1] for path in sorted(self.tree.iterdir())}
        return {"text": text, "about": {"b": {"x": None}, "a": "ä\udc80"}}


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_text("1")
    (tree / "two").write_text("2")
    return Maker(tree)


@pytest.fixture
def kept(maker: Maker, tmp_path: Path) -> Callable[[], Kept]:
    def again(key: str = "key") -> Kept:
        return Kept(tmp_path / "kept", (key,), maker, lambda: time.time_ns() + LATER)

    return again


def test_what_was_made_is_found_again(kept: Callable[[], Kept], maker: Maker) -> None:
    for number, one in enumerate((kept(), kept(), kept())):
        assert one.ready == bool(number)
        assert one.get("text", "one") == ["1", 1]
        assert one.get("about", "a") == "ä\udc80"
        assert one.decoded("about", "b", list) == ["x"]
        assert (one.get("text", "three"), one.get("no", "one")) == (None, None)
        assert (one.keys("about"), one.keys("text")) == (["b", "a"], ["one", "two"])
        one.close()
    assert maker.calls == 1


def _edit(tree: Path) -> None:
    (tree / "one").write_text("9")  # of the same size


def _edit_with_the_old_time(tree: Path) -> None:
    was = (tree / "one").stat()
    (tree / "one").write_text("9")
    os.utime(tree / "one", ns=(was.st_atime_ns, was.st_mtime_ns))


def _replace(tree: Path) -> None:
    (tree / "new").write_text("9")
    (tree / "new").replace(tree / "one")


def _link(tree: Path) -> None:
    (tree.parent / "elsewhere").write_text("9")
    (tree / "one").unlink()
    (tree / "one").symlink_to(tree.parent / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        _edit, _edit_with_the_old_time, _replace, _link,
        lambda tree: (tree / "one").unlink(),
        lambda tree: (tree / "absent").write_text(""),
        lambda tree: (tree / "three").write_text("3"),
    ],
)  # fmt: skip
def test_a_change_is_seen(
    change: Callable[[Path], object], kept: Callable[[], Kept], maker: Maker, tmp_path: Path
) -> None:
    before = kept()
    before.get("text", "one")
    let_the_clock_tick(maker.tree, tmp_path / "probe")
    change(maker.tree)
    after = kept()
    assert not after.ready
    names = sorted(path.name for path in maker.tree.iterdir())
    assert after.keys("text") == names
    assert [after.get("text", name) for name in names] == [
        [(maker.tree / name).read_text(), 1] for name in names
    ]
    assert maker.calls == 2


def test_a_tree_that_changed_just_now_is_not_kept(maker: Maker, tmp_path: Path) -> None:
    now = max(path.stat().st_ctime_ns for path in maker.tree.iterdir()) + 10
    for _ in range(2):
        assert Kept(tmp_path, ("key",), maker, lambda: now).get("text", "one") == ["1", 1]
    assert maker.calls == 2


def test_what_is_not_whole_is_not_kept(kept: Callable[[], Kept], maker: Maker) -> None:
    maker.whole = False
    assert [kept().get("text", "two") for _ in range(2)] == [["2", 1]] * 2
    assert maker.calls == 2


def test_a_file_that_changes_while_it_is_read_spoils_the_answer(maker: Maker) -> None:
    seen = Seen()
    seen.note(maker.tree / "one")
    (maker.tree / "one").write_text("longer")
    seen.note(maker.tree / "one")
    assert not seen.settled(time.time_ns() + LATER)


def _damage(data: bytes) -> list[bytes]:
    """A file cut off, empty, not a database, and with each of some bytes turned."""
    turned = [
        data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :] for at in range(0, len(data), 1499)
    ]
    return [b"", b"x" * 5000, data[: len(data) // 2], *turned]


def test_what_is_damaged_is_made_anew(
    kept: Callable[[], Kept], maker: Maker, tmp_path: Path
) -> None:
    kept().get("text", "one")
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.read_bytes()
    for data in _damage(whole):
        file.write_bytes(data)
        one = kept()
        assert (one.get("text", "one"), one.get("about", "b")) == (["1", 1], {"x": None})
        assert one.keys("text") == ["one", "two"]
        one.close()


def test_a_row_of_another_shape_is_made_anew(kept: Callable[[], Kept], maker: Maker) -> None:
    refused: list[object] = []

    def decoded(row: list[object]) -> str:
        if not refused:
            refused.append(row)
            raise TypeError
        return str(row[0])

    kept().get("text", "one")
    assert kept().decoded("text", "one", decoded) == "1"
    assert maker.calls == 2


def test_other_code_makes_other_rows(
    kept: Callable[[], Kept], maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept().get("text", "one")
    monkeypatch.setattr(cache, "code", lambda: "other")
    assert not kept().ready


def test_a_folder_that_cannot_be_written_is_no_error(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (None, tmp_path / "file", Path("/proc/none")):
        one = Kept(folder, ("key",), maker, lambda: time.time_ns() + LATER)
        assert one.get("text", "one") == ["1", 1]


def test_only_the_newest_are_kept(kept: Callable[[str], Kept], tmp_path: Path) -> None:
    for number in range(30):
        kept(str(number)).get("text", "one")
    assert len(list((tmp_path / "kept").iterdir())) == cache._MOST_ENTRIES
    assert kept("29").ready
