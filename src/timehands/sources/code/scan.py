"""Some files at once, scanned: masked, parsed, and each of their identifiers given its role."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from timehands.sources.code.functions import MACRO, PLAIN, STATIC
from timehands.sources.code.hooks import MACROS, PASTED, hooks
from timehands.sources.code.mask import Masked, mask
from timehands.sources.code.parse import Span, Structure, parse
from timehands.sources.code.roles import DEAD, MEMBER_OF, Role
from timehands.sources.code.tokens import Bools, Bytes, Ints, Names, Words, is_member, words
from timehands.sources.code.uses import assigned, roles, writes

_NAMING: Final = frozenset((b"define", b"undef", b"if", b"ifdef", b"ifndef", b"elif"))
_UNPARSED_SHOWN: Final = 5
_HOOKS: Final = tuple(macro.encode() for macro in (*MACROS, *PASTED))
_NEWLINE: Final = ord("\n")


@dataclass(frozen=True, slots=True)
class Function:
    """A function, or a macro that calls something; ``kind`` is one of those of `functions`."""

    name: int
    file: int
    start: int
    end: int
    line: int
    kind: int


@dataclass(frozen=True, slots=True)
class Link:
    """``function`` can be called through ``through``; ``how`` says where that was written.

    ``how``: a macro's name, ``=`` for an assignment to a variable, ``->`` for one to a member,
    ``.`` for a member of an initialiser, or the structure and the place in it (``timecounter 2``).
    """

    through: int
    function: int
    file: int
    line: int
    how: str


@dataclass(slots=True)
class Scan:
    """What was found in a batch of files. Columns are alike long; names are numbers."""

    names: Ints
    files: Ints
    lines: Ints
    roles: Bytes
    functions: list[Function] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    layouts: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    caller: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    callee: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    call_line: Ints = field(default_factory=lambda: np.zeros(0, np.int32))
    call_through: Bools = field(default_factory=lambda: np.zeros(0, np.bool_))
    unparsed: list[tuple[int, int, int, int]] = field(default_factory=list)


class _Batch:
    """Masked files, one after another in one text. ``base``: where each starts."""

    def __init__(self, files: Sequence[tuple[int, bytes]]) -> None:
        self.numbers = np.array([number for number, _ in files], np.int32)
        self.masked = [mask(data) for _, data in files]
        self.parsed = [parse(masked.code) for masked in self.masked]
        sizes = [len(masked.plain) + 1 for masked in self.masked]
        self.base = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
        self.text = b"\n".join(masked.plain for masked in self.masked) + b"\n"
        newlines = np.flatnonzero(np.frombuffer(self.text, np.uint8) == _NEWLINE)
        self._newlines = newlines
        self._before = np.searchsorted(newlines, self.base)

    def place(self, at: NDArray[np.integer]) -> tuple[Ints, Ints]:
        """The files (from 0 in the batch) and lines of offsets."""
        file = np.searchsorted(self.base, at, "right") - 1
        line = np.searchsorted(self._newlines, at) - self._before[file] + 1
        return file.astype(np.int32), line.astype(np.int32)

    def offsets(self, pick: Callable[[Structure], Iterable[int]]) -> NDArray[np.int64]:
        """Offsets of the parser in all files, as offsets in the text."""
        parts = [
            np.fromiter(pick(parsed), np.int64) + base
            for parsed, base in zip(self.parsed, self.base, strict=True)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


@dataclass(slots=True)
class _Read:
    """A batch, and what became known of its identifiers: columns that are alike long."""

    batch: _Batch
    names: Names
    found: Words
    spans: list[tuple[int, Span]]
    home: Ints
    file: Ints
    line: Ints
    role: Bytes


def scan(files: Sequence[tuple[int, bytes]], names: Names) -> Scan:
    """Scan files: (number, bytes). Their text together should be a few megabytes."""
    read = _read(_Batch(files), names)
    result = _code(read)
    _functions(result, read)
    _calls(result, read)
    _links(result, read)
    _macros(result, read.batch, names)
    return result


def _read(batch: _Batch, names: Names) -> _Read:
    spans = _spans(batch)
    found = words(batch.text, names)
    home = _home(found.at, spans)
    table = _within(found.at, batch, lambda parsed: parsed.tables) & (home < 0)
    role = roles(found, names, _marks(batch)[found.at], home >= 0, table)
    role = _settle(role, home, _within(found.at, batch, lambda parsed: parsed.externs))
    file, line = batch.place(found.at)
    return _Read(batch, names, found, spans, home, file, line, role)


def _spans(batch: _Batch) -> list[tuple[int, Span]]:
    """All functions, each with its file in the batch, in the order of the text."""
    every = [
        (at, _moved(span, int(base)))
        for at, (parsed, base) in enumerate(zip(batch.parsed, batch.base, strict=True))
        for span in parsed.functions
    ]
    return sorted(every, key=lambda one: one[1].start)


def _moved(span: Span, by: int) -> Span:
    return span._replace(
        start=span.start + by, body=span.body + by, end=span.end + by, at=span.at + by
    )


def _marks(batch: _Batch) -> Bytes:
    """What the parser knows of an offset: a role, or 0."""
    marks = np.zeros(len(batch.text), np.uint8)
    marks[batch.offsets(lambda p: p.names)] = Role.VARIABLE
    marks[batch.offsets(lambda p: p.parameters)] = Role.LOCAL
    marks[batch.offsets(lambda p: p.members)] = Role.MEMBER
    marks[batch.offsets(lambda p: p.types)] = Role.TYPE
    marks[batch.offsets(lambda p: p.enumerators)] = Role.ENUMERATOR
    marks[batch.offsets(lambda p: (span.at for span in p.functions))] = Role.FUNCTION
    return marks


def _home(at: Ints, spans: list[tuple[int, Span]]) -> Ints:
    """The function (its place in ``spans``) that each offset is in, or -1."""
    if not spans:
        return np.full(len(at), -1, np.int32)
    start = np.array([span.start for _, span in spans])
    end = np.array([span.end for _, span in spans])
    home = np.searchsorted(start, at, "right") - 1
    return np.where((home >= 0) & (at < end[home]), home, -1).astype(np.int32)


def _within(
    at: Ints, batch: _Batch, pick: Callable[[Structure], Iterable[tuple[int, int]]]
) -> Bools:
    """Whether offsets lie in ranges of the parser."""
    ranges = sorted(
        (start + int(base), end + int(base))
        for parsed, base in zip(batch.parsed, batch.base, strict=True)
        for start, end in pick(parsed)
    )
    return _in_ranges(at, ranges)


def _in_ranges(at: NDArray[np.integer], ranges: list[tuple[int, int]]) -> Bools:
    if not ranges:
        return np.zeros(len(at), np.bool_)
    bounds = np.array(ranges)
    ends = np.maximum.accumulate(bounds[:, 1])
    place = np.searchsorted(bounds[:, 0], at, "right") - 1
    return np.asarray((place >= 0) & (at < ends[place]), np.bool_)


def _settle(role: Bytes, home: Ints, extern: Bools) -> Bytes:
    """A declaration is a local one in a function, and none of ours after ``extern``."""
    declared = role == Role.VARIABLE
    role[declared & extern] = Role.DECLARATION
    role[declared & ~extern & (home >= 0)] = Role.LOCAL
    return role


def _code(read: _Read) -> Scan:
    batch, found = read.batch, read.found
    keep = found.name >= read.names.keywords
    dead = _in_ranges(
        found.at,
        sorted(
            (start + int(base), end + int(base))
            for masked, base in zip(batch.masked, batch.base, strict=True)
            for start, end in masked.dead
        ),
    )
    full = read.role | np.where(dead, DEAD, 0) | np.where(is_member(found), MEMBER_OF, 0)
    unparsed = []
    for number, masked, parsed in zip(batch.numbers, batch.masked, batch.parsed, strict=True):
        if parsed.errors:
            lines = [masked.code.count(b"\n", 0, at) + 1 for at in parsed.errors[:_UNPARSED_SHOWN]]
            unparsed += [
                (int(number), line, len(parsed.errors), parsed.recovered) for line in lines
            ]
    return Scan(
        found.name[keep],
        batch.numbers[read.file[keep]],
        read.line[keep],
        full[keep].astype(np.uint8),
        unparsed=unparsed,
        layouts=[layout for parsed in batch.parsed for layout in parsed.layouts],
    )


def _functions(result: Scan, read: _Read) -> None:
    batch, spans = read.batch, read.spans
    at = np.array([(s.start, s.end - 1, s.at) for _, s in spans], np.int64).reshape(-1, 3)
    _, start = batch.place(at[:, 0])
    _, end = batch.place(at[:, 1])
    _, line = batch.place(at[:, 2])
    for (file, span), first, last, own in zip(spans, start, end, line, strict=True):
        number = int(batch.numbers[file])
        name = read.names.number(span.name)
        kind = STATIC if span.static else PLAIN
        result.functions.append(Function(name, number, int(first), int(last), int(own), kind))


def _calls(result: Scan, read: _Read) -> None:
    name = read.found.name
    through = read.role == Role.CALL_THROUGH
    is_call = ((read.role == Role.CALL) | through) & (read.home >= 0)
    called = np.flatnonzero(is_call & (name >= read.names.keywords))
    result.caller, result.callee = read.home[called], name[called]
    result.call_line, result.call_through = read.line[called], through[called]


def _links(result: Scan, read: _Read) -> None:
    batch, names, name = read.batch, read.names, read.found.name
    right, member = assigned(read.found, read.role), is_member(read.found)
    right = right[name[right] >= names.keywords]
    for at in right.tolist():
        number = int(batch.numbers[read.file[at]])
        how = "->" if member[at - 1] else "="
        link = Link(int(name[at - 1]), int(name[at]), number, int(read.line[at]), how)
        result.links.append(link)
    hooked = np.flatnonzero(np.isin(name, names.numbers(_HOOKS)))
    for file, (number, parsed) in enumerate(zip(batch.numbers.tolist(), batch.parsed, strict=True)):
        places = hooked[read.file[hooked] == file]
        if parsed.values or len(places):
            masked, offsets = batch.masked[file], read.found.at[places] - batch.base[file]
            lines = _Lines(masked.plain)
            result.links.extend(_tables(number, parsed, lines, names))
            result.links.extend(_registered(number, masked, offsets.tolist(), lines, names))


def _tables(number: int, parsed: Structure, lines: _Lines, names: Names) -> Iterable[Link]:
    for value in parsed.values:
        how = "." if value.member else f"{value.type.decode(errors='replace')} {value.place}"
        through, function = names.number(value.member), names.number(value.name)
        yield Link(through, function, number, lines.of(value.at), how)


def _registered(
    number: int, masked: Masked, places: list[int], lines: _Lines, names: Names
) -> Iterable[Link]:
    for hook in hooks(masked.text, places):
        through, function = names.number(hook.through), names.number(hook.function)
        yield Link(through, function, number, lines.of(hook.at), hook.macro)


class _Lines:
    """Line numbers of offsets, made when they are asked for."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    @cached_property
    def _newlines(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.frombuffer(self._text, np.uint8) == _NEWLINE)

    def of(self, at: int) -> int:
        return int(np.searchsorted(self._newlines, at)) + 1


