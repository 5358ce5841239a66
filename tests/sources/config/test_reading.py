"""Reading a tree's files: what the answer rests on is noted, and nothing outside is read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config_trees import let_the_clock_tick
from timehands.sources.config.cache import holds
from timehands.sources.config.reading import Reader
from timehands.sources.tree import SourceTree

LATER = 10**10


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    root = tmp_path / "tree"
    (root / "conf").mkdir(parents=True)
    (root / "conf/files").write_bytes(b"caf\xe9\r\n")
    (root / "conf/link").symlink_to("files")
    (tmp_path / "secret").write_text("secret")
    (root / "conf/out").symlink_to(tmp_path / "secret")
    (root / "away").symlink_to(tmp_path)
    os.mkfifo(root / "conf/pipe")
    return Reader(SourceTree.open(root))


def test_what_is_read(reader: Reader) -> None:
    assert reader.text("conf/files") == reader.text("conf/link") == "caf\xe9\n"
    assert reader.complaints.all() == ()
    refused = ("conf/out", "away/secret", "conf/pipe", "conf", "conf/none", "../secret", "a\0b", "")
    for file in refused:
        assert reader.text(file) is None
        assert not reader.has(file)
    assert len(reader.complaints.all()) == len(refused)
    assert reader.has("conf/link")
    assert reader.names("conf") == {"files", "link", "out", "pipe"}
    assert reader.names("away") == reader.names("conf/files") == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "conf/files").write_text("other"),
        lambda root: (root / "conf/missing").write_text(""),
        lambda root: (root / "conf/more").mkdir(),
        lambda root: (root / "none").mkdir(),
    ],
)
def test_what_it_rests_on(reader: Reader, change: Callable[[Path], object]) -> None:
    reader.text("conf/link")
    reader.has("conf/missing")
    reader.text("none/at/all")
    reader.names("conf")
    reader.names("none")
    assert reader.seen.settled(time.time_ns() + LATER)
    assert holds(*reader.seen.pack())
    let_the_clock_tick(reader.tree.root, reader.tree.root.with_name("probe"))
    change(reader.tree.root)
    assert not holds(*reader.seen.pack())


def test_an_answer_that_is_not_whole_is_not_kept(reader: Reader) -> None:
    reader.deadline = 0
    assert reader.late()
    assert not reader.seen.settled(time.time_ns() + LATER)
