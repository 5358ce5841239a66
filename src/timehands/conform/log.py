"""What the conformance guest said, and when: lines of text, stamped with the host's time or not.

A log on disk is one line a line: the host's monotonic time in ns, a space, and the guest's words;
or the words alone, as a terminal shows them. Lines that begin with ``>`` are those of the host's
side (`talk`): bytes that it sent, what it did to the machine. Anything may be in a log: what is no
line of ours is left out, and all of it is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_LINES = 20_000
MAX_LINE = 4_096
MAX_VALUES = 64
_MASK_64 = (1 << 64) - 1
_STAMPED = re.compile(r"(\d{1,20}) (.*)", re.DOTALL)
_ID = re.compile(r"[a-z0-9_]{1,24}\.[a-z0-9_]{1,32}")
_PAIR = re.compile(r"([a-z0-9_]{1,32})=(\S{1,2048})")
_NUMBERS = re.compile(r"0x[0-9a-f]{1,16}(?:,0x[0-9a-f]{1,16}){0,63}")
FIRST_LINE = "timehands-conform 1"


@dataclass(frozen=True, slots=True)
class Line:
    """One line. ``host_ns``: when its first byte came (CLOCK_MONOTONIC), None if nobody noted."""

    host_ns: int | None
    text: str

    def __str__(self) -> str:
        return self.text if self.host_ns is None else f"{self.host_ns} {self.text}"


class Kind(StrEnum):
    """What the guest says of a case."""

    DATA = "data"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Said:
    """A case's line. ``numbers`` holds the lists of its keys; ``why`` is for `Kind.SKIP`."""

    id: str
    kind: Kind
    numbers: Mapping[str, tuple[int, ...]]
    host_ns: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """All counters at (nearly) one moment, between two host times where those are known.

    ``numbers``: ``tsc``, ``tsc_after``, and ``lapic``, ``pit``, ``ns``, ``flags``, ``version``
    where the machine has the clock.
    """

    row: str
    numbers: Mapping[str, int]
    asked_ns: int | None
    came_ns: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """A log, read. ``begun`` are the cases that began, in order; ``notes`` the host's side's."""

    said: Mapping[str, Said]
    samples: tuple[Sample, ...]
    begun: tuple[str, ...]
    notes: Mapping[str, Mapping[str, str]]
    ours: bool
    ended: bool
    fault: str = ""
    lines: tuple[Line, ...] = field(default=(), repr=False)

    @property
    def stamped(self) -> bool:
        """Whether the host's times are known."""
        return any(line.host_ns is not None for line in self.lines)


def parse_lines(texts: Iterable[str]) -> list[Line]:
    """The lines of a log on disk, at most `MAX_LINES` of `MAX_LINE` characters."""
    lines: list[Line] = []
    for raw in texts:
        if len(lines) == MAX_LINES:
            break
        text = raw[:MAX_LINE].rstrip("\r\n")
        stamped = _STAMPED.fullmatch(text)
        lines.append(Line(int(stamped[1]), stamped[2]) if stamped else Line(None, text))
    return lines


def read_log(lines: Iterable[Line]) -> Log:
    """What the lines say. Never fails: what is no line of ours is left out."""
    reader = _Reader()
    kept = tuple(lines)[:MAX_LINES]
    for line in kept:
        reader.take(line)
    return Log(
        reader.said,
        tuple(reader.samples),
        tuple(reader.begun),
        reader.notes,
        reader.ours,
        reader.ended,
        reader.fault,
        kept,
    )


class _Reader:
    """Goes through the lines, and pairs samples with the bytes that asked for them."""

    def __init__(self) -> None:
        self.said: dict[str, Said] = {}
        self.samples: list[Sample] = []
        self.begun: list[str] = []
        self.notes: dict[str, Mapping[str, str]] = {}
        self.ours = self.ended = False
        self.fault = ""
        self._asked_ns: int | None = None

    def take(self, line: Line) -> None:
        text = line.text.strip()
        if text == FIRST_LINE:
            self.ours = True
        word, _, rest = text.partition(" ")
        if word == "C":
            self._case(line, rest)
        elif word == "B" and _ID.fullmatch(rest):
            self.begun.append(rest)
        elif word == "S":
            self._sample(line, rest)
        elif word == ">":
            self._host(line, rest)
        elif word == "E":
            self.ended = True
        elif word == "X":
            self.fault = rest[:80]

    def _case(self, line: Line, rest: str) -> None:
        name, _, rest = rest.partition(" ")
        kind, _, rest = rest.partition(" ")
        if not _ID.fullmatch(name) or kind not in (Kind.DATA, Kind.SKIP) or name in self.said:
            return
        pairs = dict(_PAIR.findall(rest)[:MAX_VALUES])
        why = pairs.get("why", "").replace("-", " ") if kind == Kind.SKIP else ""
        self.said[name] = Said(name, Kind(kind), _numbers(pairs), line.host_ns, why[:80])

    def _sample(self, line: Line, rest: str) -> None:
        row, _, rest = rest.partition(" ")
        numbers = {key: values[0] for key, values in _numbers(dict(_PAIR.findall(rest))).items()}
        if "tsc" in numbers and "tsc_after" in numbers:
            self.samples.append(Sample(row[:32], numbers, self._asked_ns, line.host_ns))
        self._asked_ns = None

    def _host(self, line: Line, rest: str) -> None:
        word, _, rest = rest.partition(" ")
        if word == "asked":
            self._asked_ns = line.host_ns
        elif re.fullmatch(r"[a-z]{1,16}", word):
            self.notes.setdefault(word, dict(_PAIR.findall(rest)[:MAX_VALUES]))


def _numbers(pairs: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """The values that are numbers, or lists of them."""
    return {
        key: tuple(int(number, 16) & _MASK_64 for number in text.split(","))
        for key, text in pairs.items()
        if _NUMBERS.fullmatch(text)
    }