@dataclass(frozen=True, slots=True)
class _Named:
    """The identifiers of directives: columns that are alike long, but for ``end``.

    ``own``: the directive that each is in; ``order``: its place there, from 0, which is the
    directive's own word; ``define`` and ``undefine``: whether it is a directive of that kind.
    ``end``: where each directive ends, as an offset in the batch.
    """

    found: Words
    own: NDArray[np.int64]
    order: NDArray[np.int64]
    file: Ints
    line: Ints
    define: Bools
    undefine: Bools
    end: NDArray[np.int64]


def _named(batch: _Batch, names: Names) -> _Named | None:
    """What the directives of a batch name; None: it has none."""
    used = [
        (file, directive)
        for file, masked in enumerate(batch.masked)
        for directive in masked.directives
        if directive.word in _NAMING
    ]
    if not used:
        return None
    text = b"\n".join(batch.masked[file].text[d.start : d.end] for file, d in used)
    found = words(text.replace(b"\\\n", b" \n"), names)
    sizes = np.array([d.end - d.start + 1 for _, d in used])
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    own = np.searchsorted(starts, found.at, "right") - 1
    begin = np.array([int(batch.base[file]) + d.start for file, d in used], np.int64)
    file, line = batch.place(begin[own] + (found.at - starts[own]))
    order = np.arange(len(own)) - np.searchsorted(own, own, "left")
    define, undefine = (
        np.array([d.word == word for _, d in used], np.bool_)[own] for word in (b"define", b"undef")
    )
    return _Named(found, own, order, file, line, define, undefine, begin + sizes - 1)


