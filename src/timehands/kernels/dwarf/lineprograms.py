"""Line number programs: which file and line each address comes from (DWARF 5, section 6.2).

Run here and not by pyelftools: its way in is by a whole object of debug information, it copies a
state for each row, and a lying program may keep it busy for as long as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.sections import number, sleb, text, uleb
from timehands.kernels.dwarf.units import Unit

#: The largest line program that is run, in bytes: one file's, which has some 10 KiB.
_MAX_PROGRAM: Final = 4 << 20
_MAX_FILES: Final = 1 << 16
_MASK: Final = (1 << 64) - 1
_CONTENT_PATH, _CONTENT_DIRECTORY = 1, 2


class Row(NamedTuple):
    """One row of a line table. ``file`` is a number as in `LineProgram.files`; ``end``: no code
    is here any more."""

    address: int
    file: int
    line: int
    statement: bool
    end: bool


@dataclass
class LineProgram:
    """A unit's line number program: its header, and the program to run.

    Attributes:
        files: source files by number, each with its folder as the compiler was told.
    """

    files: dict[int, str] = field(default_factory=dict)
    version: int = 0
    code: bytes = b""
    step: int = 1
    statement: bool = True
    line_base: int = 0
    line_range: int = 1
    opcode_base: int = 1
    lengths: tuple[int, ...] = ()
    address_bytes: int = 8

    def rows(self) -> list[Row]:
        """The line table, as it stands: in sequences, each by address."""
        try:
            return _run(self)
        except IndexError as error:
            raise KernelDamaged("a line number program ends within an instruction") from error


def program_span(unit: Unit) -> tuple[int, int] | None:
    """Where a unit's program lies in ``.debug_line``: (start, end), None when it has none."""
    start = unit.root.number(n.AT_STMT_LIST)
    if start is None:
        return None
    line = unit.sections.line
    length = number(line, start, 4)
    end = start + 4 + length
    if length == 0xFFFFFFFF:
        end = start + 12 + number(line, start + 4, 8)
    if end > len(line):
        raise KernelDamaged("a line number program ends outside its section")
    return start, end


def read_program(unit: Unit) -> LineProgram:
    """A unit's program; one without rows when it has none."""
    span = program_span(unit)
    if span is None:
        return LineProgram()
    if span[1] - span[0] > _MAX_PROGRAM:
        raise KernelDamaged(f"the line number program of {unit.name} is too large")
    try:
        return _Header(unit, unit.sections.line[span[0] : span[1]]).read()
    except IndexError as error:
        raise KernelDamaged(f"the line numbers of {unit.name} are cut short") from error


