"""Carrying out the definitions of NetBSD's ``files.*``: `Tables` get what they say."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from timehands.sources.config.conditions import ALWAYS
from timehands.sources.config.netbsd.listed import PLAIN_FILE, Listed, file_statement
from timehands.sources.config.netbsd.scanner import Malformed, Statement
from timehands.sources.config.netbsd.tables import Attachment, Option, Said, Tables
from timehands.sources.config.reading import MAX_RULES, Place, Reader, joined

_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: Definitions that say nothing about what is compiled.
_SILENT = frozenset(
    {
        "maxpartitions",
        "version",
        "major",
        "device-major",
        "buildprefix",
        "ioconf",
        "braces",
        "mkflagvar",
    }
)


@dataclass(slots=True)
class Definitions:
    """Carries out definitions.

    ``folders`` are the kernel's, then those of prefixes in effect; ``values`` stand for the
    variables in files' names.
    """

    reader: Reader
    tables: Tables = field(default_factory=Tables)
    folders: list[str] = field(init=False)
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folders = [self.reader.tree.sys]

    def handlers(self) -> Mapping[str, Callable[[Statement, Place], None]]:
        """What carries out each keyword."""
        return {
            "file": self._file, "object": self._file, "prefix": self._prefix,
            "devclass": self._class, "define": self._attribute, "deffs": self._option,
            "defopt": self._option, "defflag": self._option, "defparam": self._option,
            "obsolete": self._obsolete, "device": self._device, "defpseudo": self._device,
            "defpseudodev": self._device, "attach": self._attach,
        } | dict.fromkeys(_SILENT, self._silent)  # fmt: skip

    def _silent(self, statement: Statement, _place: Place) -> None:
        statement.rest()

    def _prefix(self, statement: Statement, _place: Place) -> None:
        if not statement.peek():
            if len(self.folders) == 1:
                raise Malformed("there is no prefix to end")
            self.folders.pop()
            return
        self.push_prefix(statement.take())

    def push_prefix(self, path: str) -> None:
        """What follows is below a folder, itself below the one in effect."""
        folder = posixpath.normpath(posixpath.join(self.folders[-1], path))
        self.folders.append("" if folder == "." else folder)

    def _file(self, statement: Statement, place: Place) -> None:
        names, line = file_statement(statement, place)
        if len(names) == 1:
            self._keep(self._expanded(names[0]), line)
            return
        paths = [self._expanded(name) for name in names]
        there = (one for one in paths if self.reader.has(joined(self.folders[-1], one)))
        first = next(there, paths[0])
        self._keep(first, line)
        self._pass_over([one for one in paths if one != first], line, first)

    def _pass_over(self, names: list[str], line: Listed, chosen: str) -> None:
        """Note the files for which another of the same line is there."""
        files, folder = self.tables.files, self.folders[-1]
        for file in (joined(folder, name) for name in names):
            if files.lines.setdefault(file, line) is line:
                files.passed_over[file] = joined(folder, chosen)

    def _expanded(self, name: str) -> str:
        """A name with the values of its variables; unknown ones stay."""
        if "${" not in name:
            return name
        return _VARIABLE.sub(lambda match: self.values.get(match[1], match[0]), name)

    def plain_file(self, line: int, source: str, place: Place) -> bool:
        """Take in a line if it names a file plainly, as most lines do. Raises `Malformed`."""
        match = PLAIN_FILE.fullmatch(source)
        if match is None:
            return False
        name, word, note = match.groups()
        self._keep(name, Listed(place, line, source, word or "", ALWAYS, (note,) if note else ()))
        return True

    def _keep(self, name: str, line: Listed) -> None:
        file, files = joined(self.folders[-1], name), self.tables.files
        if len(files.lines) >= MAX_RULES:
            self.reader.full(len(files.lines), line.where)
            return
        before = files.lines.setdefault(file, line)
        if before is line:
            if "needs-count" in line.notes:
                files.counted.add(file)
        elif line.always and line.notes and line.place.file != before.place.file:
            how = f"{line.notes[0]} ({line.where})"
            files.lines[file] = replace(before, notes=(*before.notes, how))
        else:
            raise Malformed(f"{file} was named before, at {before.where}: left out")

    def _class(self, statement: Statement, place: Place) -> None:
        attribute = self.tables.attribute(statement.take())
        attribute.said, attribute.device_class = _said(statement, place), True

    def _needs(self, statement: Statement) -> list[str]:
        return statement.names() if statement.take_if(":") else []

    def _attribute(self, statement: Statement, place: Place) -> None:
        name = statement.take("an attribute")
        interface = statement.braces()
        needs = self._needs(statement)
        attribute = self.tables.attribute(name)
        if attribute.needs or attribute.interface or attribute.device_class:
            where = attribute.said.where if attribute.said else ""
            raise Malformed(f"{name} is defined already, at {where}")
        attribute.said, attribute.interface, attribute.needs = (
            _said(statement, place),
            interface,
            needs,
        )
        for other in needs:
            self.tables.attribute(other)

    def _obsolete(self, statement: Statement, place: Place) -> None:
        kind = statement.take("defflag or defparam")
        self._declare(statement, place, kind, obsolete=True)

    def _option(self, statement: Statement, place: Place) -> None:
        self._declare(statement, place, statement.words[0], obsolete=False)

    def _declare(self, statement: Statement, place: Place, kind: str, obsolete: bool) -> None:
        said = _said(statement, place)
        if statement.peek().endswith(".h"):
            statement.take()
        declared = []
        while statement.peek() and not statement.next_is(":"):
            declared.append(statement.take())
            while statement.take_if("=", ":="):
                statement.take("a value")
        needs = self._needs(statement)
        for name in declared:
            option = Option(name, said, kind, needs, obsolete)
            if self.tables.options.setdefault(name, option) is not option:
                raise Malformed(f"{name} is declared already")
            if kind == "deffs":
                self.tables.attribute(name.lower())

    def _device(self, statement: Statement, place: Place) -> None:
        kind, name = statement.words[0], statement.take("a device")
        interface, needs = statement.braces(), self._needs(statement)
        interface = statement.braces() or interface
        device = self.tables.device(name)
        if device.said is not None:
            raise Malformed(f"{name} is defined already, at {device.said.where}")
        device.said, device.attributes = _said(statement, place), needs
        device.pseudo = kind not in ("device",)
        own = self.tables.attribute(name)
        own.said = own.said or device.said
        if interface or own.interface:
            own.interface = True
            device.attributes = [*needs, name]
        for other in needs:
            self.tables.attribute(other)

    def _attach(self, statement: Statement, place: Place) -> None:
        name = statement.take("a device")
        if not statement.take_if("at"):
            raise Malformed("'at' is lacking")
        places = [None if one == "root" else one for one in statement.names()]
        attachment = statement.take("a name") if statement.take_if("with") else name
        device = self.tables.devices.get(name)
        if device is None or device.said is None:
            raise Malformed(f"device {name} is attached, but not defined")
        said, needs = _said(statement, place), self._needs(statement)
        found = Attachment(attachment, said, name, places, needs)
        if self.tables.attachments.setdefault(attachment, found) is not found:
            raise Malformed(f"{attachment} is defined already")
        self.tables.attribute(attachment)
        device.attachments.append(found)
        for one in places:
            if one is not None:
                self.tables.attribute(one).devices.add(name)

    def include_path(self, name: str, place: Place) -> str | None:
        """Where an include leads: beside the file for ``./``, else below the kernel's folder."""
        tried = [
            joined(folder, name) for folder in (self.folders[-1], posixpath.dirname(place.file))
        ]
        if name.startswith("."):
            tried.reverse()
        return next((file for file in tried if self.reader.has(file)), None)


def _said(statement: Statement, place: Place) -> Said:
    return Said(place, statement.line, statement.source)
