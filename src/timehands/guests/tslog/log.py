"""A boot log: its records, as JSON types, and as the text that the kernels print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple, Self

from timehands.errors import TslogDamaged

#: Records that are read at most: TSLOGSIZE where nobody changed it.
MOST_RECORDS: Final = 262_144
KERNEL_HALF: Final = 1 << 63
_LINE: Final = re.compile(
    r"0x([0-9a-fA-F]{1,16}) (\d{1,20}) (ENTER|EXIT|THREAD|EVENT) (\S+)(?: (.*))?"
)
_MAX_LINE: Final = 1024


class What(IntEnum):
    """What a record tells: ``TS_*`` of sys/tslog.h."""

    ENTER = 0
    EXIT = 1
    THREAD = 2
    EVENT = 3


class Record(NamedTuple):
    """One record. ``thread`` is a pointer (FreeBSD) or a number (NetBSD), ``tsc`` in cycles."""

    thread: int
    what: What
    tsc: int
    name: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Tslog:
    """The log.

    Attributes:
        records: in the order in which they were written.
        written: how many the kernel wanted to write; more than it had room for when the log is
            full, then the last ones are lost.
        damaged: how many were left out because they make no sense (one may be half written).
    """

    records: tuple[Record, ...]
    written: int
    damaged: int = 0

    @property
    def pointers(self) -> bool:
        """Whether threads are told by pointers."""
        return any(record.thread >= KERNEL_HALF for record in self.records)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types; `from_json` is the way back."""
        numbers: dict[str | None, int] = {None: -1}
        for record in self.records:
            for text in (record.name, record.detail):
                numbers.setdefault(text, len(numbers) - 1)
        rows = [
            [one.thread, int(one.what), one.tsc, numbers[one.name], numbers[one.detail]]
            for one in self.records
        ]
        strings = [text for text in numbers if text is not None]
        return {
            "written": self.written,
            "damaged": self.damaged,
            "strings": strings,
            "records": rows,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The log that `to_json` wrote. Raises `ValueError`, `KeyError`, `TypeError`."""
        strings = [str(text) for text in data["strings"]]
        if len(data["records"]) > MOST_RECORDS:
            raise ValueError("more records than a log has")
        records = tuple(_from_row(row, strings) for row in data["records"])
        return cls(records, int(data["written"]), int(data["damaged"]))


def _from_row(row: Any, strings: list[str]) -> Record:
    thread, what, tsc, name, detail = (int(number) for number in row)
    if not 0 <= name < len(strings) or not -1 <= detail < len(strings):
        raise ValueError("a record names a string that is not there")
    return Record(thread, What(what), tsc, strings[name], strings[detail] if detail >= 0 else None)


def to_text(log: Tslog) -> str:
    """The log as ``sysctl -b debug.tslog`` prints it, for the scripts that make flame graphs."""
    return "".join(_line(record) + "\n" for record in log.records)


def _line(record: Record) -> str:
    line = f"{record.thread:#x} {record.tsc} {record.what.name} {record.name}"
    return f"{line} {record.detail}" if record.detail is not None else line


def from_text(text: str) -> Tslog:
    """The log that such a text holds; what comes after its last zero byte or line is nothing.

    Raises:
        TslogDamaged: a line is none of a log, or there are more than `MOST_RECORDS`.
    """
    lines = text.rstrip("\0\n").split("\n") if text.strip("\0\n") else []
    if len(lines) > MOST_RECORDS:
        raise TslogDamaged(f"more than {MOST_RECORDS:,} records", line=MOST_RECORDS + 1)
    records = tuple(_from_line(line, number) for number, line in enumerate(lines, 1))
    return Tslog(records, len(records))


def _from_line(line: str, number: int) -> Record:
    match = _LINE.fullmatch(line) if len(line) <= _MAX_LINE else None
    if match is None or int(match[2]) >= 1 << 64:
        raise TslogDamaged("this is no record of a TSLOG", line=number)
    what, name, detail = What[match[3]], match[4], match[5]
    if what is What.THREAD and detail is not None:
        name, detail = f"{name} {detail}", None
    return Record(int(match[1], 16), what, int(match[2]), name, detail)
