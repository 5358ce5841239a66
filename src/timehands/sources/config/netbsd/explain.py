"""Why a file is (not) compiled into a NetBSD kernel, and what would put it there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice, product

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
from timehands.sources.config.model import (
    Chain,
    Change,
    Configuration,
    Explainer,
    Rule,
    Step,
    Verdict,
    Why,
)
from timehands.sources.config.netbsd.selection import Selection

_MOST_CHANGES = 12
_UNIT = re.compile(r"([0-9]+|\*)$")
_DEEPEST = 4


class Names(Explainer):
    """What the names in conditions stand for, and what selects them."""

    def __init__(self, selection: Selection, option: str) -> None:
        self._selection, self._option_word = selection, option
        self._tables = selection.definitions.tables
        self._selected = selection.selected
        self._active = selection.instances.active_devices()
        self.displaced: dict[str, str] = {}

    def _there(self, rule: Rule) -> Callable[[str], bool]:
        if rule.file in self._tables.files.counted:
            return lambda name: self._tables.units(name) > 0
        return lambda name: name in self._selected

    def chain(self, rule: Rule) -> Chain:
        """Why a rule holds: its line, then what selected each name of its condition."""
        steps = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        for literal in self._reasons(rule.condition, self._there(rule)):
            steps.update(dict.fromkeys(self._steps(literal.name)))
        return tuple(steps)

    def _reasons(self, condition: Condition, there: Callable[[str], bool]) -> list[Literal]:
        match condition:
            case Name(name):
                return [Literal(name, True)]
            case Not(Name(name)):
                return [Literal(name, False)]
            case Not(of):
                return [Literal(name, False) for name in names(of)]
            case All(parts):
                return [one for part in parts for one in self._reasons(part, there)]
            case Any(parts):
                true = [part for part in parts if holds(part, there)]
                return [one for part in true for one in self._reasons(part, there)]

    def _steps(self, name: str) -> Chain:
        if name in self._selected:
            return self._selected.chain(name)
        option = self._option(name)
        removed = self._selection.ledger.chain("options", option) if option else ()
        return removed or (Step(None, f"nothing selects {name}"),)

    def _option(self, name: str) -> str:
        """The option's name that is spelled ``name`` in small letters."""
        for option in self._tables.options:
            if option.lower() == name:
                return option
        return ""

    def stands_for(self, name: str) -> str:
        """Conditions have options in small letters, and devices without unit and place."""
        return _UNIT.sub("", name.split(" at ", maxsplit=1)[0]).lower()

    def why(self, configuration: Configuration, file: str) -> Why:
        """Why a file is compiled, or what would have to change."""
        verdicts = tuple(map(self._verdict, configuration.rules.get(file, ())))
        return Why(file, file in configuration.files, verdicts, self._note(file))

    def _note(self, file: str) -> str:
        if other := self.displaced.get(file):
            return f"{other} makes the same object, and comes later: it takes its place"
        if other := self._tables.files.passed_over.get(file):
            return f"{other} is there, and the line names it first: it takes its place"
        return ""

    def _verdict(self, rule: Rule) -> Verdict:
        there = self._there(rule)
        if holds(rule.condition, there):
            return Verdict(rule, True, self.chain(rule))
        chain = dict.fromkeys((*rule.route, Step(rule.where, rule.text)))
        for name in names(rule.condition):
            chain.update(dict.fromkeys(self._steps(name)))
        found: dict[Change, None] = {}
        for way in ways(rule.condition, there):
            choices = [list(islice(self._remedies(literal), 4)) for literal in sorted(way)]
            for chosen in islice(product(*choices), _MOST_CHANGES):
                steps = tuple(dict.fromkeys(step for one in chosen for step in one))
                found.setdefault(Change(steps))
        changes = sorted(found, key=lambda change: len(change.steps))[:_MOST_CHANGES]
        return Verdict(rule, False, tuple(chain), tuple(changes))

    # ---- what to write

    def _remedies(self, literal: Literal) -> Iterator[tuple[Step, ...]]:
        if literal.wanted:
            yield from self._ways_to(literal.name, 0, frozenset())
            return
        origin = self._selected.origin(literal.name)
        words = origin[-1].words if origin else literal.name
        yield (Step(origin[-1].where if origin else None, f"no {words}"),)

    def _ways_to(self, name: str, depth: int, seen: frozenset[str]) -> Iterator[tuple[Step, ...]]:
        """What selects a name: an option, a device, or what needs it."""
        if depth > _DEEPEST or name in seen:
            return
        seen |= {name}
        if option := self._option(name):
            declared = self._tables.options[option]
            kind = "file-system" if declared.kind == "deffs" else self._option_word
            yield (Step(declared.steps[-1].where, f"{kind} {option}"),)
        elif not self._is_known(name):
            yield (Step(None, f"{self._option_word} {name.upper()}"),)
        device = self._tables.devices.get(name)
        if device is not None and device.pseudo:
            yield (Step(device.steps[-1].where, f"pseudo-device {name}"),)
        elif device is not None:
            for attachment in device.attachments:
                yield from self._attaching(attachment.name, depth, seen)
        elif name in self._tables.attachments:
            yield from self._attaching(name, depth, seen)
        yield from self._needing(name, depth, seen)
        if depth == 0 and name in self._tables.attributes:
            attribute = self._tables.attributes[name]
            if attribute.steps and not attribute.interface and device is None:
                yield (Step(attribute.steps[-1].where, f"select {name}"),)

    def _is_known(self, name: str) -> bool:
        tables = self._tables
        return name in tables.devices or name in tables.attachments or name in tables.attributes

    def _needing(self, name: str, depth: int, seen: frozenset[str]) -> Iterator[tuple[Step, ...]]:
        for other in self._tables.devices.values():
            if name in other.attributes and other.name != name:
                yield from islice(self._ways_to(other.name, depth + 1, seen), 1)
        for attachment in self._tables.attachments.values():
            if name in attachment.attributes:
                yield from islice(self._attaching(attachment.name, depth + 1, seen), 1)
        for attribute in self._tables.attributes.values():
            if name in attribute.needs and attribute.name not in self._tables.devices:
                yield from islice(self._ways_to(attribute.name, depth + 1, seen), 1)
        for option in self._tables.options.values():
            if name in option.needs:
                yield (Step(option.steps[-1].where, f"{self._option_word} {option.name}"),)

    def _attaching(self, name: str, depth: int, seen: frozenset[str]) -> Iterator[tuple[Step, ...]]:
        """``dev* at place?``, and what the place needs in turn, if it is not there."""
        attachment = self._tables.attachments[name]
        where = attachment.steps[-1].where
        for place in attachment.places:
            if place is None:
                yield (Step(where, f"{attachment.device}0 at root"),)
                continue
            own = Step(where, f"{attachment.device}* at {place}?")
            parents = [d.name for d in self._tables.devices.values() if place in d.attributes]
            if any(parent in self._active for parent in parents):
                yield (own,)
                continue
            for parent in parents[:3]:
                for more in islice(self._ways_to(parent, depth + 1, seen), 1):
                    yield (own, *more)
