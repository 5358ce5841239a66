"""cscope asked in its line mode, and where its answers are not ours."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from timehands.sources.code import Found, Index
from timehands.sources.code.columns import unpack
from timehands.sources.code.roles import ROLE_MASK, Role

#: cscope's questions by their numbers.
SYMBOL, DEFINITION, CALLEES, CALLERS, ASSIGNMENTS = 0, 1, 2, 3, 9
FIELDS = (SYMBOL, DEFINITION, CALLEES, CALLERS, ASSIGNMENTS)
EVERY = (
    "definitions", "declarations", "callers", "writers", "readers", "initialisers", "macros",
    "locals",
)  # fmt: skip
_KINDS = {
    "functions": Role.FUNCTION,
    "variables": Role.VARIABLE,
    "macros": Role.MACRO,
    "types": Role.TYPE,
    "members": Role.MEMBER,
    "enumerators": Role.ENUMERATOR,
}
_PROMPT = b">> "
_ANSWER = re.compile(r"(\S+) (\S+) (\d+) ?(.*)")
#: A pattern of cscope is no longer.
_PATTERN = 230


class Line(NamedTuple):
    """One line of an answer. ``function``: of callees the called one, else the one it is in."""

    file: str
    line: int
    function: str


class CscopeDied(Exception):
    """cscope did not answer a question."""


class Cscope:
    """cscope on some files of a tree; its index is made in ``folder``."""

    def __init__(self, root: Path, files: Sequence[str], folder: Path) -> None:
        names = folder / "cscope.files"
        names.write_text("".join(f"{name}\n" for name in files))
        base = ["-i", str(names), "-f", str(folder / "cscope.out")]
        if not (folder / "cscope.out").exists():
            subprocess.run(["cscope", "-bqk", *base], cwd=root, check=True, capture_output=True)
        self._command, self._root = ["cscope", "-dlq", *base], root
        self.start()
        self._kept = sqlite3.connect(folder / "answers.sqlite")
        self._kept.execute("PRAGMA synchronous = OFF")
        self._kept.execute(
            "CREATE TABLE IF NOT EXISTS answer (field, name, lines, PRIMARY KEY (field, name))"
        )

    def start(self) -> None:
        """Start the process: first of all, and again when it died of a question."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self._prompt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._in.close()
        self._process.wait()
        self._out.close()
        self._kept.close()

    def _prompt(self) -> None:
        found = self._out.read(len(_PROMPT))
        if found != _PROMPT:
            raise self._died(found)

    def _died(self, said: bytes) -> CscopeDied:
        """End what is left of the process. cscope has a fault where a block of its index ends:
        which question meets that depends on the length of the folder's name."""
        self._process.kill()
        self._in.close()
        self._out.close()
        self._process.wait()
        return CscopeDied(f"cscope: {said!r}")

    def ask(self, field: int, name: str) -> list[Line]:
        """The lines of an answer; none where cscope finds nothing. They are kept in the folder."""
        row = self._kept.execute(
            "SELECT lines FROM answer WHERE field = ? AND name = ?", (field, name)
        ).fetchone()
        if row:
            return [Line(*one) for one in json.loads(row[0])]
        lines = [line for line, _ in self._asked(field, name)]
        self._keep(field, name, lines)
        return lines

    def ask_assignments(self, names: Sequence[str]) -> None:
        """Ask for many at once, to be kept: cscope reads all of its index for each question."""
        rows = self._kept.execute("SELECT name FROM answer WHERE field = ?", (ASSIGNMENTS,))
        known = {name for (name,) in rows}
        for batch in _batches([name for name in names if name not in known]):
            found: dict[str, list[Line]] = {name: [] for name in batch}
            try:
                answer = self._asked(ASSIGNMENTS, f"^({'|'.join(batch)})$")
            except CscopeDied:
                self.start()
                continue
            for line, text in answer:
                for name in batch:
                    if re.search(rf"\b{name}\s*([-+*/%&|^]|<<|>>)?=(?!=)", text):
                        found[name].append(line)
            for name, lines in found.items():
                self._keep(ASSIGNMENTS, name, lines)

    def _keep(self, field: int, name: str, lines: list[Line]) -> None:
        with self._kept:
            row = (field, name, json.dumps(lines))
            self._kept.execute("INSERT INTO answer VALUES (?, ?, ?)", row)

    def _asked(self, field: int, name: str) -> list[tuple[Line, str]]:
        self._in.write(f"{field}{name}\n".encode())
        self._in.flush()
        head = self._out.readline()
        lines = []
        if head.startswith(b"cscope: "):
            for _ in range(int(head.split()[1])):
                answer = self._out.readline()
                match = _ANSWER.match(answer.decode("latin-1"))
                if not match:
                    raise self._died(answer)
                lines.append((Line(match[1], int(match[3]), match[2]), match[4]))
        elif not head.startswith(b"Unable to search"):
            raise self._died(head)
        self._prompt()
        return lines


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    """As many names at once as a pattern may be long."""
    batch: list[str] = []
    for name in names:
        if sum(map(len, batch)) + len(batch) + len(name) > _PATTERN:
            yield batch
            batch = []
        batch.append(name)
    if batch:
        yield batch


