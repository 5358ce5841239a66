"""What a history answers, and what it says of repositories that lack something."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from git_repositories import Repository, git, needs_git, random_repository
from timehands.errors import FileUnusable, HistoryUnavailable, UsageError
from timehands.sources.history.filters import day
from timehands.sources.history.history import History, Way
from timehands.sources.tree import SourceTree

WAYS: tuple[Way, ...] = ("libgit2", "git")


def opened(folder: Path, way: Way | None = None, **more: object) -> History:
    return History.open(SourceTree.open(folder), way=way, **more)  # type: ignore[arg-type]


def small() -> Repository:
    repository = Repository()
    version = 'TYPE="FreeBSD"\nREVISION="{}"\nBRANCH="CURRENT"\n'
    repository.commit(
        {"sys/conf/newvers.sh": version.format("14.0"), "sys/kern/a.c": "1\n2\n3\n"},
        message="Add a clock\n\nIt counts\nup.",
    )
    repository.commit({"sys/kern/a.c": "1\ntwo\n3\n"}, author="Bob <bob@example.net>")
    repository.commit({"sys/conf/newvers.sh": version.format("15.0")})
    repository.commit({"sys/kern/b.c": "b\n"}, message="Fix TSC")
    return repository


@pytest.mark.parametrize("way", WAYS)
def test_changes_are_chosen_by_author_date_and_word(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "r")
    with opened(tmp_path / "r", way) as history:
        assert [one.author for one in history.log("sys/kern/a.c")] == ["Bob", "Ada"]
        assert [one.author for one in history.log("sys/kern", author="BOB@")] == ["Bob"]
        assert [one.subject for one in history.log(word="tsc")] == ["Fix TSC"]
        first = list(history.log(word="counts"))
        assert [(one.subject, one.body) for one in first] == [("Add a clock", "It counts\nup.")]
        assert len(list(history.log(limit=2))) == 2
        assert list(history.log(since=day("2025"))) == []
        assert len(list(history.log(since=day("2024-01-01"), until=day("2024", end=True)))) == 4
        assert list(history.log("sys/kern/none.c")) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_tree_below_the_repositorys_root_has_its_own_names(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "r")
    with opened(tmp_path / "r" / "sys", way) as history:
        assert [one.author for one in history.log("kern/a.c")] == ["Bob", "Ada"]
        found = history.blame("kern/a.c", 2)
        assert found.change is not None
        assert (found.change.author, found.text) == ("Bob", "two")


@pytest.mark.parametrize("way", WAYS)
def test_bare_repositories_and_worktrees_are_read(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "bare", bare=True)
    git(tmp_path / "bare", "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    with opened(tmp_path / "bare", way) as history:
        assert len(list(history.log("sys/kern/a.c"))) == 2
        assert history.blame("sys/kern/a.c", 2).text == "two"
    with opened(tmp_path / "tree", way) as history:
        assert len(list(history.log("sys/kern/a.c"))) == 2
        assert history.blame("sys/kern/a.c", 2).text == "two"


@pytest.mark.parametrize("way", WAYS)
def test_a_repository_elsewhere_serves_an_unpacked_tree(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "bare", bare=True)
    kernel = tmp_path / "sys"
    (kernel / "kern").mkdir(parents=True)
    (kernel / "conf").mkdir()
    (kernel / "conf" / "newvers.sh").write_text('TYPE="FreeBSD"\n')
    (kernel / "kern" / "a.c").write_text("0\n1\ntwo\nthree\n")
    with opened(kernel, way, git_dir=tmp_path / "bare") as history:
        assert len(list(history.log("kern/a.c"))) == 2
        lines = [history.blame("kern/a.c", number) for number in (1, 2, 3, 4)]
    authors = [one.change.author if one.change else None for one in lines]
    assert authors == [None, "Ada", "Bob", None]


@pytest.mark.parametrize("way", WAYS)
def test_a_line_that_is_not_committed_has_no_change(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "r")
    (tmp_path / "r/sys/kern/a.c").write_text("new\n1\ntwo\n3\n")
    (tmp_path / "r/sys/kern/new.c").write_text("new\n")
    with opened(tmp_path / "r", way) as history:
        assert history.blame("sys/kern/a.c", 1).change is None
        assert history.blame("sys/kern/new.c", 1).change is None
        found = history.blame("sys/kern/a.c", 3)
        assert found.change is not None
        assert (found.change.author, found.line) == ("Bob", 2)
        for file, line in (("sys/kern/a.c", 5), ("sys/kern/a.c", 0), ("none.c", 1), ("../a", 1)):
            with pytest.raises(FileUnusable):
                history.blame(file, line)


@pytest.mark.parametrize("way", WAYS)
def test_the_first_release_is_a_tag_or_the_version_in_the_tree(tmp_path: Path, way: Way) -> None:
    repository = small()
    repository.tag("release/14.0.0-rc1", 2)
    repository.tag("release/14.0.0", 3)
    repository.tag("vendor", 2)
    ids = repository.write(tmp_path / "r")
    with opened(tmp_path / "r", way) as history:
        told = [history.first_release(id) for id in ids]
    assert [str(one) for one in told] == [
        "release/14.0.0",
        "release/14.0.0",
        "release/14.0.0",
        "FreeBSD 15.0-CURRENT",
    ]
    assert [one.how for one in told if one] == ["tag"] * 3 + ["conf/newvers.sh"]


@pytest.mark.parametrize("way", WAYS)
def test_a_shallow_clone_says_where_it_ends(tmp_path: Path, way: Way) -> None:
    small().write(tmp_path / "r")
    source = (tmp_path / "r").as_uri()
    git(tmp_path, "clone", "-q", "--depth", "2", source, "clone")
    with opened(tmp_path / "clone", way) as history:
        changes = list(history.log("sys/kern/a.c"))
        assert [one.cut for one in changes] == [True]
        assert history.stat(changes[0]) == []
        found = history.blame("sys/kern/a.c", 2)
        assert found.change is not None
        assert found.change.cut
    assert len(history.complaints) == 1
    assert "shallow" in history.complaints[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_commit_leaves_a_partial_answer(tmp_path: Path, way: Way) -> None:
    ids = small().write(tmp_path / "r")
    (tmp_path / "r/.git/objects" / ids[0][:2] / ids[0][2:]).unlink()
    with opened(tmp_path / "r", way) as history:
        assert [one.author for one in history.log("sys/kern/a.c")] == ["Bob"]
        assert any(ids[0][:12] in text for text in history.complaints)
        found = history.blame("sys/kern/a.c", 1)
    assert found.change is not None
    assert any("the line may be older" in text for text in history.complaints)


def test_what_is_skipped_at_once_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = random_repository(5)
    repository.write(tmp_path / "r")
    files = git(tmp_path / "r", "ls-tree", "-r", "--name-only", "HEAD").split()
    told = []
    for most in (10_000, 1):
        monkeypatch.setattr("timehands.sources.history.libgit._MOST_SKIPPED", most)
        with opened(tmp_path / "r", "libgit2") as history:
            logs = [[one.revision for one in history.log(file)] for file in files]
            told.append((logs, [history.blame(file, 1).change for file in files]))
    assert told[0] == told[1]
    assert any(len(log) > 3 for log in told[0][0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_line_whose_committed_file_is_damaged_is_not_taken_for_a_new_one(
    tmp_path: Path, way: Way, damage: bytes | None
) -> None:
    small().write(tmp_path / "r")
    blob = git(tmp_path / "r", "rev-parse", "HEAD:sys/kern/a.c").strip()
    stored = tmp_path / "r/.git/objects" / blob[:2] / blob[2:]
    stored.unlink()
    if damage is not None:
        stored.write_bytes(damage)
    with opened(tmp_path / "r", way) as history, pytest.raises(FileUnusable, match="damaged"):
        history.blame("sys/kern/a.c", 1)


@pytest.mark.parametrize("way", WAYS)
def test_no_repository_an_empty_one_and_a_broken_one_are_told_apart(
    tmp_path: Path, way: Way
) -> None:
    needs_git()
    with pytest.raises(HistoryUnavailable, match="no git repository"):
        opened(tmp_path, way)
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(HistoryUnavailable, match="no commit that HEAD leads to"):
        opened(tmp_path / "empty", way)
    ids = small().write(tmp_path / "r")
    with pytest.raises(HistoryUnavailable, match="no revision v9"):
        opened(tmp_path / "r", way, revision="v9")
    commit = tmp_path / "r/.git/objects" / ids[-1][:2] / ids[-1][2:]
    commit.chmod(0o600)
    commit.write_bytes(b"damaged")
    with pytest.raises(HistoryUnavailable, match="damaged"):
        opened(tmp_path / "r", way)


def test_without_libgit2_the_git_command_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small().write(tmp_path / "r")
    monkeypatch.setitem(sys.modules, "pygit2", None)
    monkeypatch.delitem(sys.modules, "timehands.sources.history.libgit", raising=False)
    with opened(tmp_path / "r") as history:
        assert history.way.startswith("git version")
        assert len(list(history.log())) == 4


def test_nothing_that_a_repository_names_is_run(tmp_path: Path) -> None:
    small().write(tmp_path / "r")
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "core.pager", "diff.c.textconv"):
        git(tmp_path / "r", "config", name, str(trap))
    (tmp_path / "r/.git/info/attributes").write_text("*.c diff=c\n")
    for way in WAYS:
        with opened(tmp_path / "r", way) as history:
            for change in history.log("sys/kern/a.c"):
                assert history.stat(change)
                assert history.patch(change)
            assert history.blame("sys/kern/a.c", 2).change is not None
    assert not (tmp_path / "sprung").exists()


def test_a_question_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    small().write(tmp_path / "r")
    with opened(tmp_path / "r", seconds=0.0) as history:
        assert list(history.log()) == []
    assert "stopped after 0 s" in history.complaints[0]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "2024-01-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2024-12", "2024-12-01T00:00:00", "2024-12-31T23:59:59"),
        ("2024-11-5", "2024-11-05T00:00:00", "2024-11-05T23:59:59"),
    ],
)
def test_a_date_is_a_year_a_month_or_a_day(text: str, first: str, last: str) -> None:
    assert day(text).isoformat().startswith(first)
    assert day(text, end=True).isoformat().startswith(last)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13", "2024-02-30", "0000", "9999-12-31x"])
def test_what_is_no_date_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        day(text)
