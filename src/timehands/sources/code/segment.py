"""A segment: what some files of a tree hold, packed for the index.

A worker makes one from a few hundred files. Names are sorted and cut into blocks; a block holds,
for each of its names, where it occurs (file, line, role). Beside them stand the functions, the
calls, the links (what is called through what), and the structures' layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from timehands.errors import FileUnusable
from timehands.sources.code.columns import pack
from timehands.sources.code.scan import Link, Scan, scan
from timehands.sources.code.tokens import Names
from timehands.sources.tree import SourceTree

_BATCH_BYTES: Final = 1 << 21
_BATCH_FILES: Final = 2000
_BLOCK_NAMES: Final = 512


@dataclass(frozen=True, slots=True)
class Segment:
    """``blocks``: by their first name; the others as `timehands.sources.code.columns` packs them.

    ``files`` are numbers given by who asked. ``unparsed`` has (file, line, errors, recovered).
    """

    blocks: list[tuple[bytes, bytes]]
    functions: bytes
    calls: bytes
    links: bytes
    layouts: bytes
    unparsed: list[tuple[int, int, int, int]]
    unread: list[tuple[int, str]]
    occurrences: int
    bytes_read: int


def make(tree: SourceTree, files: Sequence[tuple[int, str]]) -> Segment:
    """Scan files (number, path) into a segment. A file that cannot be read is named in it."""
    names, scans, unread, total, size = Names(), [], [], 0, 0
    batch: list[tuple[int, bytes]] = []
    for number, path in files:
        try:
            data = tree.read(path)
        except FileUnusable as error:
            unread.append((number, error.reason))
            continue
        batch.append((number, data))
        if b"\0" in data:
            unread.append((number, "has NUL bytes, as UTF-16 has; taken for blanks"))
        size += len(data)
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            scans.append(scan(batch, names))
            batch, total, size = [], total + size, 0
    if batch:
        scans.append(scan(batch, names))
    return _segment(scans, names, unread, total + size)


def _segment(scans: list[Scan], names: Names, unread: list[tuple[int, str]], total: int) -> Segment:
    every = names.all()
    order = sorted(range(len(every)), key=every.__getitem__)
    rank = np.empty(len(every), np.int32)
    rank[order] = np.arange(len(every), dtype=np.int32)
    blocks, occurrences = _blocks(scans, every, order, rank)
    return Segment(
        blocks,
        _functions(scans, every),
        _calls(scans, every),
        _links(scans, every),
        _layouts(scans),
        [one for scan_ in scans for one in scan_.unparsed],
        unread,
        occurrences,
        total,
    )


def _column(scans: list[Scan], name: str, dtype: Any = np.int32) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *(getattr(one, name) for one in scans)])


def _blocks(
    scans: list[Scan], every: list[bytes], order: list[int], rank: NDArray[np.int32]
) -> tuple[list[tuple[bytes, bytes]], int]:
    name, file = rank[_column(scans, "names")], _column(scans, "files")
    line, role = _column(scans, "lines"), _column(scans, "roles", np.uint8)
    key = (name.astype(np.int64) << 44) | (file.astype(np.int64) << 24) | line
    sort = np.argsort(key, kind="stable")
    name, file, line, role = name[sort], file[sort], line[sort], role[sort]
    used, starts = np.unique(name, return_index=True)
    bounds = np.append(starts, len(name))
    blocks = []
    for first in range(0, len(used), _BLOCK_NAMES):
        last = min(first + _BLOCK_NAMES, len(used))
        words = [every[order[number]] for number in used[first:last].tolist()]
        cut = slice(bounds[first], bounds[last])
        counts = np.diff(bounds[first : last + 1])
        blocks.append((words[0], pack(words, counts, file[cut], line[cut], role[cut])))
    return blocks, len(name)


def _functions(scans: list[Scan], every: list[bytes]) -> bytes:
    rows = [one for scan_ in scans for one in scan_.functions]
    numbers = np.array([(f.file, f.start, f.end, f.line, f.kind) for f in rows], np.int32).reshape(
        -1, 5
    )
    return pack([every[f.name] for f in rows], *numbers.T)


def _calls(scans: list[Scan], every: list[bytes]) -> bytes:
    """Who (a function of this segment, from 0) calls which name, on which line, how."""
    base, callers = 0, []
    for one in scans:
        callers.append(one.caller + base)
        base += len(one.functions)
    caller = np.concatenate([np.zeros(0, np.int32), *callers])
    names, callee = np.unique(_column(scans, "callee"), return_inverse=True)
    words = [every[number] for number in names.tolist()]
    through = _column(scans, "call_through", np.bool_).astype(np.uint8)
    return pack(words, caller, callee.reshape(-1), _column(scans, "call_line"), through)


def _links(scans: list[Scan], every: list[bytes]) -> bytes:
    rows: list[Link] = [one for scan_ in scans for one in scan_.links]
    return pack(
        [every[row.through] for row in rows],
        [every[row.function] for row in rows],
        [row.how.encode() for row in rows],
        np.array([row.file for row in rows], np.int32),
        np.array([row.line for row in rows], np.int32),
    )


def _layouts(scans: list[Scan]) -> bytes:
    rows = [layout for scan_ in scans for layout in scan_.layouts]
    return pack([name for name, _ in rows], [b" ".join(_known(members)) for _, members in rows])


def _known(members: list[bytes]) -> Iterator[bytes]:
    return (member or b"-" for member in islice(members, 256))