def drawn(cache: Path, many: int, seed: int) -> list[str]:
    """Names of each kind; a name may be of several."""
    pools: dict[str, set[bytes]] = {kind: set() for kind in _KINDS}
    with sqlite3.connect(next(cache.glob("*.sqlite"))) as database:
        for (data,) in database.execute("SELECT data FROM block"):
            names, counts, _, _, roles = unpack(data)
            owner = np.repeat(np.arange(len(names)), counts)
            for kind, role in _KINDS.items():
                at = np.unique(owner[(roles & ROLE_MASK) == role])
                pools[kind] |= {names[place] for place in at.tolist()}

    def drawn_at(name: bytes) -> bytes:
        return hashlib.sha256(b"%d %s" % (seed, name)).digest()

    # An index that knows some names better draws the same of the others.
    chosen = {name for pool in pools.values() for name in sorted(pool, key=drawn_at)[:many]}
    return sorted(name.decode() for name in chosen)


class What(NamedTuple):
    """What the index says of a name on a line."""

    list: str
    what: str
    function: str
    doubt: str | None


@dataclass(frozen=True)
class Difference:
    """A line that only one of both has, in answer to ``field`` of ``asked``.

    ``name`` is the name to look for on the line (of callees, the called one's). ``whats`` is what
    the index says of that name there; ``others`` are the functions by which the other one has this
    very line; ``kinds`` says as what the name is defined anywhere.
    """

    field: int
    asked: str
    name: str
    only_cscope: bool
    line: Line
    whats: tuple[What, ...]
    others: tuple[str, ...]
    kinds: frozenset[str]


def ours(found: Found, field: int) -> set[Line]:
    """The index's answer to one of cscope's questions."""
    lists = {
        SYMBOL: EVERY,
        DEFINITION: ("definitions",),
        CALLEES: ("callees",),
        CALLERS: ("callers",),
        ASSIGNMENTS: ("writers",),
    }[field]
    functions = field in (CALLEES, CALLERS)
    return {
        Line(place.where.file, place.where.line, place.function if functions else "")
        for name in lists
        for place in getattr(found, name)
    }


class Comparison:
    """Both, asked the same."""

    def __init__(self, index: Index, cscope: Cscope) -> None:
        self._cscope = cscope
        self._find = lru_cache(500)(lambda name: index.find(name, limit=1 << 30))

    def of(
        self, name: str, fields: Sequence[int] = FIELDS
    ) -> Iterator[tuple[int, int, list[Difference]]]:
        """By question: the question, how many lines both have, and where they differ. A question
        of which cscope dies is left out."""
        found = self._find(name)
        for field in fields:
            try:
                mine, theirs = ours(found, field), set(self._cscope.ask(field, name))
            except CscopeDied:
                self._cscope.start()
                continue
            if field not in (CALLEES, CALLERS):
                theirs = {line._replace(function="") for line in theirs}
            yield field, len(mine & theirs), list(self._compared(found, field, mine, theirs))

    def _compared(
        self, found: Found, field: int, mine: set[Line], theirs: set[Line]
    ) -> Iterator[Difference]:
        for line in sorted(mine ^ theirs):
            here = line in theirs
            name = line.function if field == CALLEES else found.symbol
            functions = (one.function for one in (mine if here else theirs) if one[:2] == line[:2])
            known = self._find(name)
            yield Difference(
                field, found.symbol, name, here, line, _whats(known, line),
                tuple(sorted(functions)), frozenset(place.what for place in known.definitions),
            )  # fmt: skip


def _whats(found: Found, line: Line) -> tuple[What, ...]:
    return tuple(
        What(kind, place.what, place.function, place.doubt)
        for kind in EVERY
        for place in getattr(found, kind)
        if (place.where.file, place.where.line) == line[:2]
    )
