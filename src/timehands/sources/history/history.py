"""The history of a source tree: its log, who last changed a line, since which release.

::

    history = History.open(SourceTree.open("/usr/src"))
    for change in history.log("sys/x86/x86/tsc.c", author="kib", limit=10):
        print(change.short, change.day, change.subject)
    history.blame("sys/x86/x86/tsc.c", 123).change
    history.complaints          # what the answers lack: a shallow clone's end, missing objects
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, Self

from timehands.errors import FileUnusable, HistoryUnavailable
from timehands.sources.history import blame as one_line
from timehands.sources.history.filters import Wanted
from timehands.sources.history.model import Blamed, Change, Kind, Release, Stat
from timehands.sources.history.objects import Commit, Missing, Objects
from timehands.sources.history.releases import first_tag, version_of
from timehands.sources.history.walk import DEADLINE_S, Budget, change_of, walk
from timehands.sources.tree import SourceTree

Way = Literal["libgit2", "git"]


class History:
    """See the module. Files are named as in the tree; each question has ``seconds`` of time.

    Attributes:
        complaints: what the answers so far lack.
        way: how the repository is read, in words.
    """

    def __init__(
        self, objects: Objects, start: str, prefix: str = "", tree: SourceTree | None = None,
        *, seconds: float = DEADLINE_S,
    ) -> None:  # fmt: skip
        self._objects, self._start, self._prefix, self._tree = objects, start, prefix, tree
        self._seconds = seconds
        self.complaints: list[str] = []
        self.way = objects.way
        self._releases: dict[str, Release | None] = {}
        self._runs: one_line.Runs = {}

    @classmethod
    def open(
        cls,
        tree: SourceTree,
        *,
        git_dir: Path | None = None,
        revision: str = "HEAD",
        way: Way | None = None,
        seconds: float = DEADLINE_S,
    ) -> Self:
        """The history of a tree.

        Args:
            git_dir: its repository, where that is elsewhere (a bare one beside an unpacked tree).
            revision: where to begin.
            way: how to read it; None takes libgit2 when it can, else git.

        Raises:
            HistoryUnavailable: no repository, one that cannot be read, or no such revision.
        """
        path = git_dir or tree.root
        objects = _objects(path, way)
        start = objects.resolve(revision)
        if start is None:
            objects.close()
            raise HistoryUnavailable(
                f"the repository has no revision {revision}" if revision != "HEAD"
                else "the repository has no commit that HEAD leads to, or that is damaged",
                path=path,
                advice="See git fsck, or name another with --revision.",
            )  # fmt: skip
        prefix = _prefix(objects, tree)
        own = objects.work is not None and prefix is not None
        history = cls(objects, start, prefix or "", tree, seconds=seconds)
        if not own:
            history._prefix = history._guess_prefix()
        return history

    def _guess_prefix(self) -> str:
        """A repository elsewhere may hold the whole source of a tree that is a kernel's alone."""
        tree = self._tree
        if tree is None or tree.sys or tree.kind in ("linux", "unknown"):
            return ""
        try:
            return "sys/" if self._objects.entry(self._first(), "sys/kern") else ""
        except Missing:
            return ""

    def close(self) -> None:
        """End what was opened."""
        self._objects.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- the log

    def log(
        self,
        path: str = "",
        *,
        author: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        word: str = "",
        limit: int | None = None,
        follow: bool = True,
    ) -> Iterator[Change]:
        """The changes of a file or a folder (empty: of the whole tree), the newest first.

        Args:
            author: in the name or the address of the author, in either case.
            since, until: of the committer's time, both included.
            word: in the message, in either case.
            limit: at most so many.
            follow: also under the names that the file had before.

        Raises:
            FileUnusable: the path is not one within the tree.
        """
        wanted = Wanted(author, since, until, word)
        budget = self._budget()
        left = -1 if limit is None else limit
        steps = walk(self._objects, self._start, self._inside(path), follow=follow, budget=budget)
        try:
            for step in steps:
                if not left:
                    return
                try:
                    change = change_of(self._objects, step)
                except Missing:
                    budget.complain(f"commit {step.commit.id[:12]} is damaged")
                    continue
                if wanted.matches(change):
                    left -= 1
                    yield change
        finally:
            self._keep(budget)

    def stat(self, change: Change) -> list[Stat]:
        """How many lines a change added and removed, at its path alone. Of a merge: nothing."""
        old, new = self._sides(change)
        if new is None:
            return []
        try:
            return self._objects.stats(old, new, change.path, change.former or change.path)
        except Missing as error:
            self._complain(f"what {change.short} changed cannot be read ({error})")
            return []

    def patch(self, change: Change) -> list[str]:
        """A change at its path as the lines of a patch. Of a merge: nothing, as git does."""
        old, new = self._sides(change)
        if new is None:
            return []
        try:
            return self._objects.patch(old, new, change.path, change.former or change.path)
        except Missing as error:
            self._complain(f"what {change.short} changed cannot be read ({error})")
            return []

    def _sides(self, change: Change) -> tuple[Commit | None, Commit | None]:
        if len(change.parents) > 1 or change.cut:
            return None, None
        try:
            new = self._objects.commit(change.revision)
            return (self._objects.commit(change.parents[0]) if change.parents else None), new
        except Missing as error:
            self._complain(f"what {change.short} changed cannot be read ({error})")
            return None, None

    # ---- a line

    def blame(self, file: str, line: int) -> Blamed:
        """Who last changed a line of a file, as the tree has it now.

        A line that was changed and not committed has no change.

        Raises:
            FileUnusable: no such file or line, here or in the repository.
        """
        path = self._inside(file)
        committed = self._committed(path)
        lines = self._lines_of(file, committed)
        if not 1 <= line <= len(lines):
            raise FileUnusable(f"it has no line {line}; it has {len(lines)}", file=file)
        text = lines[line - 1].decode("utf-8", "replace").rstrip("\r\n")
        before = self._as_committed(committed, lines, line)
        if before is None or committed is None:
            return Blamed(None, file, line, text)
        budget = self._budget()
        try:
            found = one_line.blame(
                self._objects, self._start, path, before, budget, runs=self._runs
            )
            step, number = found if found else (None, 0)
            change = change_of(self._objects, step) if step else None
        except Missing as error:
            raise FileUnusable(f"its history cannot be read: {error}", file=file) from error
        finally:
            self._keep(budget)
        return Blamed(change, step.path if step else file, number, text)

    def _committed(self, path: str) -> bytes | None:
        """A file as it was committed; None: it was not. Raises `FileUnusable`: it is damaged."""
        try:
            id = self._objects.entry(self._first(), path)
            return self._objects.blob(id) if id else None
        except Missing as error:
            raise FileUnusable(
                f"what was committed of it is missing in the repository, or damaged ({error})",
                file=path,
            ) from error

    def _lines_of(self, file: str, committed: bytes | None) -> list[bytes]:
        """The lines in the tree; of a bare repository those that were committed."""
        bare = self._tree is None or (self._objects.work is None and not self._tree.exists(file))
        if not bare and self._tree is not None:
            return self._tree.read(file).splitlines(keepends=True)
        if committed is None:
            raise FileUnusable("the repository has no such file", file=file)
        return committed.splitlines(keepends=True)

    def _as_committed(self, committed: bytes | None, lines: list[bytes], line: int) -> int | None:
        if committed is None:
            return None
        hunks = one_line.line_hunks(committed.splitlines(keepends=True), lines)
        return one_line.before_hunks(hunks, line)

    # ---- releases

    def first_release(self, commit: str) -> Release | None:
        """The first release with a commit: by its tags, else by the version its tree names.

        A version in the tree is the one that was worked on then. None: nothing tells.
        """
        if commit not in self._releases:
            budget = self._budget()
            found = first_tag(self._objects, commit, budget)
            self._releases[commit] = found or self._version_at(commit)
            self._keep(budget)
        return self._releases[commit]

    def _version_at(self, id: str) -> Release | None:
        def read(file: str) -> bytes | None:
            for below in ("sys/", ""):
                blob = self._objects.entry(commit, below + file)
                if blob and self._objects.is_blob(blob):
                    return self._objects.blob(blob)
            return None

        try:
            commit = self._objects.commit(id)
            return version_of(read)
        except Missing:
            return None

    # ---- within

    def _first(self) -> Commit:
        return self._objects.commit(self._start)

    def _inside(self, path: str) -> str:
        """A path of the tree as one of the repository."""
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in path:
            raise FileUnusable("not a path within the tree", file=path)
        name = "" if path in ("", ".") else str(parts)
        return (self._prefix + name).rstrip("/")

    def _budget(self) -> Budget:
        return Budget(self._seconds)

    def _keep(self, budget: Budget) -> None:
        for text in budget.complaints:
            self._complain(text)

    def _complain(self, text: str) -> None:
        if text not in self.complaints:
            self.complaints.append(text)


