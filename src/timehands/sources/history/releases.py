"""Since which release: the first tag that has a commit, else the version that its tree names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from timehands.sources.history.model import Release
from timehands.sources.history.objects import Commit, Missing, Objects
from timehands.sources.history.walk import Budget

#: Reads a file of a tree below its kernel's folder (``conf/newvers.sh``); None: it has none.
Read = Callable[[str], bytes | None]

#: Tags of what came before a release: v6.1-rc1, release/14.2.0-beta1, netbsd-10-0-RC1.
_BEFORE: Final = re.compile(r"(?i)(?:^|[-_.\d])(?:rc|beta|alpha|pre)[-_.]?\d*(?:$|[-_.\d])")
_NUMBERED: Final = re.compile(r"\d")
_MOST_TAGS: Final = 5000


def version_of(read: Read) -> Release | None:
    """The version that a source tree names. Files and names are each system's own."""
    for one in (_freebsd, _openbsd, _netbsd, _linux):
        found = one(read)
        if found:
            return found
    return None


def _freebsd(read: Read) -> Release | None:
    text = read("conf/newvers.sh") or b""
    if b"FreeBSD" not in text:
        return None
    revision, branch = _shell(text, b"REVISION"), _shell(text, b"BRANCH")
    return Release(f"FreeBSD {revision}-{branch}", "conf/newvers.sh") if revision else None


def _openbsd(read: Read) -> Release | None:
    text = read("conf/newvers.sh") or b""
    revision = _shell(text, b"osr")
    return Release(f"OpenBSD {revision}", "conf/newvers.sh") if b"OpenBSD" in text else None


def _netbsd(read: Read) -> Release | None:
    found = re.search(
        rb"(?m)^#define\s+__NetBSD_Version__\s+(\d{9,10})\b", read("sys/param.h") or b""
    )
    if not found:
        return None
    return Release(f"NetBSD {netbsd_version(int(found[1]))}", "sys/param.h")


def netbsd_version(number: int) -> str:
    """``__NetBSD_Version__`` (MMmmrrpp00, sys/param.h) as people write it."""
    major, minor, release, patch = (
        number // 10**8, number // 10**6 % 100, number // 10**4 % 100, number // 100 % 100
    )  # fmt: skip
    if minor == 99:
        return f"{major}.99.{release * 100 + patch}"
    return f"{major}.{minor}" + (f".{patch}" if patch else "")


def _linux(read: Read) -> Release | None:
    text = read("Makefile") or b""
    parts = {
        name: re.search(rb"(?m)^" + name + rb"[ \t]*=[ \t]*(\S*)", text)
        for name in (b"VERSION", b"PATCHLEVEL", b"SUBLEVEL", b"EXTRAVERSION")
    }
    values = [found[1].decode("utf-8", "replace") if found else "" for found in parts.values()]
    if not values[0].isdigit() or not values[1].isdigit():
        return None
    return Release(f"Linux {'.'.join(filter(None, values[:3]))}{values[3]}", "Makefile")


def _shell(text: bytes, name: bytes) -> str:
    found = re.search(rb"(?m)^" + name + rb"=[\"']?([\w.+-]{1,40})", text)
    return found[1].decode() if found else ""


# ---- tags


def first_tag(objects: Objects, commit: str, budget: Budget) -> Release | None:
    """The oldest tag with a commit; one of a release before one of a candidate."""
    found = _containing(objects, commit, budget)
    if not found:
        return None
    _, name = min(found, key=lambda one: (bool(_BEFORE.search(one[1])), one))
    return Release(name, "tag")


def _containing(objects: Objects, commit: str, budget: Budget) -> list[tuple[int, str]]:
    """Tags that have a commit, with their times. What one tag showed, the next does not repeat."""
    try:
        wanted = objects.commit(commit)
        tags = [(objects.commit(id), name) for name, id in _numbered(objects)[:_MOST_TAGS]]
    except Missing as error:
        budget.complain(f"the tags cannot be read ({error})")
        return []
    without: set[str] = set()
    found: list[tuple[int, str]] = []
    for tip, name in sorted(tags, key=lambda one: one[0].time):
        # A clock that was wrong by a day must not hide a tag.
        if tip.time < wanted.time - 86400:
            continue
        if _has(objects, tip, wanted, without, budget):
            found.append((tip.time, name))
            if not _BEFORE.search(name):
                break
    return found


def _numbered(objects: Objects) -> list[tuple[str, str]]:
    return [(name, id) for name, id in objects.tags() if _NUMBERED.search(name)]


def _has(objects: Objects, tip: Commit, wanted: Commit, without: set[str], budget: Budget) -> bool:
    """Whether a commit is among a tag's; ``without`` are those known not to lead to it."""
    stack, walked = [tip.id], set[str]()
    while stack:
        id = stack.pop()
        if id == wanted.id:
            return True
        if id in without or id in walked:
            continue
        if budget.over:
            budget.complain("stopped before all tags were looked at")
            return False
        walked.add(id)
        try:
            one = objects.commit(id)
        except Missing:
            continue
        if one.time >= wanted.time - 86400:
            stack += one.parents
    without |= walked
    return False
