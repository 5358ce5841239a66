"""What a FreeBSD kernel configuration selects: its directives, carried out in order.

As config(8) does it: DEFAULTS of the same folder comes first; a second ``options`` of a name gives
it a new value, a second ``device`` or ``makeoptions`` is ignored; ``no...`` takes away what was set
so far, and a later line may set it again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from timehands.sources.config.freebsd.lexer import Directive, Item, directives
from timehands.sources.config.ledger import Ledger
from timehands.sources.config.model import Chain, Step
from timehands.sources.config.reading import Place, Reader, joined

#: Each keyword, and its other spellings.
_KEYWORDS = {
    "devices": "device", "nodevices": "nodevice", "option": "options", "nooption": "nooptions",
    "makeoption": "makeoptions", "nomakeoption": "nomakeoptions",
}  # fmt: skip
_REMOVES = {"nodevice": "device", "nooptions": "options", "nomakeoptions": "makeoptions"}
_REMOVES["nocpu"] = "cpu"
_ONE_VALUE = ("ident", "maxusers")


@dataclass(slots=True)
class Selection:
    """What was selected; ``machine`` is what decides which ``files.*`` and ``options.*`` count."""

    reader: Reader
    ledger: Ledger = field(default_factory=Ledger)
    machine: str = ""
    machine_arch: str = ""
    extra_files: list[tuple[str, Chain]] = field(default_factory=list)

    def read(self, place: Place) -> None:
        """Carry out a file's directives, and those of the files it includes."""
        wanted_by = place.route[-1].where if place.route else None
        text = self.reader.text(place.file, wanted_by)
        for directive in directives(text) if text is not None else ():
            if self.reader.late(place.where(directive.line)):
                return
            self._carry_out(directive, place)

    def _carry_out(self, directive: Directive, place: Place) -> None:
        where = place.where(directive.line)
        if directive.odd:
            self.reader.complaints.add(where, f"{directive.odd!r} does not belong here")
            if not directive.keyword:
                return
        keyword = _KEYWORDS.get(directive.keyword, directive.keyword)
        carry_out = self._handlers().get(keyword)
        if carry_out is None:
            self.reader.complaints.add(where, f"unknown directive {directive.keyword!r}")
        elif not directive.items:
            self.reader.complaints.add(where, f"{directive.keyword} of nothing")
        elif keyword in ("include", "machine"):
            carry_out(directive.items, place, directive)
        else:
            for item in directive.items:
                carry_out((item,), place, directive)

    def _handlers(self) -> Mapping[str, Callable[[tuple[Item, ...], Place, Directive], None]]:
        handlers = {
            "include": self._include, "machine": self._machine, "device": self._device,
            "options": self._option, "makeoptions": self._make_option, "cpu": self._other,
            "envvar": self._other, "env": self._other, "hints": self._other,
            "files": self._files,
        }  # fmt: skip
        return (
            handlers
            | dict.fromkeys(_REMOVES, self._remove)
            | dict.fromkeys(_ONE_VALUE, self._one_value)
        )

    def _chain(self, place: Place, directive: Directive, item: Item) -> Chain:
        value = f"{item.operator}{item.value}"
        words = f"{directive.keyword} {item.name}{value}"
        return (*place.route, Step(place.where(directive.line), words))

    def _include(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        name, where = items[0].name, place.where(directive.line)
        found = self._found(name, place.file)
        if found is None:
            self.reader.complaints.add(where, f"cannot include {name}: there is no such file")
        elif refusal := place.refusal(found):
            self.reader.complaints.add(where, refusal)
        else:
            self.read(place.included(found, directive.line, f"include {name}"))

    def _found(self, name: str, including: str) -> str | None:
        """config(8) looks beside the configuration, then in sys/conf."""
        tree = self.reader.tree
        folders = [posixpath.dirname(including), tree.below_sys("conf")]
        if self.machine:
            folders.insert(1, tree.below_sys(f"{self.machine}/conf"))
        for folder in folders:
            if self.reader.has(file := joined(folder, name)):
                return file
        return None

    def _machine(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        machine = items[0].name
        if self.machine and machine != self.machine:
            where = place.where(directive.line)
            self.reader.complaints.add(where, f"a second machine, {machine}: left out")
            return
        self.machine = machine
        self.machine_arch = items[1].name if len(items) > 1 else machine
        words = " ".join(("machine", *(item.name for item in items)))
        chain = (*place.route, Step(place.where(directive.line), words))
        self.ledger.set("machine", machine, None, chain)

    def _device(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        (item,), chain = items, self._chain(place, directive, items[0])
        if self.ledger.on("device", item.name):
            self.ledger.note("device", item.name, chain)
        else:
            self.ledger.set("device", item.name, None, chain)

    def _option(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        (item,) = items
        value = item.value if item.operator else None
        self.ledger.set("options", item.name, value, self._chain(place, directive, item))

    def _make_option(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        (item,), chain = items, self._chain(place, directive, items[0])
        before = self.ledger.value("makeoptions", item.name)
        if item.operator == "+=" and before is not None:
            self.ledger.set("makeoptions", item.name, f"{before} {item.value}", chain)
        elif before is not None:
            self.ledger.note("makeoptions", item.name, chain)
        else:
            self.ledger.set("makeoptions", item.name, item.value, chain)

    def _remove(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        kind = _REMOVES[_KEYWORDS.get(directive.keyword, directive.keyword)]
        self.ledger.remove(kind, items[0].name, self._chain(place, directive, items[0]))

    def _other(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        (item,) = items
        value = item.value if item.operator else None
        chain = self._chain(place, directive, item)
        self.ledger.set(directive.keyword, item.name, value, chain)

    def _one_value(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        chain = self._chain(place, directive, items[0])
        self.ledger.set(directive.keyword, directive.keyword, items[0].name, chain)

    def _files(self, items: tuple[Item, ...], place: Place, directive: Directive) -> None:
        file = joined(posixpath.dirname(place.file), items[0].name)
        chain = self._chain(place, directive, items[0])
        self.extra_files.append((file, chain))
        self.ledger.set("files", items[0].name, None, chain)
