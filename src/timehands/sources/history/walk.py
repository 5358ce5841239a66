"""Which commits changed a path: the walk of ``git log -- PATH``, with renames followed.

The rules are git's own default ones (git-log(1), "History Simplification", default mode): a commit
that leaves the path as one of its parents had it is not told, and of its parents only that one is
gone into; the newest commit comes first, by the committer's time.

Where a path appears first, the commit's removed files are asked which of them it was: see
`timehands.sources.history.renames`. Unlike ``git log --follow``, which has one name at a time for
the whole walk, each line of history keeps its own name.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Final

from timehands.sources.history.model import Change, Kind
from timehands.sources.history.objects import Commit, Missing, Objects
from timehands.sources.history.renames import renamed_from

DEADLINE_S: Final = 60.0


@dataclass(slots=True)
class Budget:
    """How long a question may take. ``complaints`` say what the answer lacks."""

    seconds: float = DEADLINE_S
    complaints: list[str] = field(default_factory=list)
    _started: float = field(default_factory=monotonic)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return monotonic() - self._started > self.seconds

    def complain(self, text: str) -> None:
        """Keep what the answer lacks, once."""
        if text not in self.complaints:
            self.complaints.append(text)


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that changed a path, under the name that it had there."""

    commit: Commit
    path: str
    kind: Kind
    former: str | None
    cut: bool


def walk(
    objects: Objects, start: str, path: str, *, follow: bool, budget: Budget
) -> Iterator[Step]:
    """The commits that changed a path, the newest first.

    What is missing in the repository is left out, and a complaint in ``budget`` names it.
    """
    queue: list[tuple[int, int, Commit, str]] = []
    seen: set[tuple[str, str]] = set()
    order = count()

    def enter(id: str, name: str) -> None:
        if (id, name) in seen:
            return
        seen.add((id, name))
        try:
            commit = objects.commit(id)
        except Missing:
            budget.complain(f"commit {id[:12]} is not in this repository; what is older is missing")
            return
        older = objects.unchanged(commit, name)
        if older is not commit and (older.id, name) in seen:
            return
        seen.add((older.id, name))
        commit = older
        heapq.heappush(queue, (-commit.time, next(order), commit, name))

    enter(start, path)
    while queue:
        if budget.over:
            budget.complain(f"stopped after {budget.seconds:.0f} s and {len(seen):,} commits")
            return
        _, _, commit, name = heapq.heappop(queue)
        try:
            step, older = _look(objects, commit, name, follow)
        except Missing as error:
            budget.complain(f"an object of commit {commit.id[:12]} is missing or damaged ({error})")
            step, older = None, [(parent, name) for parent in commit.parents]
        if step is not None:
            if step.cut:
                budget.complain(
                    f"the repository is shallow: it has nothing older than {commit.id[:12]}"
                )
            yield step
        for id, former in older:
            enter(id, former)


def _look(
    objects: Objects, commit: Commit, path: str, follow: bool
) -> tuple[Step | None, list[tuple[str, str]]]:
    """What a commit did to a path, and where to go on."""
    here = objects.entry(commit, path)
    cut = commit.id in objects.shallow
    parents = []
    for id in () if cut else commit.parents:
        parent, there = _parent(objects, id, path)
        if there == here and parent is not None:
            return None, [(parent.id, path)]
        parents.append((parent, there))
    if not parents:
        step = Step(commit, path, Kind.ADDED, None, cut) if here else None
        return step, []
    older = [(id, path) for id in commit.parents]
    if here is None:
        return Step(commit, path, _kind(commit, Kind.REMOVED), None, False), older
    if any(there for _, there in parents):
        return Step(commit, path, _kind(commit, Kind.CHANGED), None, False), older
    former = _former(objects, commit, parents, path, here) if follow else None
    kind = _kind(commit, Kind.RENAMED if former else Kind.ADDED)
    return Step(commit, path, kind, former, False), [(id, former or path) for id, _ in older]


def _kind(commit: Commit, otherwise: Kind) -> Kind:
    return Kind.MERGED if len(commit.parents) > 1 else otherwise


def _parent(objects: Objects, id: str, path: str) -> tuple[Commit | None, str | None]:
    """A parent and what it has at the path; one that is not here differs from everything."""
    try:
        commit = objects.commit(id)
        return commit, objects.entry(commit, path)
    except Missing:
        return None, ""


def _former(
    objects: Objects,
    commit: Commit,
    parents: list[tuple[Commit | None, str | None]],
    path: str,
    here: str,
) -> str | None:
    for parent, _ in parents:
        if parent is not None:
            former = renamed_from(objects, parent, commit, path, here)
            if former:
                return former
    return None


def change_of(objects: Objects, step: Step) -> Change:
    """A step with its words. Raises `Missing`."""
    commit, details = step.commit, objects.details(step.commit.id)
    subject, _, body = details.message.strip("\n").partition("\n\n")
    return Change(
        revision=commit.id,
        author=details.author,
        email=details.email,
        date=details.date,
        subject=" ".join(subject.split()),
        body=body.strip("\n"),
        path=step.path,
        kind=step.kind,
        former=step.former,
        committed=details.committed,
        parents=commit.parents,
        cut=step.cut,
    )
