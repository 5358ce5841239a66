"""A repository by libgit2. It runs no program, whatever the repository's configuration says."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import pygit2
from pygit2.enums import DiffFlag, DiffOption, Option, RepositoryOpenFlag

from timehands.sources.history.model import Stat
from timehands.sources.history.objects import (
    KEPT_COMMITS,
    KEPT_HUNKS,
    KEPT_REMOVED,
    MAX_BLOB,
    Commit,
    Details,
    Hunk,
    Missing,
    Objects,
    parse_commit,
)

#: So many commits are skipped at once, in some 10 ms for each thousand.
_MOST_SKIPPED = 10_000
_UNREADABLE = (KeyError, ValueError, pygit2.GitError, OSError, AttributeError)
_ERRORS = (KeyError, ValueError, TypeError, pygit2.GitError, OSError)


def open_objects(path: Path) -> Objects:
    """The repository that a folder is, or is within. Raises pygit2.GitError, KeyError, OSError."""
    # The owner matters to a git that runs what a repository's configuration names; libgit2 only
    # reads, and a tree such as /usr/src is seldom owned by who reads it.
    pygit2.option(Option.SET_OWNER_VALIDATION, False)
    # As git, which leaves that to fsck: hashing each tree anew takes three times its reading.
    pygit2.option(Option.ENABLE_STRICT_HASH_VERIFICATION, False)
    # What is asked for twice is kept here; keeping each object costs more than unpacking it.
    pygit2.option(Option.ENABLE_CACHING, False)
    return LibgitObjects(pygit2.Repository(str(path), RepositoryOpenFlag.CROSS_FS), path)


class LibgitObjects:
    """See `timehands.sources.history.objects.Objects`."""

    def __init__(self, repository: pygit2.Repository, path: Path) -> None:
        self._repository = repository
        self.way = f"libgit2 {pygit2.LIBGIT2_VERSION}"
        self.git_dir = Path(repository.path)
        within = path.resolve().is_relative_to(self.git_dir.resolve())
        has_files = bool(repository.workdir) and not within
        self.work = Path(repository.workdir).resolve() if has_files else None
        self.shallow = _shallow(self.git_dir)
        self._cut = frozenset(pygit2.Oid(hex=id) for id in self.shallow)
        self._removed = lru_cache(KEPT_REMOVED)(self._list_removed)
        self._hunks = lru_cache(KEPT_HUNKS)(self._list_hunks)
        self._commit = lru_cache(KEPT_COMMITS)(self._read_commit)
        self._child = lru_cache(KEPT_COMMITS)(self._find_child)

    def resolve(self, revision: str) -> str | None:
        try:
            found = self._repository.revparse_single(revision).peel(pygit2.Commit)
        except _ERRORS:
            return None
        return str(found.id)

    def commit(self, id: str) -> Commit:
        return self._commit(id)

    def _read_commit(self, id: str) -> Commit:
        found = self._object(id)
        if not isinstance(found, pygit2.Commit):
            raise Missing(id)
        try:
            parents = tuple(map(str, found.parent_ids))
            return Commit(id, str(found.tree_id), parents, found.commit_time)
        except _ERRORS as error:
            raise Missing(id) from error

    def details(self, id: str) -> Details:
        kind, data = self._raw(id)
        if kind != pygit2.enums.ObjectType.COMMIT:
            raise Missing(id)
        return parse_commit(id, data)[1]

    def _raw(self, id: str) -> tuple[int, bytes]:
        try:
            kind, data = self._repository.odb.read(id)
        except _ERRORS as error:
            raise Missing(id) from error
        return kind, data

    def _object(self, id: str) -> Any:
        try:
            return self._repository[id]
        except _ERRORS as error:
            raise Missing(id) from error

    def entry(self, commit: Commit, path: str) -> str | None:
        id: str | None = commit.tree
        for part in path.split("/") if path else ():
            id = self._child(id, part) if id else None
        return id

    def _find_child(self, tree: str, name: str) -> str | None:
        """An entry of a tree: most commits leave most folders as they are, and these are kept."""
        found = self._object(tree)
        try:
            return str(found[name].id) if isinstance(found, pygit2.Tree) else None
        except KeyError:
            return None
        except _ERRORS as error:
            raise Missing(tree) from error

    def unchanged(self, commit: Commit, path: str) -> Commit:
        if not path or len(commit.parents) != 1 or commit.id in self.shallow:
            return commit
        found, parts = None, path.split("/")
        try:
            here, parents = self._ids(commit.tree, parts), commit.parents
            for _ in range(_MOST_SKIPPED):
                parent: Any = self._repository[parents[0]]
                if not self._alike(parent.tree_id, parts, here):
                    break
                found, parents = parent, parent.parent_ids
                if len(parents) != 1 or found.id in self._cut:
                    break
        except _UNREADABLE:
            pass  # The way goes on from the last that could be read, and says what is missing.
        return commit if found is None else self._commit(str(found.id))

    def _ids(self, tree: Any, parts: list[str]) -> list[Any]:
        """What a tree has along a path: the ids of the folders and of the last part."""
        ids: list[Any] = [tree]
        for part in parts:
            ids.append(self._entry(ids[-1], part) if ids[-1] is not None else None)
        return ids

    def _alike(self, tree: Any, parts: list[str], ids: list[Any]) -> bool:
        """Whether a tree has the same along a path. Where a folder is the same, so is the rest."""
        at = tree
        for part, there in zip(parts, ids[1:], strict=True):
            at = self._entry(at, part)
            if at == there:
                return True
            if at is None or there is None:
                return False
        return False

    def _entry(self, tree: Any, name: str) -> Any:
        found = self._repository[tree]
        return found[name].id if isinstance(found, pygit2.Tree) and name in found else None

    def blob(self, id: str) -> bytes:
        found = self._object(id)
        if not isinstance(found, pygit2.Blob) or found.size > MAX_BLOB:
            raise Missing(id)
        return found.data

    def is_blob(self, id: str) -> bool:
        return isinstance(self._object(id), pygit2.Blob)

    def removed(self, old: Commit, new: Commit) -> list[tuple[str, str]]:
        return self._removed(old, new)

    def _list_removed(self, old: Commit, new: Commit) -> list[tuple[str, str]]:
        diff = self._diff(old, new, DiffOption.SKIP_BINARY_CHECK)
        return [
            (delta.old_file.path, str(delta.old_file.id))
            for delta in diff.deltas
            if delta.status == pygit2.enums.DeltaStatus.DELETED
        ]

    def _diff(self, old: Commit | None, new: Commit, flags: DiffOption, **more: Any) -> Any:
        """From the old tree to the new one."""
        tree = self._object(new.tree)
        try:
            if old is None:
                return tree.diff_to_tree(flags=flags, swap=True, **more)
            return self._object(old.tree).diff_to_tree(tree, flags=flags, **more)
        except _ERRORS as error:
            raise Missing(new.tree) from error

    def _patches(self, old: Commit | None, new: Commit, path: str, former: str) -> list[Any]:
        if former != path and old is not None:
            return [self._renamed(old, new, path, former)]
        diff = self._diff(old, new, DiffOption.INDENT_HEURISTIC)
        under = f"{path}/" if path else ""
        try:
            return [
                patch
                for number, delta in enumerate(diff.deltas)
                if delta.new_file.path == path or delta.new_file.path.startswith(under)
                if (patch := diff[number]) is not None
            ]
        except _ERRORS as error:
            raise Missing(new.id) from error

    def _renamed(self, old: Commit, new: Commit, path: str, former: str) -> Any:
        before, after = self.entry(old, former), self.entry(new, path)
        if before is None or after is None:
            raise Missing(former)
        return self._blobs(before, after, former, path, 3)

    def _blobs(self, old: str, new: str, old_path: str, new_path: str, context: int) -> Any:
        before, after = self._object(old), self._object(new)
        if not isinstance(before, pygit2.Blob) or not isinstance(after, pygit2.Blob):
            raise Missing(old)
        # The stub of pygit2 does not know the number of context lines.
        diff: Any = before.diff
        return diff(after, DiffOption.INDENT_HEURISTIC, old_path, new_path, context)

    def stats(self, old: Commit | None, new: Commit, path: str, former: str) -> list[Stat]:
        return [_stat(patch, path, former) for patch in self._patches(old, new, path, former)]

    def patch(self, old: Commit | None, new: Commit, path: str, former: str) -> list[str]:
        lines: list[str] = []
        for patch in self._patches(old, new, path, former):
            lines += (patch.data or b"").decode("utf-8", "replace").splitlines()
        return lines

    def hunks(self, old: str, new: str) -> list[Hunk]:
        return self._hunks(old, new)

    def _list_hunks(self, old: str, new: str) -> list[Hunk]:
        patch = self._blobs(old, new, "a", "a", 0)
        return [
            Hunk(hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines)
            for hunk in patch.hunks
        ]

    def tags(self) -> list[tuple[str, str]]:
        found = []
        for name in self._repository.references:
            if name.startswith("refs/tags/"):
                id = self.resolve(name)
                if id is not None:
                    found.append((name.removeprefix("refs/tags/"), id))
        return sorted(found)

    def close(self) -> None:
        for kept in (self._removed, self._hunks, self._commit, self._child):
            kept.cache_clear()
        self._repository.free()


def _stat(patch: Any, path: str, former: str) -> Stat:
    delta = patch.delta
    name = path if former != path else cast(str, delta.new_file.path)
    before = former if former != path else None
    if delta.flags & DiffFlag.BINARY:
        return Stat(name, None, None, before)
    _, added, removed = patch.line_stats
    return Stat(name, added, removed, before)


def _shallow(git_dir: Path) -> frozenset[str]:
    """The commits that a shallow clone ends at; a worktree's list lies in its main repository."""
    for folder in (git_dir, git_dir.parent.parent):
        try:
            lines = (folder / "shallow").read_text().split()
        except (OSError, ValueError):
            continue
        return frozenset(lines)
    return frozenset()
