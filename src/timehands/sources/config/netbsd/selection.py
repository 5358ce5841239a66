"""Carrying out a NetBSD kernel configuration: ``options``, ``no options``, ``com0 at isa?``, ...

``machine`` brings in the definitions; after them the same file may define and select.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from timehands.sources.config.ledger import Ledger
from timehands.sources.config.model import Chain, Step
from timehands.sources.config.netbsd.definitions import Definitions
from timehands.sources.config.netbsd.dialect import NETBSD, Dialect
from timehands.sources.config.netbsd.instances import Instance, Instances
from timehands.sources.config.netbsd.scanner import Malformed, Quoted, Statement, lines, words
from timehands.sources.config.netbsd.selected import Selected
from timehands.sources.config.netbsd.tables import Said
from timehands.sources.config.reading import Place, Reader

_CONDITIONALS = frozenset({"ifdef", "ifndef", "elifdef", "elifndef", "else", "endif"})
_INCLUDES = frozenset({"include", "cinclude", "package"})
_ATTACHED = "device"
#: Statements between two looks at the clock.
_BETWEEN_LOOKS = 200
_Handlers = Mapping[str, Callable[[Statement, Place], None]]


@dataclass(slots=True)
class Selection:
    """What was defined and selected so far."""

    reader: Reader
    dialect: Dialect = NETBSD
    definitions: Definitions = field(init=False)
    selected: Selected = field(init=False)
    instances: Instances = field(init=False)
    ledger: Ledger = field(default_factory=Ledger)
    machines: list[str] = field(default_factory=list)
    conditional_make_options: list[Statement] = field(default_factory=list)
    defining: bool = False
    _while_defining: _Handlers = field(init=False)
    _while_selecting: _Handlers = field(init=False)

    def __post_init__(self) -> None:
        self.definitions = Definitions(self.reader)
        defining = self.definitions.handlers()
        self._while_defining = {
            **defining, "makeoptions": self._conditional_make_option, "maxusers": self._skip,
            "pseudo-device": defining["defpseudodev"],
        }  # fmt: skip
        self._while_selecting = {**defining, **self._selecting()}
        tables = self.definitions.tables
        self.selected, self.instances = Selected(tables), Instances(tables)
        tables.attribute("netbsd")
        self.selected.add("netbsd", (Step(None, "every kernel"),))

    @property
    def machine(self) -> str:
        """The machine's name, if a line said it."""
        return self.machines[0] if self.machines else ""

    # ---- files

    def read(self, place: Place) -> None:
        """Carry out a file's statements, and those of the files it includes."""
        wanted_by = place.route[-1].where if place.route else None
        text = self.reader.text(place.file, wanted_by)
        regions = Regions()
        for count, (line, source) in enumerate(lines(text) if text is not None else ()):
            if count % _BETWEEN_LOOKS == 0 and self.reader.late(place.where(line)):
                return
            try:
                file = source[:4] == "file" and not regions.ignored
                if not (file and self.definitions.plain_file(line, source, place)):
                    self._carry_out(Statement(line, source, words(source)), place, regions)
            except Malformed as error:
                told = f"{words(source)[0]}: {error}"
                self.reader.complaints.add(place.where(line), told)
        for line in regions.open:
            self.reader.complaints.add(place.where(line), "this ifdef has no endif")

    def _carry_out(self, statement: Statement, place: Place, regions: Regions) -> None:
        keyword = statement.take()
        keyword = "no" if keyword == "-no" else keyword
        if keyword in _CONDITIONALS:
            name = statement.peek()
            defined = name in self.definitions.tables.attributes
            regions.carry_out(keyword, defined, statement.line)
        elif not regions.ignored:
            if keyword in _INCLUDES:
                self._include(keyword, statement, place)
                return
            self._handler(keyword, statement)(statement, place)
            if statement.peek() and not self.defining:
                raise Malformed(f"{statement.peek()!r} does not belong here")

    def _handler(self, keyword: str, statement: Statement) -> Callable[[Statement, Place], None]:
        handlers = self._while_defining if self.defining else self._while_selecting
        found = handlers.get(keyword)
        if found is not None:
            return found
        if "at" in statement.words[1:4] and not self.defining:
            return self._instance
        raise Malformed("an unknown directive")

    def _selecting(self) -> _Handlers:
        return {
            "machine": self._machine, "options": self._options, "option": self._options,
            "file-system": self._file_systems, "makeoptions": self._make_options,
            "makeoption": self._make_options, "rmoptions": self._remove_options,
            "pseudo-device": self._pseudo, "select": self._select, "no": self._no,
            "rmoption": self._remove_options, "maxusers": self._one_value,
            "ident": self._one_value, "config": self._config, "source": self._skip,
            "build": self._skip, "pseudo-root": self._skip,
        }  # fmt: skip

    def _skip(self, statement: Statement, _place: Place) -> None:
        statement.rest()

    def _include(self, keyword: str, statement: Statement, place: Place) -> None:
        name = statement.take("a file")
        if keyword == "package":
            before = list(self.definitions.folders)
            self.definitions.push_prefix(posixpath.dirname(name))
            self._included(posixpath.basename(name), keyword, statement, place)
            self.definitions.folders = before
        else:
            self._included(name, keyword, statement, place)

    def _included(self, name: str, keyword: str, statement: Statement, place: Place) -> None:
        found = self.definitions.include_path(name, place)
        if found is None:
            if keyword != "cinclude":
                raise Malformed(f"there is no file {name}")
            return
        if refusal := place.refusal(found):
            raise Malformed(refusal)
        self.read(place.included(found, statement.line, statement.text()))

    def _machine(self, statement: Statement, place: Place) -> None:
        names = statement.rest()
        if not names:
            raise Malformed("no name")
        if self.machine:
            raise Malformed("a second machine: left out")
        self.machines = names
        self.ledger.set("machine", names[0], None, self._chain(statement, place))
        for name in names:
            attribute = self.definitions.tables.attribute(name)
            attribute.said = Said(place, statement.line, statement.source)
        self.definitions.values = {"MACHINE": names[0], "MACHINE_ARCH": names[-1]}
        self.defining = True
        for one in ("", *names[1:], names[0]):
            file = f"arch/{one}/conf/files.{one}" if one else "conf/files"
            found = self.reader.tree.below_sys(file)
            self.read(place.included(found, statement.line, statement.text()))
            self.definitions.tables.firm()
        self.defining = False

    # ---- what is selected

    def _chain(self, statement: Statement, place: Place, words: str = "") -> Chain:
        step = Step(place.where(statement.line), words or statement.text())
        return (*place.route, step)

    def _options(self, statement: Statement, place: Place) -> None:
        for name, operator, value in _assignments(statement):
            words = f"{statement.words[0]} {name}{operator}{value}"
            chain = self._chain(statement, place, words)
            self.option(name, value if operator else None, chain)

    def option(self, name: str, value: str | None, chain: Chain, because: str = "") -> None:
        """Set an option: files can be conditional on its name in small letters."""
        declared = self.definitions.tables.options.get(name)
        if declared is not None and declared.obsolete:
            self.reader.complaints.add(chain[-1].where, f"{name} is obsolete: ignored")
            return
        if declared is not None and declared.kind == "deffs":
            raise Malformed(f"{name} is a file system")
        if declared is not None and declared.kind == "defparam" and value is None:
            raise Malformed(f"{name} must have a value")
        if declared is not None and declared.kind == "defflag" and value is not None:
            raise Malformed(f"{name} must not have a value")
        if self.dialect.once and self.ledger.on("options", name):
            before = self.ledger.chain("options", name)[-1].where
            raise Malformed(f"{name} is set already, at {before}: config stops here")
        self.ledger.set("options", name, value, chain)
        self.selected.remove(name.lower())
        self.selected.add(name.lower(), chain, because or None)

    def _file_systems(self, statement: Statement, place: Place) -> None:
        for name in statement.names():
            declared = self.definitions.tables.options.get(name)
            if declared is None or declared.kind != "deffs":
                raise Malformed(f"{name} is no file system that is defined")
            chain = self._chain(statement, place, f"file-system {name}")
            self.ledger.set("file-system", name, None, chain)
            self.selected.remove(name.lower())
            self.selected.attribute(name.lower(), chain)

    def _make_options(self, statement: Statement, place: Place) -> None:
        if statement.words[2:3] not in (["="], ["+="]):
            self._conditional_make_option(statement, place)
            return
        for name, operator, value in _assignments(statement):
            chain = self._chain(statement, place, f"makeoptions {name}{operator}{value}")
            before = self.ledger.value("makeoptions", name)
            whole = f"{before} {value}" if operator == "+=" and before is not None else value
            self.ledger.set("makeoptions", name, whole, chain)

    def _conditional_make_option(self, statement: Statement, _place: Place) -> None:
        self.conditional_make_options.append(statement)
        statement.rest()

    def _pseudo(self, statement: Statement, place: Place) -> None:
        chain, name = self._chain(statement, place), statement.take("a pseudo-device")
        number = statement.take() if statement.peek() else "1"
        device = self.definitions.tables.devices.get(name)
        if device is None or not device.pseudo:
            raise Malformed(f"there is no pseudo-device {name}")
        device.units = int(number[:9]) if number.isdecimal() else 1
        self.instances.pseudo[name] = chain
        self.ledger.set("pseudo-device", name, number if number != "1" else None, chain)

    def _select(self, statement: Statement, place: Place) -> None:
        chain, name = self._chain(statement, place), statement.take("an attribute")
        self.ledger.set("select", name, None, chain)
        self.selected.attribute(name, chain)

    def _one_value(self, statement: Statement, place: Place) -> None:
        chain, kind = self._chain(statement, place), statement.words[0]
        self.ledger.set(kind, kind, " ".join(statement.rest()), chain)

    def _config(self, statement: Statement, place: Place) -> None:
        chain, name = self._chain(statement, place), statement.take("a name")
        self.ledger.set("config", name, " ".join(statement.rest()), chain)

    def _instance(self, statement: Statement, place: Place) -> None:
        chain, words = self._chain(statement, place), statement.words
        statement.rest()
        cut = words.index("at")
        name = "".join(words[:cut])
        if words[-1] == "enable":
            self._enable(name, "".join(words[cut + 1 : -1]), chain)
            return
        at = "".join(words[cut + 1 : cut + 3]) if words[cut + 2 : cut + 3] == ["?"] else None
        at = at or (words[cut + 1] if len(words) > cut + 1 else "")
        locators = " ".join(words[cut + (3 if at.endswith("?") else 2) :])
        instance = self.instances.add(name, at, chain)
        self.ledger.set(_ATTACHED, instance.name, locators or None, chain)

    def _enable(self, name: str, at: str, chain: Chain) -> None:
        found = [one for one in self.instances.all if one.name == f"{name} at {at}"]
        if not found:
            raise Malformed(f"there is no {name} at {at}")
        for one in found:
            self.ledger.note(_ATTACHED, one.name, chain)

    # ---- what is taken away

    def _no(self, statement: Statement, place: Place) -> None:
        chain, kind = self._chain(statement, place), statement.take("what there shall not be")
        if kind == "device" and statement.take_if("at"):
            self._forget(self.instances.remove_at("".join(statement.rest())), chain)
        elif kind in ("options", "file-system", "makeoptions"):
            for name in statement.names():
                self._remove(kind, name, chain)
        elif kind in ("pseudo-device", "select", "config"):
            self._remove(kind, statement.take("a name"), chain)
        elif kind == "ident":
            self.ledger.remove(kind, kind, chain)
        else:
            self._remove_instance(statement, chain)

    def _remove_options(self, statement: Statement, place: Place) -> None:
        chain = self._chain(statement, place)
        for name in statement.rest():
            self._remove("options", name, chain)

    def _remove(self, kind: str, name: str, chain: Chain) -> None:
        if not self.ledger.remove(kind, name, chain):
            if chain[-1].words.startswith("-no"):
                return
            self.reader.complaints.add(chain[-1].where, f"{kind} {name} was not set")
        elif kind in ("options", "file-system"):
            self.selected.remove(name.lower())
        elif kind == "select":
            self.selected.remove_attribute(name)
        elif kind == "pseudo-device":
            self.instances.pseudo.pop(name, None)
            self.definitions.tables.device(name).units = 0

    def _remove_instance(self, statement: Statement, chain: Chain) -> None:
        words = statement.words[1:]
        statement.rest()
        cut = words.index("at") if "at" in words else len(words)
        at = "".join(words[cut + 1 :]) or None
        gone = self.instances.remove("".join(words[:cut]), at)
        if not gone and statement.words[0] != "-no":
            raise Malformed(f"there is no {' '.join(words)}")
        self._forget(gone, chain)

    def _forget(self, gone: list[Instance], chain: Chain) -> None:
        for one in gone:
            self.ledger.remove(_ATTACHED, one.name, chain)