def _objects(path: Path, way: Way | None) -> Objects:
    """The repository, in the first way that can. Raises `HistoryUnavailable`."""
    reasons = []
    if way in (None, "libgit2"):
        try:
            from timehands.sources.history.libgit import open_objects

            return open_objects(path)
        except Exception as error:  # its errors are many, and what it loads may lack anything
            reasons.append(_first_line(error))
    if way in (None, "git"):
        from timehands.sources.history import command

        try:
            return command.open_objects(path)
        except command.CommandFailed as error:
            reasons.append(_first_line(error))
    if not path.exists():
        reasons = ["there is no such folder"]
    elif all("not found" in reason or "not a git repository" in reason for reason in reasons):
        reasons = ["neither in this folder nor above it"]
    raise HistoryUnavailable(
        f"no git repository can be read here ({'; '.join(reasons)})",
        path=path,
        advice="Name one with --git DIR, or give a log from a repository browser with "
        "--pasted FILE.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _prefix(objects: Objects, tree: SourceTree) -> str | None:
    """Where the tree is within the repository's own files; None: it is not."""
    if objects.work is None or not tree.root.is_relative_to(objects.work):
        return None
    below = tree.root.relative_to(objects.work).as_posix()
    return "" if below == "." else f"{below}/"


__all__ = ["Blamed", "Change", "History", "Kind", "Release", "Stat"]
