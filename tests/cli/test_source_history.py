from __future__ import annotations

import json
from pathlib import Path

import pytest

from git_repositories import Repository
from timehands.cli.main import main

PASTED = """\
r12 | ada | 2024-05-16 10:00:00 +0000 (Thu, 16 May 2024) | 1 line

Count upwards.
------------------------------------------------------------------------
"""


@pytest.fixture
def tree(tmp_path: Path) -> str:
    repository = Repository()
    repository.commit({"sys/kern/clock.c": "int a;\nint b;\n"}, message="Add a clock")
    repository.commit(
        {"sys/kern/clock.c": "int a;\nint c;\n"},
        message="Count \x1b[31mupwards\n\nIt went down.",
        author="Bob <bob@example.net>",
    )
    repository.tag("v1.0", 1)
    repository.write(tmp_path / "tree")
    return str(tmp_path / "tree")


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["source", *words]) == status
    return capsys.readouterr().out


def test_the_log_is_told(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, tree, "log", "sys/kern/clock.c", "--stat")
    lines = text.splitlines()
    assert lines[0] == "History of sys/kern/clock.c"
    assert "2024-01-01  Bob" in lines[1]
    assert lines[2].strip() == "Count \\x1b[31mupwards"
    assert lines[3].strip() == "sys/kern/clock.c | +1 -1"
    assert lines[4].endswith("Ada  since v1.0")
    assert lines[-1].startswith("2 changes; by libgit2")


def test_a_patch_comes_with_the_whole_message(
    tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, tree, "log", "sys/kern/clock.c", "--patch", "--limit", "1")
    assert "It went down." in text
    assert "\n-int b;\n+int c;\n" in text
    assert "there may be more" in text


def test_json_has_all_of_it(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = (tree, "log", "sys/kern/clock.c", "--stat", "--patch", "--json")
    data = json.loads(said(capsys, *words))
    assert data["schema"] == 1
    first, last = data["changes"]
    assert (first["author"], first["kind"], first["release"]) == ("Bob", "changed", None)
    assert first["stat"] == [{"path": "sys/kern/clock.c", "added": 1, "removed": 1, "former": None}]
    assert "+int c;" in first["patch"]
    assert last["release"] == {"name": "v1.0", "how": "tag"}


def test_a_pasted_log_needs_no_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(PASTED)
    words = (str(tmp_path), "log", "--pasted", str(tmp_path / "log"))
    assert "r12  2024-05-16  ada\n    Count upwards.\n" in said(capsys, *words)
    assert "No such change." in said(capsys, *words, "--author", "bob", status=1)


def test_without_a_repository_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["source", str(tmp_path), "log", "a.c"]) == 2
    assert "--pasted FILE" in capsys.readouterr().err
    assert main(["source", str(tmp_path / "none"), "log"]) == 2
    assert "No such file" in capsys.readouterr().err


def test_blame_tells_of_a_line(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, tree, "blame", "sys/kern/clock.c:2")
    assert "     2  int c;" in text
    assert "Bob <bob@example.net>" in text
    data = json.loads(said(capsys, tree, "blame", "sys/kern/clock.c:1", "--json"))
    assert data["change"]["subject"] == "Add a clock"
    assert data["change"]["release"]["name"] == "v1.0"
    (Path(tree) / "sys/kern/clock.c").write_text("new\n")
    assert "not committed" in said(capsys, tree, "blame", "sys/kern/clock.c:1")


@pytest.mark.parametrize("place", ["clock.c", "clock.c:", ":1", "clock.c:x", "clock.c:1:2"])
def test_what_is_no_place_is_said(
    tree: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["source", tree, "blame", place]) == 2
    assert capsys.readouterr().err.startswith("timehands: ")


def test_an_answer_is_a_page_too(
    tree: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "log.html"
    said(capsys, tree, "log", "sys/kern/clock.c", "--patch", "--html", str(page))
    text = page.read_text()
    assert '<span class="added">+int c;</span>' in text
    assert "\x1b" not in text
    assert "default-src &#39;none&#39;" in text


def test_a_path_may_be_put_in_other_ways(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(tree, "sys/sys").mkdir()
    Path(tree, "sys/sys/param.h").write_text("#define __NetBSD_Version__ 1099000000\n")
    for path in ("kern/clock.c", f"{tree}/sys/kern/clock.c", "./sys/kern/clock.c"):
        assert said(capsys, tree, "log", path).startswith("History of sys/kern/clock.c\n")
        assert said(capsys, tree, "blame", f"{path}:2").startswith("sys/kern/clock.c:2\n")
    told = said(capsys, tree, "log", "clock.c", status=1)
    assert "Neither the history nor the tree has clock.c. Perhaps sys/kern/clock.c." in told
    told = said(capsys, tree, "log", "sys/sys/param.h", status=1)
    assert "the history from HEAD on has it not" in told
    assert "No such change." in said(capsys, tree, "log", "--author", "nobody", status=1)


def test_what_cannot_be_is_refused(tree: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("log", "--limit", "-3"), "--limit -3 is less than none"),
        (("log", "--git", f"{tree}/none"), "there is no such folder"),
        (("log", "../../etc"), "not a path within the tree"),
        (("blame", "/etc/passwd:1"), "not a path within the tree"),
    ):
        assert main(["source", tree, *words]) == 2
        assert message in capsys.readouterr().err