class _Header:
    """Reads a header from front to back."""

    def __init__(self, unit: Unit, data: bytes) -> None:
        self._unit, self._data, self._at = unit, data, 0
        self._width = 4

    def _take(self, size: int) -> int:
        value = number(self._data, self._at, size)
        self._at += size
        return value

    def _uleb(self) -> int:
        value, self._at = uleb(self._data, self._at)
        return value

    def _string(self) -> str:
        end = self._data.index(b"\0", self._at) if b"\0" in self._data[self._at :] else -1
        if end < 0:
            raise KernelDamaged("a file's name in the line numbers has no end")
        found = self._data[self._at : end].decode("utf-8", "replace")
        self._at = end + 1
        return found

    def read(self) -> LineProgram:
        if self._take(4) == 0xFFFFFFFF:
            self._width = 8
            self._take(8)
        made = LineProgram(version=self._take(2), address_bytes=self._unit.widths.address)
        if not 2 <= made.version <= 5:
            raise KernelDamaged(f"line numbers of a version that is not known ({made.version})")
        if made.version >= 5:
            made.address_bytes = self._take(1)
            self._take(1)
        length = self._take(self._width)
        start = self._at + length
        made.step = self._take(1)
        if made.version >= 4:
            self._take(1)
        made.statement = bool(self._take(1))
        made.line_base = self._take(1)
        made.line_base -= 256 if made.line_base > 127 else 0
        made.line_range, made.opcode_base = self._take(1), self._take(1)
        if not made.line_range or not made.opcode_base or made.address_bytes not in (4, 8):
            raise KernelDamaged("the header of line numbers makes no sense")
        made.lengths = tuple(self._take(1) for _ in range(made.opcode_base - 1))
        made.files = self._new_files() if made.version >= 5 else self._old_files()
        made.code = self._data[start:]
        return made

    def _old_files(self) -> dict[int, str]:
        folders = [self._folder()]
        while self._data[self._at]:
            folders.append(_joined(folders[0], self._string()))
        self._at += 1
        files: dict[int, str] = {}
        while self._data[self._at] and len(files) < _MAX_FILES:
            name, folder = self._string(), self._uleb()
            self._uleb(), self._uleb()
            files[len(files) + 1] = _joined(_pick(folders, folder), name)
        return files

    def _folder(self) -> str:
        return self._unit.string(self._unit.root, n.AT_COMP_DIR)

    def _new_files(self) -> dict[int, str]:
        above = self._folder()
        folders = [_joined(above, path) for path, _ in self._entries()]
        return {
            index: _joined(_pick(folders, folder), path)
            for index, (path, folder) in enumerate(self._entries())
        }

    def _entries(self) -> list[tuple[str, int]]:
        """(path, number of the folder) by the format that the header itself describes."""
        formats = [(self._uleb(), self._uleb()) for _ in range(self._take(1))]
        count = self._uleb()
        if count > _MAX_FILES or (count and not formats):
            raise KernelDamaged("the line numbers name too many files")
        return [self._one(formats) for _ in range(count)]

    def _one(self, formats: list[tuple[int, int]]) -> tuple[str, int]:
        path, folder = "", 0
        for content, form in formats:
            value = self._value(form)
            if content == _CONTENT_PATH and isinstance(value, str):
                path = value
            elif content == _CONTENT_DIRECTORY and isinstance(value, int):
                folder = value
        return path, folder

    def _value(self, form: int) -> str | int:
        if form == n.FORM_STRING:
            return self._string()
        if form == n.FORM_LINE_STRP:
            return text(self._unit.sections.line_str, self._take(self._width))
        if form == n.FORM_STRP:
            return text(self._unit.sections.str, self._take(self._width))
        if form == n.FORM_UDATA:
            return self._uleb()
        if form in n.STRING_INDEXES:
            value = self._uleb() if form == n.FORM_STRX else self._take(n.FIXED[form])
            return self._unit.string_at(form, value)
        if form in (n.FORM_DATA1, n.FORM_DATA2, n.FORM_DATA4, n.FORM_DATA8, n.FORM_DATA16):
            return self._take(n.FIXED[form])
        if form == n.FORM_BLOCK:
            self._at += self._uleb()
            return 0
        raise KernelDamaged(f"line numbers have a form that is not known ({form:#x})")


def _pick(folders: list[str], index: int) -> str:
    return folders[index] if index < len(folders) else ""


def _joined(folder: str, name: str) -> str:
    return str(PurePosixPath(folder, name))


@dataclass(slots=True)
class _State:
    address: int = 0
    file: int = 1
    line: int = 1
    statement: bool = True

    def row(self, end: bool = False) -> Row:
        return Row(self.address & _MASK, self.file, self.line, self.statement, end)


def _run(program: LineProgram) -> list[Row]:
    code, at, rows = program.code, 0, list[Row]()
    state = _State(statement=program.statement)
    base, span = program.opcode_base, program.line_range
    while at < len(code):
        opcode = code[at]
        at += 1
        if opcode >= base:
            state.address += (opcode - base) // span * program.step
            state.line += program.line_base + (opcode - base) % span
            rows.append(state.row())
        elif opcode == 0:
            length, at = uleb(code, at)
            state = _extended(program, code[at : at + length], state, rows)
            at += length
        else:
            at = _standard(program, opcode, at, state, rows)
    return rows


def _extended(program: LineProgram, code: bytes, state: _State, rows: list[Row]) -> _State:
    if code[:1] == b"\x01":
        rows.append(state.row(end=True))
        return _State(statement=program.statement)
    if code[:1] == b"\x02":
        state.address = number(code, 1, min(len(code) - 1, 8))
    return state


def _standard(program: LineProgram, opcode: int, at: int, state: _State, rows: list[Row]) -> int:
    code = program.code
    if opcode == 1:
        rows.append(state.row())
    elif opcode == 2:
        value, at = uleb(code, at)
        state.address += value * program.step
    elif opcode == 3:
        value, at = sleb(code, at)
        state.line += value
    elif opcode == 4:
        state.file, at = uleb(code, at)
    elif opcode == 6:
        state.statement = not state.statement
    elif opcode == 8:
        state.address += (255 - program.opcode_base) // program.line_range * program.step
    elif opcode == 9:
        state.address, at = state.address + number(code, at, 2), at + 2
    else:
        for _ in range(program.lengths[opcode - 1]):
            at = uleb(code, at)[1]
    return at
