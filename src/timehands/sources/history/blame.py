"""Who last changed a line: one line followed back from commit to commit, as ``git blame`` does.

At each commit the line goes on to the first parent that has the same file, else to the first that
has the line unchanged (by the same difference of lines that patches show), else it is this
commit's.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from timehands.sources.history.model import Kind
from timehands.sources.history.objects import Commit, Hunk, Missing, Objects
from timehands.sources.history.renames import renamed_from
from timehands.sources.history.walk import Budget, Step

#: More pairs of lines than this are not all compared.
_MANY_PAIRS = 1 << 22
#: Of a commit and a path of it, the oldest commit on the way back that has the same file there.
Runs = dict[tuple[str, str], Commit]


def blame(
    objects: Objects, start: str, path: str, line: int, budget: Budget, *, runs: Runs
) -> tuple[Step, int] | None:
    """The commit that a line of a commit's file is from, and its number there; None: no such file.

    ``runs`` keeps what one line found out for the next. What is missing ends the way there, with a
    complaint. Raises `Missing` when the start is.
    """
    commit = objects.commit(start)
    blob = objects.entry(commit, path)
    if blob is None:
        return None
    while True:
        commit = _unchanged(objects, commit, path, blob, budget, runs=runs)
        if budget.over:
            budget.complain(f"stopped after {budget.seconds:.0f} s: the line may be older")
            break
        if commit.id in objects.shallow:
            budget.complain(
                f"the repository is shallow: it has nothing older than {commit.id[:12]}"
            )
            return Step(commit, path, Kind.UNKNOWN, None, True), line
        try:
            on = _onward(objects, commit, path, blob, line)
        except Missing as error:
            budget.complain(f"an object below {commit.id[:12]} is missing ({error}): "
                            "the line may be older")  # fmt: skip
            break
        if on is None:
            break
        commit, path, blob, line = on
    return Step(commit, path, Kind.CHANGED, None, False), line


def _unchanged(
    objects: Objects, start: Commit, path: str, blob: str, budget: Budget, *, runs: Runs
) -> Commit:
    """Back from commit to commit as long as a parent has the same file."""
    commit = runs.get((start.id, path), start)
    while not budget.over and commit.id not in objects.shallow:
        older = objects.unchanged(commit, path)
        if older is commit:
            parent = _with_same(objects, commit, path, blob)
            if parent is None:
                break
            older = parent
        commit = older
    runs[start.id, path] = commit
    return commit


def _with_same(objects: Objects, commit: Commit, path: str, blob: str) -> Commit | None:
    """The first parent with the same file; None, too, when one of them is missing."""
    try:
        parents = map(objects.commit, commit.parents)
        return next((one for one in parents if objects.entry(one, path) == blob), None)
    except Missing:
        return None


def _onward(
    objects: Objects, commit: Commit, path: str, blob: str, line: int
) -> tuple[Commit, str, str, int] | None:
    """The parent that has the line, and its place there.

    As git, which asks all parents for the path before it asks which file was renamed.
    """
    parents = []
    for id in commit.parents:
        parent = objects.commit(id)
        if objects.entry(parent, path) == blob:
            return parent, path, blob, line
        parents.append(parent)
    origins = [_origin(objects, parent, commit, path, blob) for parent in parents]
    found = [one for one in origins if one is not None]
    for parent, name, id in found:
        if id == blob:
            return parent, name, id, line
    for parent, name, id in found:
        before = before_hunks(objects.hunks(id, blob), line)
        if before is not None:
            return parent, name, id, before
    return None


def _origin(
    objects: Objects, parent: Commit, commit: Commit, path: str, blob: str
) -> tuple[Commit, str, str] | None:
    """The file in a parent, under this name or the one that it was renamed from."""
    id = objects.entry(parent, path)
    name: str | None = path
    if id is None:
        name = renamed_from(objects, parent, commit, path, blob)
        id = objects.entry(parent, name) if name else None
    return (parent, name, id) if name and id and objects.is_blob(id) else None


def before_hunks(hunks: list[Hunk], line: int) -> int | None:
    """The old number of a new line; None: it was not there."""
    moved = 0
    for hunk in hunks:
        # A hunk without new lines begins after the line that it names.
        start = hunk.new_start + (hunk.new_lines == 0)
        if line < start:
            break
        if line < start + hunk.new_lines:
            return None
        moved += hunk.old_lines - hunk.new_lines
    return line + moved


def line_hunks(old: list[bytes], new: list[bytes]) -> list[Hunk]:
    """The same for lines that are in no repository. Equal heads and tails are taken off first."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    # Of many lines those that are everywhere, as empty ones, are no sign of what belongs together.
    matcher = SequenceMatcher(None, a, b, autojunk=len(a) * len(b) > _MANY_PAIRS)
    return [
        Hunk(head + i1 + (i2 > i1), i2 - i1, head + j1 + (j2 > j1), j2 - j1)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes()
        if tag != "equal"
    ]
