from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import FileUnusable, TreeUnusable
from timehands.sources.tree import MAX_FILE_BYTES, SourceTree, Where

MARKS = {
    "freebsd": ("conf/newvers.sh", 'TYPE="FreeBSD"\nREVISION="14.2"\n'),
    "netbsd": ("sys/param.h", "#define\t__NetBSD_Version__\t1099001200\n"),
    "openbsd": ("conf/newvers.sh", 'ost="OpenBSD"\nosr="7.6"\n'),
}


def put(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("kind", MARKS)
@pytest.mark.parametrize("below", ["sys", ""])
def test_a_bsd_is_known_from_its_root_and_from_its_sys(
    tmp_path: Path, kind: str, below: str
) -> None:
    name, text = MARKS[kind]
    put(tmp_path, **{f"{below}/{name}".lstrip("/"): text})
    tree = SourceTree.open(tmp_path)
    assert (tree.kind, tree.sys, tree.complaints) == (kind, below, ())
    assert tree.read(tree.below_sys(name)) == text.encode()


def test_linux_is_known(tmp_path: Path) -> None:
    put(tmp_path, Makefile="VERSION = 6\nPATCHLEVEL = 1\n", Kconfig="")
    assert SourceTree.open(tmp_path).kind == "linux"


def test_anything_else_is_a_tree_too_with_a_complaint(tmp_path: Path) -> None:
    put(tmp_path, **{"a.c": "int a;\n"})
    tree = SourceTree.open(tmp_path)
    assert tree.kind == "unknown"
    assert tree.complaints
    assert tree.text("a.c") == "int a;\n"


@pytest.mark.parametrize("path", ["missing", "file", "in\0valid"])
def test_what_is_no_folder_is_no_tree(tmp_path: Path, path: str) -> None:
    put(tmp_path, file="x")
    with pytest.raises(TreeUnusable):
        SourceTree.open(tmp_path / path)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, **{"secret": "s", "tree/a.c": "a", "outside/b.c": "b"})
    root = tmp_path / "tree"
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in.c").symlink_to("a.c")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "round").symlink_to("round")
    tree = SourceTree.open(root)
    assert list(tree.files()) == ["a.c", "in.c"]
    assert tree.read("in.c") == b"a"
    for name in ("out", "folder/b.c", "round", "../secret", str(tmp_path / "secret"), "", "a\0"):
        with pytest.raises(FileUnusable):
            tree.read(name)
        assert not tree.exists(name)


def test_only_regular_files_in_bounds_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    tree = SourceTree.open(tmp_path)
    for name in ("pipe", "folder", "large", "missing"):
        with pytest.raises(FileUnusable, match=f"^{name}: "):
            tree.read(name)


def test_text_in_an_odd_encoding_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_bytes(b"/* caf\xe9 */\n")
    assert SourceTree.open(tmp_path).text("a.c") == "/* caf\u00e9 */\n"


def test_files_are_listed_in_order_without_version_control(tmp_path: Path) -> None:
    put(tmp_path, **{"sys/b.c": "", "sys/a/c.c": "", ".git/config": "", "z": ""})
    tree = SourceTree.open(tmp_path)
    assert list(tree.files()) == ["sys/a/c.c", "sys/b.c", "z"]
    assert list(tree.files("sys/a")) == ["sys/a/c.c"]
    with pytest.raises(FileUnusable):
        list(tree.files("../.."))


def test_a_place_prints_as_people_write_it() -> None:
    assert str(Where("sys/x86/x86/tsc.c", 123)) == "sys/x86/x86/tsc.c:123"


@given(name=st.text(max_size=40))
def test_no_name_leads_out_or_crashes(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzzed"
    root.mkdir(exist_ok=True)
    tree = SourceTree.open(root)
    with pytest.raises(FileUnusable):
        tree.read(name)
