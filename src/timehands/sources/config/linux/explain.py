"""Why a symbol of Kconfig has its value, why a file is built, and what would have it built."""

from __future__ import annotations

from timehands.sources.config.conditions import Condition, names
from timehands.sources.config.linux.dotconfig import DotConfig
from timehands.sources.config.linux.expressions import level, symbols
from timehands.sources.config.linux.kconfig import Clause, Entry
from timehands.sources.config.linux.known import Known
from timehands.sources.config.linux.lines import Built
from timehands.sources.config.linux.objects import Objects
from timehands.sources.config.linux.remedies import Remedies
from timehands.sources.config.model import (
    Chain,
    Configuration,
    Explainer,
    Rule,
    Setting,
    State,
    Step,
    Verdict,
    Why,
)
from timehands.sources.where import Where


class Symbols(Explainer):
    """What Kconfig says about a .config's symbols. Kconfig is read when it is first needed."""

    def __init__(self, dot: DotConfig, file: str, known: Known, objects: Objects) -> None:
        self._dot, self._file, self._known, self._objects = dot, file, known, objects
        self._remedies = Remedies(dot, file, known)

    # ---- symbols

    def setting(self, name: str) -> Setting:
        """A symbol: its value, how it came to it, and the lines that say so."""
        value = self._dot.value(name)
        line = self._dot.lines.get(name)
        steps: dict[Step, None] = {}
        if line is not None:
            steps[Step(Where(self._file, line), self._dot.texts[name])] = None
        else:
            steps[Step(None, f"{name} is not in {self._file}: off")] = None
        state, more = self._state(name, value)
        steps.update(dict.fromkeys(more))
        kind = next((e.type for e in self._known.entries(name) if e.type), "")
        shown = value if value != "n" or kind in ("string", "hex", "int") else None
        return Setting("symbol", name, shown, state, tuple(steps))

    def _state(self, name: str, value: str) -> tuple[State, Chain]:
        entries = self._known.entries(name)
        if not entries:
            words = f"no Kconfig file that is read for this architecture defines {name}"
            return (State.UNSET if value == "n" else State.SET), (Step(None, words),)
        entry = max(entries, key=lambda one: self._level_of(one.depends))
        steps = [Step(entry.where, f"config {name}")]
        steps += [Step(c.where, c.text) for c in entry.prompts if self._holds(c)]
        steps += [step for _, step in entry.depends]
        selectors = self._selectors(name)
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

    def _selectors(self, name: str) -> list[Step]:
        """The selects of other symbols that are in force."""
        steps = []
        for other, clause in self._known.selected_by(name):
            value = self._dot.value(other)
            if value != "n" and self._holds(clause):
                steps.append(Step(clause.where, f"{other}={value} has: {clause.text}"))
        return steps

    def _holds(self, clause: Clause) -> bool:
        return level(clause.condition, self._dot.value) > 0

    def _level_of(self, depends: list[tuple[Condition, Step]]) -> int:
        return min((level(condition, self._dot.value) for condition, _ in depends), default=2)

    # ---- files

    def chain(self, rule: Rule) -> Chain:
        """Why a rule holds (or not): the lines that lead to it, then each symbol in it."""
        steps = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        asked = [name for whole in names(rule.condition) for name in symbols(whole)]
        for name in asked:
            steps.update(dict.fromkeys(self.setting(name).chain))
        return tuple(steps)

    def why(self, configuration: Configuration, file: str) -> Why:  # noqa: ARG002
        """Why a file is built, into the kernel or a module; or what would have to change."""
        objects = self._objects
        best = objects.ways(file)
        verdicts = tuple(map(self._verdict, best))
        reached = objects.built_level(best[0]) if best else 0
        note = ""
        if best and best[0].apart:
            note = f"in a list of its makefile's own, {best[0].apart}: in no object of this kernel"
            return Why(file, False, verdicts, f"{note} by itself", known=not reached)
        if reached == 1:
            note = f"not into the kernel itself, but into the module {best[0].module}.ko"
        elif reached and best[0].nearest.text.startswith("lib-"):
            note = "into a library: what nothing refers to is not linked"
        elif best and objects.lost(best[0]):
            note = "its folder is entered for modules alone: what is y there is not built"
        return Why(file, reached > 0, verdicts, note)

    def _verdict(self, built: Built) -> Verdict:
        rule = self._objects.rule(built)
        if self._objects.built_level(built):
            return Verdict(rule, True, self.chain(rule))
        return Verdict(rule, False, self.chain(rule), self._remedies.of(rule.condition))

    # ---- the other way round

    def stands_for(self, name: str) -> str:
        """Makefiles ask whether a symbol is there (``X!=n``), or is y."""
        return name.removesuffix("!=n").removesuffix("=y")

    def dependents(self, configuration: Configuration, setting: Setting) -> list[Step]:
        """The symbols and the files that depend on a symbol."""
        found: dict[Step, None] = {}
        for name, entries in self._known.all():
            for entry in entries:
                for condition, step in entry.depends:
                    if setting.name in _symbols_in(condition):
                        value = self._dot.value(name)
                        found[Step(step.where, f"{name}={value} {step.words}")] = None
        return [*found, *super().dependents(configuration, setting)]


def _symbols_in(condition: Condition) -> set[str]:
    return {one for whole in names(condition) for one in symbols(whole)}
