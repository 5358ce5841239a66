"""Log and blame against git's own, in both ways."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from git_repositories import Repository, git, needs_git, random_repository
from timehands.sources.history.history import History, Kind, Way
from timehands.sources.tree import SourceTree

ROOT = Path(__file__).parents[3]
WAYS: tuple[Way, ...] = ("libgit2", "git")
FILES = ("a.c", "b.c", "d/e.c", "d", "")


def opened(folder: Path, way: Way) -> History:
    return History.open(SourceTree.open(folder), way=way)


def blamed(text: str) -> list[tuple[str, str, int]]:
    """Commit, path and line there, from ``git blame --line-porcelain``."""
    found, head = [], None
    for line in text.split("\n"):
        words = line.split(" ")
        if len(words[0]) == 40 and len(words) in (3, 4):
            head = words
        elif line.startswith("filename ") and head:
            found.append((head[0], line.removeprefix("filename "), int(head[1])))
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_log_and_blame_are_gits(tmp_path: Path, seed: int, way: Way) -> None:
    folder = tmp_path / "r"
    random_repository(seed).write(folder)
    with opened(folder, way) as history:
        for path in FILES:
            theirs = git(folder, "log", "--format=%H", "--", path or ".").split()
            ours = [change.revision for change in history.log(path, follow=False)]
            assert ours == theirs, path
        for path in ("a.c", "d/e.c"):
            for number, line in enumerate(
                blamed(git(folder, "blame", "--line-porcelain", path)), 1
            ):
                one = history.blame(path, number)
                assert one.change is not None
                assert (one.change.revision, one.path, one.line) == line
        assert history.complaints == []


@pytest.mark.parametrize("way", WAYS)
def test_on_a_straight_history_renames_are_followed_as_git_does(tmp_path: Path, way: Way) -> None:
    repository = Repository()
    lines = [f"int a{n};" for n in range(20)]
    repository.commit({"one.c": "\n".join(lines) + "\n", "other.c": "int other;\n"})
    repository.commit({"one.c": "\n".join([*lines, "int b;"]) + "\n"})
    moved = "\n".join([*lines[2:], "int c;"]) + "\n"
    repository.commit({"one.c": None, "sub/two.c": moved})
    repository.commit({"sub/two.c": moved + "int d;\n"})
    repository.commit({"sub/two.c": None, "sub/three.c": moved + "int d;\n"})
    folder = tmp_path / "r"
    repository.write(folder)
    with opened(folder, way) as history:
        changes = list(history.log("sub/three.c"))
        line = history.blame("sub/three.c", 1)
    theirs = git(folder, "log", "--follow", "--format=%H", "--", "sub/three.c").split()
    assert [change.revision for change in changes] == theirs
    assert [(one.path, one.kind, one.former) for one in changes] == [
        ("sub/three.c", Kind.RENAMED, "sub/two.c"),
        ("sub/two.c", Kind.CHANGED, None),
        ("sub/two.c", Kind.RENAMED, "one.c"),
        ("one.c", Kind.CHANGED, None),
        ("one.c", Kind.ADDED, None),
    ]
    assert (line.path, line.line, line.text) == ("one.c", 3, "int a2;")


@pytest.mark.parametrize("way", WAYS)
def test_stats_and_patches_are_gits(tmp_path: Path, way: Way) -> None:
    folder = tmp_path / "r"
    random_repository(7, merges=False).write(folder)
    with opened(folder, way) as history:
        for change in history.log("a.c", follow=False):
            said = git(folder, "show", "--format=", "--numstat", change.revision, "--", "a.c")
            added, removed, path = said.split()
            (stat,) = history.stat(change)
            assert (stat.added, stat.removed, stat.path) == (int(added), int(removed), path)
            patch = git(folder, "show", "--format=", change.revision, "--", "a.c").splitlines()
            ours = [line for line in history.patch(change) if not line.startswith("index ")]
            assert ours == [line for line in patch if not line.startswith("index ")]


@pytest.mark.parametrize("way", WAYS)
def test_a_renamed_files_patch_is_against_its_former_name(tmp_path: Path, way: Way) -> None:
    repository = Repository()
    repository.commit({"one.c": "1\n2\n3\n4\n5\n6\n"})
    repository.commit({"one.c": None, "two.c": "1\n2\n3\n4\n5\n7\n"})
    repository.write(tmp_path / "r")
    with opened(tmp_path / "r", way) as history:
        change = next(iter(history.log("two.c")))
        (stat,) = history.stat(change)
        patch = history.patch(change)
    assert (stat.added, stat.removed, stat.former) == (1, 1, "one.c")
    assert [line for line in patch if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-6",
        "+7",
    ]
    assert any("one.c" in line for line in patch)
    assert any("two.c" in line for line in patch)


def test_the_projects_own_history_is_gits() -> None:
    """Not there in an unpacked archive; a shallow clone ends where it ends."""
    needs_git()
    if not (ROOT / ".git").exists():
        pytest.skip("needs the project's own git repository")
    path = "src/timehands/cli/main.py"
    head = git(ROOT, "rev-parse", "HEAD").strip()
    for way in WAYS:
        with History.open(SourceTree.open(ROOT), way=way, revision=head) as history:
            ours = [one.revision for one in itertools.islice(history.log(path, follow=False), 50)]
            theirs = git(ROOT, "log", "-50", "--format=%H", head, "--", path).split()
            assert ours == theirs
            committed = git(ROOT, "show", f"{head}:{path}").splitlines()
            if (ROOT / path).read_text().splitlines() == committed:
                lines = blamed(git(ROOT, "blame", "--line-porcelain", head, "--", path))
                for number in (1, 60, len(lines)):
                    one = history.blame(path, number)
                    assert one.change is not None
                    assert one.change.revision == lines[number - 1][0]