def _macros(result: Scan, batch: _Batch, names: Names) -> None:
    """Add what the directives name: macros defined, what their bodies use, conditions."""
    read = _named(batch, names)
    if read is None:
        return
    found, role = read.found, _roles_in_directives(read, names)
    keep = (read.order > 0) & (found.name >= names.keywords)
    keep &= read.define | (found.name != names.number(b"defined"))
    file = batch.numbers[read.file]
    _append(result, found.name[keep], file[keep], read.line[keep], role[keep])
    body = read.define & (read.order >= 2) & keep
    through = role == Role.CALL_THROUGH
    another_name = (read.order == 2) & (np.bincount(read.own)[read.own] == 3)
    calls = np.flatnonzero(body & ((role == Role.CALL) | through | another_name))
    head = calls - read.order[calls] + 1
    _, last = batch.place(read.end[read.own[calls]])
    _macro_functions(result, _Heads(found.name[head], file[head], read.line[head], last), head)
    result.callee = np.concatenate((result.callee, found.name[calls]))
    result.call_line = np.concatenate((result.call_line, read.line[calls]))
    result.call_through = np.concatenate((result.call_through, through[calls]))


def _roles_in_directives(read: _Named, names: Names) -> Bytes:
    found = read.found
    through = (found.before[0] == ord("*")) & (found.after[0] == ord(")"))
    through &= (found.after[1] == ord("(")) & (found.before[1] == ord("("))
    role = writes(found, names)
    role[role == Role.READ] = Role.MACRO_BODY
    role[found.after[0] == ord("(")] = Role.CALL
    role[through] = Role.CALL_THROUGH
    role[~read.define] = Role.CONDITION
    role[read.undefine] = Role.UNDEFINED
    role[read.define & (read.order == 1)] = Role.MACRO
    return role


@dataclass(frozen=True, slots=True)
class _Heads:
    """Of each call in a macro: the macro's name, file, first and last line."""

    name: Ints
    file: Ints
    line: Ints
    last: Ints


def _macro_functions(result: Scan, heads: _Heads, head: NDArray[np.int64]) -> None:
    """A macro that calls something counts as a function, and so does another name for one."""
    _, first, caller = np.unique(head, return_index=True, return_inverse=True)
    base = len(result.functions)
    for at in first.tolist():
        name, file, line = int(heads.name[at]), int(heads.file[at]), int(heads.line[at])
        result.functions.append(Function(name, file, line, int(heads.last[at]), line, MACRO))
    result.caller = np.concatenate((result.caller, (caller.reshape(-1) + base).astype(np.int32)))


def _append(result: Scan, name: Ints, file: Ints, line: Ints, role: NDArray[np.integer]) -> None:
    result.names = np.concatenate((result.names, name))
    result.files = np.concatenate((result.files, file))
    result.lines = np.concatenate((result.lines, line))
    result.roles = np.concatenate((result.roles, role.astype(np.uint8)))
