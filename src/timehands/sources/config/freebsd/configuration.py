"""A FreeBSD kernel configuration, resolved as config(8) resolves it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from timehands.sources.config.conditions import (
    All,
    Any,
    Condition,
    Literal,
    Name,
    Not,
    holds,
    names,
    ways,
)
from timehands.sources.config.freebsd.files import PROFILING, FileList, KnownOption, known_options
from timehands.sources.config.freebsd.modules import Modules
from timehands.sources.config.freebsd.selection import Selection
from timehands.sources.config.model import (
    Chain,
    Change,
    Configuration,
    Explainer,
    Reasons,
    Rule,
    Step,
    Verdict,
    Why,
)
from timehands.sources.config.reading import Place, Reader, joined


def folder(arch: str) -> str:
    """Where the configurations of an architecture are, below the kernel's folder."""
    return f"{arch}/conf"


def resolve(reader: Reader, file: str, name: str, arch: str) -> Configuration:
    """The configuration in a file of the tree (or outside of it), resolved."""
    selection = Selection(reader)
    defaults = joined(posixpath.dirname(file), "DEFAULTS")
    if file in reader.outside:
        defaults = reader.tree.below_sys(f"{folder(arch)}/DEFAULTS")
    if reader.has(defaults) and defaults != file:
        selection.read(Place(defaults))
    selection.read(Place(file))
    if not selection.machine:
        reader.complaints.add(None, f"no machine directive; taken as {arch}")
        selection.machine = selection.machine_arch = arch
    known = known_options(reader, selection.machine)
    _check_options(selection, known)
    standing = Names(selection, known)
    rules = _rules(selection)
    files = _compiled(rules, standing)
    settings = selection.ledger.settings()
    return Configuration(
        name=name,
        system="FreeBSD",
        arch=selection.machine,
        source=file,
        settings=settings,
        rules=rules,
        files=files,
        noted=reader.complaints,
        explainer=standing,
    )


def _check_options(selection: Selection, known: dict[str, KnownOption]) -> None:
    ledger = selection.ledger
    for name in ledger.names("options"):
        if name not in known:
            step = ledger.chain("options", name)[-1]
            selection.reader.complaints.add(step.where, f"unknown option {name}")


def _rules(selection: Selection) -> dict[str, tuple[Rule, ...]]:
    tree = selection.reader.tree
    lists = FileList(selection.reader, selection.machine)
    lists.read(Place(tree.below_sys("conf/files")))
    lists.read(Place(tree.below_sys(f"conf/files.{selection.machine}")))
    for file, chain in selection.extra_files:
        lists.read(Place(file, chain))
    lists.read_makefiles()
    return {file: tuple(rules) for file, rules in lists.rules.items()}


def _compiled(rules: dict[str, tuple[Rule, ...]], standing: Names) -> Reasons:
    files = {}
    for file, candidates in rules.items():
        for rule in candidates:
            if rule.object and holds(rule.condition, standing.there):
                files[file] = rule
                break
    return Reasons(files, standing.chain)


@dataclass(slots=True)
class _Standing:
    """How a word of a condition stands: the kind and name of the setting that answers it."""

    kind: str
    name: str