def _assignments(statement: Statement) -> list[tuple[str, str, str]]:
    """``A, B=1, C+="x"`` as names, operators and values."""
    found = []
    while True:
        name = statement.take("a name")
        operator = statement.take() if statement.next_is("=", "+=") else ""
        value = ""
        if operator:
            word = statement.take("a value")
            value = f'"{word}"' if isinstance(word, Quoted) and " " in word else word
        found.append((name, operator, value))
        if not statement.take_if(","):
            return found


class Regions:
    """``ifdef`` and its kin: which lines of a file count. A region nests in others.

    ``ignored`` says whether lines do not count here.
    """

    def __init__(self) -> None:
        self._stack: list[tuple[bool, bool, int]] = []
        self.ignored = False

    @property
    def open(self) -> list[int]:
        """The lines that begin regions which were not ended."""
        return [line for _, _, line in self._stack]

    def carry_out(self, keyword: str, defined: bool, line: int) -> None:
        """Take in one of the keywords. Raises `Malformed` for one that is out of place."""
        self._change(keyword, defined, line)
        self.ignored = any(not active for active, _, _ in self._stack)

    def _change(self, keyword: str, defined: bool, line: int) -> None:
        if keyword in ("ifdef", "ifndef"):
            active = defined == (keyword == "ifdef")
            self._stack.append((active, active, line))
            return
        if not self._stack:
            raise Malformed("there is no ifdef before it")
        _, done, begun = self._stack.pop()
        if keyword != "endif":
            wanted = keyword == "else" or defined == (keyword == "elifdef")
            active = wanted and not done
            self._stack.append((active, done or active, begun))
