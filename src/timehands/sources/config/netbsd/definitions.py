"""Carrying out the definitions of NetBSD's ``files.*``: `Tables` get what they say."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from timehands.sources.config.conditions import ALWAYS, Condition
from timehands.sources.config.model import Chain, Rule, Step
from timehands.sources.config.netbsd.scanner import Malformed, Statement
from timehands.sources.config.netbsd.tables import Attachment, Option, Tables
from timehands.sources.config.reading import Place, Reader, joined

#: Definitions that say nothing about what is compiled.
_SILENT = frozenset(
    {"maxpartitions", "version", "major", "device-major", "buildprefix", "ioconf", "braces"}
)


@dataclass(slots=True)
class Definitions:
    """Carries out definitions. ``prefixes`` are those in effect, the innermost last."""

    reader: Reader
    tables: Tables = field(default_factory=Tables)
    prefixes: list[str] = field(default_factory=list)
    make_options: list[tuple[str, Chain]] = field(default_factory=list)

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

    def _chain(self, statement: Statement, place: Place) -> Chain:
        return (*place.route, Step(place.where(statement.line), statement.text()))

    def _prefix(self, statement: Statement, _place: Place) -> None:
        if not statement.peek():
            if not self.prefixes:
                raise Malformed("there is no prefix to end")
            self.prefixes.pop()
            return
        self.push_prefix(statement.take())

    def push_prefix(self, path: str) -> None:
        """What follows is below a folder, itself below the one in effect."""
        self.prefixes.append(joined(self.prefixes[-1], path) if self.prefixes else path)

    def _file(self, statement: Statement, place: Place) -> None:
        name, where = statement.take("a file"), place.where(statement.line)
        if name == "{":
            raise Malformed("a list of files in braces is not known")
        condition, notes = _condition_and_notes(statement)
        below = joined(self.prefixes[-1], name) if self.prefixes else name
        file = joined(self.reader.tree.sys, below)
        rule = Rule(file, where, statement.text(), condition, True, notes, place.route)
        self._keep(rule, where.file)

    def _keep(self, rule: Rule, source: str) -> None:
        if self.reader.full(len(self.tables.files), rule.where):
            return
        before = self.tables.files.get(rule.file)
        if before is None:
            self.tables.files[rule.file] = rule
            if "needs-count" in rule.notes:
                self.tables.counted.add(rule.file)
        elif rule.condition is ALWAYS and rule.notes and source != before.where.file:
            how = f"{rule.notes[0]} ({rule.where})"
            self.tables.files[rule.file] = replace(before, notes=(*before.notes, how))
        else:
            raise Malformed(f"{rule.file} was named before, at {before.where}: left out")

    def _class(self, statement: Statement, place: Place) -> None:
        chain, attribute = self._chain(statement, place), self.tables.attribute(statement.take())
        attribute.steps, attribute.device_class = chain, True

    def _needs(self, statement: Statement) -> list[str]:
        return statement.names() if statement.take_if(":") else []

    def _attribute(self, statement: Statement, place: Place) -> None:
        chain, name = self._chain(statement, place), statement.take("an attribute")
        interface = statement.braces()
        needs = self._needs(statement)
        attribute = self.tables.attribute(name)
        if attribute.needs or attribute.interface or attribute.device_class:
            where = attribute.steps[-1].where if attribute.steps else ""
            raise Malformed(f"{name} is defined already, at {where}")
        attribute.steps, attribute.interface, attribute.needs = chain, interface, needs
        for other in needs:
            self.tables.attribute(other)

    def _obsolete(self, statement: Statement, place: Place) -> None:
        kind = statement.take("defflag or defparam")
        self._declare(statement, place, kind, obsolete=True)

    def _option(self, statement: Statement, place: Place) -> None:
        self._declare(statement, place, statement.words[0], obsolete=False)

    def _declare(self, statement: Statement, place: Place, kind: str, obsolete: bool) -> None:
        chain, header = self._chain(statement, place), ""
        if statement.peek().endswith(".h"):
            header = statement.take()
        declared = []
        while statement.peek() and not statement.next_is(":"):
            declared.append(statement.take())
            while statement.take_if("=", ":="):
                statement.take("a value")
        needs = self._needs(statement)
        for name in declared:
            own = header or f"opt_{name.lower()}.h"
            option = Option(name, kind, own, needs, chain, obsolete)
            if self.tables.options.setdefault(name, option) is not option:
                raise Malformed(f"{name} is declared already")
            if kind == "deffs":
                self.tables.attribute(name.lower())

    def _device(self, statement: Statement, place: Place) -> None:
        chain, kind = self._chain(statement, place), statement.words[0]
        name = statement.take("a device")
        interface, needs = statement.braces(), self._needs(statement)
        interface = statement.braces() or interface
        device = self.tables.device(name)
        if device.steps:
            raise Malformed(f"{name} is defined already, at {device.steps[-1].where}")
        device.steps, device.attributes = chain, needs
        device.pseudo = kind not in ("device",)
        own = self.tables.attribute(name)
        own.steps = own.steps or chain
        if interface:
            own.interface = True
            device.attributes = [*needs, name]
        for other in needs:
            self.tables.attribute(other)

    def _attach(self, statement: Statement, place: Place) -> None:
        chain, name = self._chain(statement, place), statement.take("a device")
        if not statement.take_if("at"):
            raise Malformed("'at' is lacking")
        places = [None if one == "root" else one for one in statement.names()]
        attachment = statement.take("a name") if statement.take_if("with") else name
        device = self.tables.devices.get(name)
        if device is None or not device.steps:
            raise Malformed(f"device {name} is attached, but not defined")
        found = Attachment(attachment, name, places, self._needs(statement), chain)
        if self.tables.attachments.setdefault(attachment, found) is not found:
            raise Malformed(f"{attachment} is defined already")
        self.tables.attribute(attachment)
        device.attachments.append(found)
        for one in places:
            if one is not None:
                self.tables.attribute(one).devices.append(name)

    def include_path(self, name: str, place: Place) -> str | None:
        """Where an include leads: beside the file for ``./``, else below the kernel's folder."""
        sys, beside = self.reader.tree.sys, posixpath.dirname(place.file)
        below = joined(sys, joined(self.prefixes[-1], name) if self.prefixes else name)
        tried = [below, joined(beside, name)]
        if name.startswith("."):
            tried.reverse()
        return next((file for file in tried if self.reader.has(file)), None)


def _condition_and_notes(statement: Statement) -> tuple[Condition, tuple[str, ...]]:
    """What a file is under, and how it is built; most lines have one word and no more."""
    condition: Condition = ALWAYS
    if statement.peek() and not statement.next_is("needs-flag", "needs-count", "compile-with"):
        condition = statement.condition()
    if not statement.peek():
        return condition, ()
    notes = []
    while statement.next_is("needs-flag", "needs-count"):
        notes.append(statement.take())
    if statement.take_if("compile-with"):
        notes.append(f"compile-with {statement.take()}")
    return condition, tuple(notes)
