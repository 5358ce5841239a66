"""Why a symbol of Kconfig has its value, why a file is built, and what would have it built."""

from __future__ import annotations

from functools import cached_property

from timehands.sources.config.conditions import Condition, Literal, Name, names, ways
from timehands.sources.config.linux.dotconfig import DotConfig
from timehands.sources.config.linux.expressions import level, symbols
from timehands.sources.config.linux.kbuild import Built, Kbuild
from timehands.sources.config.linux.kconfig import Clause, Entry, Kconfig
from timehands.sources.config.model import (
    Chain,
    Change,
    Configuration,
    Explainer,
    Rule,
    Setting,
    State,
    Step,
    Verdict,
    Why,
)
from timehands.sources.config.reading import Place, Reader
from timehands.sources.where import Where

_MOST_CHANGES = 8
_DEEPEST = 4
_MOST_SELECTORS = 4
_FEW = 12


class Symbols(Explainer):
    """What Kconfig says about a .config's symbols. Kconfig is read when it is first needed."""

    def __init__(
        self,
        reader: Reader,
        dot: DotConfig,
        file: str,
        kbuild: Kbuild,
    ) -> None:
        self._reader, self._dot, self._file, self._kbuild = reader, dot, file, kbuild
        self._partly = Kconfig(reader, kbuild.variables)

    @cached_property
    def kconfig(self) -> Kconfig:
        """The tree's Kconfig files, all of them."""
        return self._read(frozenset())

    def _read(self, wanted: frozenset[str]) -> Kconfig:
        found = Kconfig(self._reader, self._kbuild.variables, wanted)
        if self._reader.has("Kconfig"):
            found.read(Place("Kconfig"))
        return found

    def _about(self, names: frozenset[str]) -> Kconfig:
        """Kconfig with all that it says about these symbols; for a few, not all files are read."""
        if "kconfig" in self.__dict__ or not names or len(names) > _FEW:
            return self.kconfig
        if not names <= self._partly.wanted:
            if self._partly.wanted:
                return self.kconfig
            self._partly = self._read(names)
        return self._partly

    # ---- symbols

    def setting(self, name: str) -> Setting:
        """A symbol: its value, how it came to it, and the lines that say so."""
        return self._setting(name, self.kconfig)

    def _setting(self, name: str, known: Kconfig) -> Setting:
        value = self._dot.value(name)
        line = self._dot.lines.get(name)
        steps: dict[Step, None] = {}
        if line is not None:
            steps[Step(Where(self._file, line), self._dot.texts[name])] = None
        else:
            steps[Step(None, f"{name} is not in {self._file}: off")] = None
        state, more = self._state(name, value, known)
        steps.update(dict.fromkeys(more))
        kind = next((e.type for e in known.entries.get(name, ()) if e.type), "")
        shown = value if value != "n" or kind in ("string", "hex", "int") else None
        return Setting("symbol", name, shown, state, tuple(steps))

    def _state(self, name: str, value: str, known: Kconfig) -> tuple[State, Chain]:
        entries = known.entries.get(name, [])
        if not entries:
            words = f"no Kconfig file that is read for this architecture defines {name}"
            return (State.UNSET if value == "n" else State.SET), (Step(None, words),)
        entry = max(entries, key=lambda one: self._level_of(one.depends))
        steps = [Step(entry.where, f"config {name}")]
        steps += [Step(c.where, c.text) for c in entry.prompts if self._holds(c)]
        steps += [step for _, step in entry.depends]
        selectors = self._selectors(name, known)
        steps += selectors
        if value == "n":
            return State.UNSET, (*steps, *self._unmet(entry))
        visible = self._level_of(entry.depends) and any(map(self._holds, entry.prompts))
        default = next((c for c in entry.defaults if self._holds(c)), None)
        if default is not None:
            steps.append(Step(default.where, default.text))
        if entry.choice is not None:
            return State.SET, (*steps, Step(entry.choice, "one of a choice"))
        state = State.SET if visible else State.IMPLIED if selectors else State.DEFAULT
        return state, tuple(steps)

    def _unmet(self, entry: Entry) -> Chain:
        """The dependencies that keep a symbol off."""
        missing = [
            Step(None, f"{name} is {self._dot.value(name)}")
            for condition, _ in entry.depends
            if not level(condition, self._dot.value)
            for whole in names(condition)
            for name in symbols(whole)
        ]
        return tuple(dict.fromkeys(missing))

    def _selectors(self, name: str, known: Kconfig) -> list[Step]:
        """The selects of other symbols that are in force."""
        steps = []
        for other, clause in known.selected_by.get(name, ()):
            value = self._dot.value(other)
            if value != "n" and self._holds(clause):
                steps.append(Step(clause.where, f"{other}={value} has: {clause.text}"))
        return steps

    def _holds(self, clause: Clause) -> bool:
        return level(clause.condition, self._dot.value) > 0

    def _level_of(self, depends: list[tuple[Condition, Step]]) -> int:
        return min((level(condition, self._dot.value) for condition, _ in depends), default=2)

    # ---- files

    def there(self, name: str) -> bool:
        """Whether a name of a condition is on."""
        return level(Name(name), self._dot.value) > 0

    def chain(self, rule: Rule) -> Chain:
        """Why a rule holds (or not): the lines that lead to it, then each symbol in it."""
        steps = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        asked = [name for whole in names(rule.condition) for name in symbols(whole)]
        known = self._about(frozenset(asked))
        for name in asked:
            steps.update(dict.fromkeys(self._setting(name, known).chain))
        return tuple(steps)

    def why(self, configuration: Configuration, file: str) -> Why:  # noqa: ARG002
        """Why a file is built, into the kernel or a module; or what would have to change."""
        kbuild = self._kbuild
        if not kbuild.built:
            kbuild = Kbuild(self._reader, self._dot, kbuild.variables)
            kbuild.visit(file)
        best = sorted(kbuild.built.get(file, ()), key=kbuild.built_level, reverse=True)
        verdicts = tuple(self._verdict(kbuild, one) for one in best)
        reached = kbuild.built_level(best[0]) if best else 0
        note = ""
        if reached == 1:
            note = f"not into the kernel itself, but into the module {best[0].line.word[:-2]}.ko"
        elif reached and best[0].nearest.text.startswith("lib-"):
            note = "into a library: what nothing refers to is not linked"
        return Why(file, reached > 0, verdicts, note)

    def _verdict(self, kbuild: Kbuild, built: Built) -> Verdict:
        rule = kbuild.rule(built)
        if kbuild.built_level(built):
            return Verdict(rule, True, self.chain(rule))
        changes: dict[Change, None] = {}
        for way in ways(rule.condition, self.there):
            steps = [step for literal in sorted(way) for step in self._remedy(literal, 0)]
            changes[Change(tuple(dict.fromkeys(steps)))] = None
        return Verdict(rule, False, self.chain(rule), tuple(changes)[:_MOST_CHANGES])

    def _remedy(
        self, literal: Literal, depth: int, seen: frozenset[str] = frozenset()
    ) -> list[Step]:
        """What to set for a name to hold: the symbol, what it depends on, or what selects it."""
        found, whole = symbols(literal.name), literal.name.removesuffix("!=n").removesuffix("=y")
        if not literal.wanted and found == [whole]:
            return [self._off(whole)]
        if not literal.wanted or found != [whole]:
            return [Step(None, f"{'' if literal.wanted else 'not '}{literal.name}")]
        name = whole
        entries = self.kconfig.entries.get(name, [])
        if not entries:
            return [Step(None, f"CONFIG_{name}=y (no Kconfig file that is read here defines it)")]
        entry = max(entries, key=lambda one: self._level_of(one.depends))
        if not entry.prompts and depth < _DEEPEST:
            return self._select(name, entry, depth, seen | {name})
        return [Step(entry.where, f"CONFIG_{name}=y"), *self._needs(entry, depth, seen | {name})]

    def _off(self, name: str) -> Step:
        line = self._dot.lines.get(name)
        return Step(Where(self._file, line) if line else None, f"# CONFIG_{name} is not set")

    def _needs(self, entry: Entry, depth: int, seen: frozenset[str]) -> list[Step]:
        if depth >= _DEEPEST:
            return []
        found = ways(entry.condition, self.there)
        steps: list[Step] = []
        for literal in sorted(found[0]) if found else ():
            if literal.name not in seen:
                steps += self._remedy(literal, depth + 1, seen)
        return steps

    def _select(self, name: str, entry: Entry, depth: int, seen: frozenset[str]) -> list[Step]:
        """A symbol that cannot be set by hand: one that selects it, the easiest to have."""
        options = [
            self._remedy(Literal(other, True), depth + 1, seen)
            for other, _ in self.kconfig.selected_by.get(name, ())[:_MOST_SELECTORS]
            if other not in seen
        ]
        if not options:
            return [Step(entry.where, f"{name} to become y by its defaults: it has no prompt")]
        return min(options, key=len)

    # ---- the other way round

    def dependents(self, configuration: Configuration, setting: Setting) -> list[Step]:
        """The symbols and the files that depend on a symbol."""
        found: dict[Step, None] = {}
        for name, entries in self.kconfig.entries.items():
            for entry in entries:
                for condition, step in entry.depends:
                    if setting.name in _symbols_in(condition):
                        value = self._dot.value(name)
                        found[Step(step.where, f"{name}={value} {step.words}")] = None
        return [*found, *super().dependents(configuration, setting)]


def _symbols_in(condition: Condition) -> set[str]:
    return {one for whole in names(condition) for one in symbols(whole)}