class Names(Explainer):
    """What the words of ``optional`` stand for: a device, or an option without a value.

    A device is found by its exact name, an option in any case, and only if it has no value; a
    ``cpu`` and the machine's architecture count as options.
    """

    def __init__(self, selection: Selection, known: dict[str, KnownOption]) -> None:
        ledger = selection.ledger
        self._known = {name.lower(): option for name, option in known.items()}
        self._settings = ledger.settings()
        self._found = {name: _Standing("device", name) for name in ledger.names("device")}
        self._options: dict[str, _Standing] = {}
        for kind in ("cpu", "options"):
            for name in ledger.names(kind):
                if ledger.value(kind, name) is None:
                    self._options.setdefault(name.lower(), _Standing(kind, name))
        self._modules = Modules(selection.reader, selection.machine)
        arch = selection.machine_arch
        if arch.lower() in self._known:
            self._options.setdefault(arch.lower(), _Standing("machine", selection.machine))

    def there(self, name: str) -> bool:
        """Whether a word of a condition is there."""
        return name in self._found or name.lower() in self._options

    def _standing(self, name: str) -> _Standing | None:
        return self._found.get(name) or self._options.get(name.lower())

    def chain(self, rule: Rule) -> Chain:
        """Why a rule holds: its line, then what made each word of its condition so."""
        steps = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        for literal in self._reasons(rule.condition):
            steps.update(dict.fromkeys(self._steps(literal)))
        return tuple(steps)

    def _reasons(self, condition: Condition) -> list[Literal]:
        """The words that make a condition hold; of alternatives, each one that does."""
        match condition:
            case Name(name):
                return [Literal(name, True)]
            case Not(Name(name)):
                return [Literal(name, False)]
            case All(parts):
                return [found for part in parts for found in self._reasons(part)]
            case Any(parts):
                true = [part for part in parts if holds(part, self.there)]
                return [found for part in true for found in self._reasons(part)]
        return []

    def _steps(self, literal: Literal) -> Chain:
        standing = self._standing(literal.name)
        if standing is not None:
            setting = self._settings.get((standing.kind, standing.name))
            return setting.chain if setting else ()
        removed = self._removed(literal.name)
        return removed or (Step(None, f"nothing sets {literal.name}"),)

    def _removed(self, name: str) -> Chain:
        option = self._known.get(name.lower())
        for key in (("device", name), ("options", option.name if option else name.upper())):
            if key in self._settings:
                return self._settings[key].chain
        return ()

    def stands_for(self, name: str) -> str:
        """Options are found in any case."""
        return name.lower() if name.lower() in self._known else name

    def why(self, configuration: Configuration, file: str) -> Why:
        """Why a file is compiled, by which of its lines; or what would have to change."""
        rules = configuration.rules.get(file, ())
        verdicts = tuple(self._verdict(rule) for rule in rules)
        note = ""
        if file in configuration.files:
            first = next(one for one in verdicts if one.holds and one.rule.object)
            verdicts = (first, *(verdict for verdict in verdicts if verdict is not first))
        elif verdicts and not any(verdict.rule.object for verdict in verdicts):
            built = any(verdict.holds for verdict in verdicts)
            note = f"{'it is built, but it' if built else 'what its line makes'} is no object of "
            note += "the kernel by itself"
        if file in configuration.files:
            return Why(file, True, verdicts, note)
        return Why(file, False, verdicts, note, modules=self._modules.of(file))

    def _verdict(self, rule: Rule) -> Verdict:
        if holds(rule.condition, self.there):
            return Verdict(rule, True, self.chain(rule))
        chain = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        for name in names(rule.condition):
            chain.update(dict.fromkeys(self._steps(Literal(name, True))))
        found = ways(rule.condition, self.there)
        changes = tuple(Change(tuple(map(self._change, sorted(way)))) for way in found)
        return Verdict(rule, False, tuple(chain), changes)

    def _change(self, literal: Literal) -> Step:
        """What to write into the configuration for a word to be there, or not to be."""
        name, standing = literal.name, self._standing(literal.name)
        if name == PROFILING:
            return Step(None, "run config -p")
        if not literal.wanted and standing is not None:
            setting = self._settings.get((standing.kind, standing.name))
            where = setting.chain[-1].where if setting and setting.chain else None
            return Step(where, f"no{standing.kind} {standing.name}")
        if option := self._known.get(name.lower()):
            valued = self._settings.get(("options", option.name))
            without = ", without a value" if valued is not None and valued.on else ""
            return Step(option.where, f"options {option.name}{without}")
        return Step(None, f"device {name}")
