"""Git repositories made for tests: by hand (`Repository`), and at random (`random_repository`).

They are written with ``git fast-import``, so that a hundred commits take no time. Nothing of the
user's own configuration is read.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

#: 2024-01-01 00:00 UTC.
START = 1704067200
ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


def needs_git() -> None:
    """Skip the test where there is no git."""
    if shutil.which("git") is None:
        pytest.skip("needs git")


def git(folder: Path, *words: str, input: bytes = b"", ok: bool = True) -> str:
    """What git says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        input=input,
        capture_output=True,
        check=False,
        env={**kept, **ENVIRONMENT},
        timeout=60,
    )
    assert not ok or done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


@dataclass
class Repository:
    """Commits to be written. A commit's mark is its number, from 1."""

    commits: list[bytes] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)

    def commit(
        self,
        files: dict[str, str | bytes | None],
        *,
        on: str = "main",
        parents: tuple[int, ...] = (),
        message: str = "",
        author: str = "Ada <ada@example.org>",
        at: int | None = None,
    ) -> int:
        """A commit with these files changed (None: removed); its mark.

        Without ``parents`` it follows its branch.
        """
        mark = len(self.commits) + 1
        time = START + mark * 3600 if at is None else at
        text = (message or f"Change {mark}").encode()
        lines = [f"commit refs/heads/{on}".encode(), f"mark :{mark}".encode()]
        for role in ("author", "committer"):
            lines.append(f"{role} {author} {time} +0100".encode())
        lines += [b"data %d" % len(text), text]
        if parents:
            lines.append(f"from :{parents[0]}".encode())
            lines += [f"merge :{parent}".encode() for parent in parents[1:]]
        for name, content in files.items():
            if content is None:
                lines.append(f"D {name}".encode())
                continue
            data = content if isinstance(content, bytes) else content.encode()
            lines += [f"M 100644 inline {name}".encode(), b"data %d" % len(data), data]
        self.commits.append(b"\n".join(lines) + b"\n")
        return mark

    def tag(self, name: str, mark: int) -> None:
        """A tag on a commit."""
        self.commits[mark - 1] += f"\nreset refs/tags/{name}\nfrom :{mark}\n".encode()

    def write(self, folder: Path, *, bare: bool = False) -> list[str]:
        """Write it, checked out unless it is bare; the hashes of its commits, in order."""
        needs_git()
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "-b", "main", *(["--bare"] if bare else []))
        marks = folder.resolve().with_name(f"{folder.name}.marks")
        git(folder, "fast-import", "--quiet", f"--export-marks={marks}",
            input=b"\n".join(self.commits))  # fmt: skip
        if not bare:
            git(folder, "reset", "-q", "--hard", "main")
        found = dict(line.split() for line in marks.read_text().splitlines())
        return [found[f":{mark}"] for mark in range(1, len(self.commits) + 1)]


def random_repository(seed: int, commits: int = 40, *, merges: bool = True) -> Repository:
    """A history of three files on up to three branches that are merged, changed at random."""
    chance = random.Random(seed)
    repository = Repository()
    files = {name: [f"{name} {n}" for n in range(12)] for name in ("a.c", "b.c", "d/e.c")}
    tips = {"main": repository.commit(_written(files))}
    trees = {"main": files}
    for number in range(commits):
        branch = chance.choice(sorted(trees))
        if merges and len(trees) < 3 and chance.random() < 0.2:
            new = f"side{number}"
            trees[new] = {name: list(lines) for name, lines in trees[branch].items()}
            tips[new] = repository.commit({}, on=new, parents=(tips[branch],), message="branch")
        elif len(trees) > 1 and chance.random() < 0.25:
            other = chance.choice(sorted(set(trees) - {"main"}))
            merged = {n: chance.choice((trees["main"], trees[other]))[n] for n in files}
            trees["main"] = {name: list(lines) for name, lines in merged.items()}
            tips["main"] = repository.commit(
                _written(trees["main"]), parents=(tips["main"], tips[other]), message="merge"
            )
            del trees[other], tips[other]
        else:
            name = chance.choice(sorted(files))
            _edit(trees[branch][name], chance, number)
            changed = _written({name: trees[branch][name]})
            tips[branch] = repository.commit(changed, on=branch, parents=(tips[branch],))
    return repository


def _edit(lines: list[str], chance: random.Random, number: int) -> None:
    at = chance.randrange(len(lines) + 1)
    if chance.random() < 0.3 and len(lines) > 4:
        del lines[at : at + 2]
    lines[at : at + chance.randrange(2)] = [f"line {number}.{n}" for n in range(2)]


def _written(files: dict[str, list[str]]) -> dict[str, str | bytes | None]:
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}
