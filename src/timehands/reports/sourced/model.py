"""What a source tree adds to a report, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from timehands.sources.where import Where


@dataclass(frozen=True, slots=True)
class Frame:
    """A function that the report speaks of, and where it is in the tree.

    ``exact``: the line is the one that ran (a call that had not returned, a fault, an access); else
    it is where the function begins. ``where`` is None when the tree has no such file, or nothing
    tells; ``path`` is then the file as the compiler named it, if it did.
    """

    function: str
    where: Where | None
    exact: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that the report tells, with its functions, the innermost first.

    ``kind`` is ``outcome``, ``finding``, ``clock``, ``delay``, ``calibration``, ``message`` or
    ``stop``; ``name`` says which (a finding's code, a clock's name, a function, ``s3``), ``index``
    which of its kind in the report, from 0 (of clocks: of their steps with callers).
    """

    kind: str
    name: str
    index: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file of the tree in this kernel's configuration.

    ``compiled`` is None without a configuration. ``lines`` are the lines that decided, in words.
    """

    file: str
    compiled: bool | None
    lines: tuple[tuple[Where | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Last:
    """The last change of a line; ``revision`` is empty for one that is not committed."""

    revision: str
    day: str
    author: str
    subject: str
    release: str = ""


@dataclass(frozen=True, slots=True)
class Sourced:
    """All that the tree adds. ``changes`` are the last changes of the frames' lines.

    ``pages`` are the files that have a page to read, in ``pages_folder`` beside the HTML report.
    """

    tree: str
    system: str
    config: str | None
    items: tuple[Item, ...]
    files: tuple[File, ...]
    changes: dict[Where, Last]
    complaints: tuple[str, ...] = ()
    pages: frozenset[str] = frozenset()
    pages_folder: str = ""

    def item(self, kind: str, index: int = 0) -> Item | None:
        """The item of that kind and index."""
        return next((one for one in self.items if (one.kind, one.index) == (kind, index)), None)

    def file(self, name: str) -> File | None:
        """What is known of a file."""
        return next((one for one in self.files if one.file == name), None)

    def to_json(self) -> dict[str, Any]:
        """JSON types: the value of ``source`` in a report."""
        return {
            "tree": self.tree,
            "system": self.system,
            "config": self.config,
            "items": [
                {
                    "kind": one.kind,
                    "name": one.name,
                    "index": one.index,
                    "frames": [self._frame(frame) for frame in one.frames],
                }
                for one in self.items
            ],
            "files": [
                {
                    "file": one.file,
                    "compiled": one.compiled,
                    "lines": [_line(where, words) for where, words in one.lines],
                }
                for one in self.files
            ],
            "complaints": list(self.complaints),
        }

    def _frame(self, frame: Frame) -> dict[str, Any]:
        where = frame.where
        last = self.changes.get(where) if where else None
        return {
            "function": frame.function,
            "file": where.file if where else None,
            "line": where.line if where else None,
            "exact": frame.exact,
            "path": frame.path,
            "last_change": {name: getattr(last, name) for name in Last.__slots__} if last else None,
        }


def _line(where: Where | None, words: str) -> dict[str, Any]:
    return {
        "file": where.file if where else None,
        "line": where.line if where else None,
        "words": words,
    }
