"""A repository by the git command: the second way, where libgit2 is missing or cannot open it.

Nothing that the repository's own configuration names is run: no hooks, no pagers, no external
differences, no monitors. Every answer is bounded in time and size.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from timehands.sources.history.model import Stat
from timehands.sources.history.objects import (
    KEPT_HUNKS,
    KEPT_REMOVED,
    MAX_BLOB,
    Commit,
    Details,
    Hunk,
    Missing,
    Objects,
    entry_of,
    parse_commit,
)

TIMEOUT_S: Final = 60.0
MAX_OUTPUT: Final = 64 << 20
_HARMLESS: Final = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external=",
    "-c", "protocol.allow=never", "--no-pager", "--no-replace-objects", "--literal-pathspecs",
)  # fmt: skip
_DIFF: Final = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index")
_HUNK: Final = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_HASH: Final = re.compile(r"[0-9a-f]{40,64}\Z")
_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_MOST_KEPT: Final = 1 << 16


class CommandFailed(Exception):
    """git said no; the text is what it said."""


def open_objects(path: Path) -> Objects:
    """The repository that a folder is, or is within. Raises `CommandFailed`."""
    return CommandObjects(path)


class CommandObjects:
    """See `timehands.sources.history.objects.Objects`."""

    def __init__(self, path: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise CommandFailed("git is not installed")
        self._base = [program, "-C", str(path), *_HARMLESS]
        said = self._lines("rev-parse", "--absolute-git-dir", "--is-bare-repository")
        self.git_dir = Path(said[0])
        self.work = None
        if said[1] == "false" and not _within(path, self.git_dir):
            self.work = Path(self._lines("rev-parse", "--show-toplevel")[0]).resolve()
        self.way = self._lines("version")[0]
        self.shallow = self._shallow(path)
        self._removed = lru_cache(KEPT_REMOVED)(self._list_removed)
        self._hunks = lru_cache(KEPT_HUNKS)(self._list_hunks)
        self._batch: subprocess.Popen[bytes] | None = None
        self._kept: dict[str, tuple[Commit, Details]] = {}

    def _shallow(self, path: Path) -> frozenset[str]:
        name = self._lines("rev-parse", "--git-path", "shallow")[0]
        try:
            return frozenset((path / name).read_text().split())
        except (OSError, ValueError):
            return frozenset()

    # ---- running it

    def _run(self, *words: str, ok: Sequence[int] = (0,)) -> bytes:
        with tempfile.TemporaryFile() as out:
            try:
                done = subprocess.run(
                    [*self._base, *words], stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.PIPE, timeout=TIMEOUT_S, env=_environment(), check=False,
                )  # fmt: skip
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                raise CommandFailed(f"git {words[0]}: {error}") from error
            if done.returncode not in ok:
                said = done.stderr.decode("utf-8", "replace").strip()
                raise CommandFailed(said or f"git {words[0]} ended with {done.returncode}")
            out.seek(0)
            return out.read(MAX_OUTPUT)

    def _lines(self, *words: str) -> list[str]:
        return self._run(*words).decode("utf-8", "replace").splitlines()

    def _ask(self, name: str) -> tuple[str, str, bytes]:
        """An object's hash, type and bytes, from one git that answers all such questions."""
        if "\n" in name:
            raise Missing(name)
        batch = self._batch
        if batch is None:
            batch = self._batch = subprocess.Popen(
                [*self._base, "cat-file", "--batch"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=_environment(),
            )  # fmt: skip
        assert batch.stdin is not None
        assert batch.stdout is not None
        try:
            batch.stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
            batch.stdin.flush()
            head = batch.stdout.readline()
            words = head.split()
            if len(words) != 3 or not words[2].isdigit():
                if not head:  # it died of what it read; the next question gets a new one
                    self._end()
                raise Missing(name)
            data = batch.stdout.read(int(words[2]) + 1)[:-1]
        except OSError as error:
            self._end()
            raise Missing(name) from error
        return words[0].decode(), words[1].decode(), data

    def _end(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        for stream in (batch.stdin, batch.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        batch.kill()
        batch.wait()

    def close(self) -> None:
        self._removed.cache_clear()
        self._hunks.cache_clear()
        self._end()

    # ---- objects

    def resolve(self, revision: str) -> str | None:
        try:
            name = f"{revision}^{{commit}}"
            said = self._lines("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        except CommandFailed:
            return None
        return said[-1] if said and _HASH.match(said[-1]) else None

    def commit(self, id: str) -> Commit:
        return self._commit(id)[0]

    def details(self, id: str) -> Details:
        return self._commit(id)[1]

    def _commit(self, id: str) -> tuple[Commit, Details]:
        if id not in self._kept:
            _, kind, data = self._ask(id)
            if kind != "commit":
                raise Missing(id)
            if len(self._kept) > _MOST_KEPT:
                self._kept.clear()
            self._kept[id] = parse_commit(id, data)
        return self._kept[id]

    def entry(self, commit: Commit, path: str) -> str | None:
        if not path:
            return commit.tree
        try:
            return self._ask(f"{commit.tree}:{path}")[0]
        except Missing:
            return self._listed(commit.tree, path)

    def _listed(self, tree: str, path: str) -> str | None:
        """The same by the trees themselves: what they name may be missing."""
        id = tree
        for part in path.split("/"):
            _, kind, data = self._ask(id)
            found = entry_of(data, part, len(id) // 2) if kind == "tree" else None
            if found is None:
                return None
            id = found
        return id

    def unchanged(self, commit: Commit, path: str) -> Commit:  # noqa: ARG002
        return commit

    def blob(self, id: str) -> bytes:
        _, kind, data = self._ask(id)
        if kind != "blob" or len(data) > MAX_BLOB:
            raise Missing(id)
        return data

    def is_blob(self, id: str) -> bool:
        return self._ask(id)[1] == "blob"

    # ---- differences

    def _diff(self, *words: str) -> bytes:
        try:
            return self._run("diff-tree", "-r", *_DIFF, *words)
        except CommandFailed as error:
            raise Missing(str(error)) from error

    def removed(self, old: Commit, new: Commit) -> list[tuple[str, str]]:
        return self._removed(old, new)

    def _list_removed(self, old: Commit, new: Commit) -> list[tuple[str, str]]:
        found = []
        fields = self._diff("-z", "--diff-filter=D", old.tree, new.tree).split(b"\0")
        for head, name in zip(fields[::2], fields[1::2], strict=False):
            found.append((name.decode("utf-8", "surrogateescape"), head.split()[2].decode()))
        return found

    def stats(self, old: Commit | None, new: Commit, path: str, former: str) -> list[Stat]:
        before, after = self._sides(old, new, path, former)
        if before != after and former != path and old is not None:
            said = self._blobs("--numstat", "-z", before, after)
            return [_stat(row.split(b"\t"), path, former) for row in said.split(b"\0")[:1]]
        said = self._diff("--numstat", "-z", before, after, "--", *([path] if path else []))
        return [_stat(row.split(b"\t")) for row in said.split(b"\0") if row.count(b"\t") == 2]

    def patch(self, old: Commit | None, new: Commit, path: str, former: str) -> list[str]:
        before, after = self._sides(old, new, path, former)
        if former != path and old is not None:
            said = self._blobs(before, after).replace(before.encode(), former.encode())
            said = said.replace(after.encode(), path.encode())
        else:
            said = self._diff("-p", before, after, "--", *([path] if path else []))
        return said.decode("utf-8", "replace").splitlines()

    def _sides(self, old: Commit | None, new: Commit, path: str, former: str) -> tuple[str, str]:
        """What to compare: trees, or the two blobs of a renamed file."""
        if former == path or old is None:
            return old.tree if old else _EMPTY_TREE, new.tree
        before, after = self.entry(old, former), self.entry(new, path)
        if before is None or after is None:
            raise Missing(former)
        return before, after

    def _blobs(self, *words: str) -> bytes:
        try:
            return self._run("diff", *_DIFF, *words)
        except CommandFailed as error:
            raise Missing(str(error)) from error

    def hunks(self, old: str, new: str) -> list[Hunk]:
        return self._hunks(old, new)

    def _list_hunks(self, old: str, new: str) -> list[Hunk]:
        said = self._blobs("-U0", old, new)
        return [
            Hunk(*(int(part) if part is not None else 1 for part in found))
            for found in (match.groups() for match in _HUNK.finditer(said))
        ]

    def tags(self) -> list[tuple[str, str]]:
        form = (
            "%(refname:strip=2)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
        )
        try:
            lines = self._lines("for-each-ref", f"--format={form}", "refs/tags")
        except CommandFailed as error:
            raise Missing(str(error)) from error
        found = []
        for line in lines:
            name, kind, id, inner, target = line.split("\0")
            if "commit" in (kind, inner):
                found.append((name, id if kind == "commit" else target))
        return sorted(found)


def _stat(fields: list[bytes], path: str = "", former: str = "") -> Stat:
    added, removed = (int(one) if one.isdigit() else None for one in fields[:2])
    name = path or fields[2].decode("utf-8", "surrogateescape")
    return Stat(name, added, removed, former if former not in ("", path) else None)


def _environment() -> dict[str, str]:
    """Ours, but which repository and how is said by nobody else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    mine = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}
    return {**kept, **mine, "LC_ALL": "C"}


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
