"""A counterexample as people read it: one step a line, a column for each actor, then the reason."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from timehands.clocks.pvclock.programs import ops as o
from timehands.simulate.explorer.judge import Judged, Property, read
from timehands.simulate.explorer.pages import Setting, true_ns
from timehands.simulate.explorer.search import Trace
from timehands.simulate.explorer.trial import Result
from timehands.simulate.explorer.world import Rules, Step, Verdict, World

WIDTH = 100
_NUMBER = 5
_MEMORY = 25
_ORDERS = {
    "x86": "x86's memory order, the provider on another CPU",
    "weak": "the weak memory order, the provider on another CPU",
    "exit": "the provider works while the vCPU is outside of the guest",
}


def schedule(result: Result, broken: Property) -> Iterator[str]:
    """The lines of the shortest schedule that breaks a property; KeyError when none does."""
    trace, rules = result.searched.traces[broken.value], result.rules
    about = f"{_ORDERS[result.trial.order.value]}; {result.trial.pages.about}"
    yield from textwrap.wrap(about, WIDTH)
    memory = f"memory at first: {_content(rules, result.memory)}"
    for line in textwrap.wrap(memory, WIDTH, subsequent_indent="  "):
        yield line.replace("\N{NO-BREAK SPACE}", " ")
    yield ""
    names = [machine.thread.name for machine in rules.machines]
    width = (WIDTH - _NUMBER - _MEMORY) // len(names)
    head = "".join(f"{name:<{width}}" for name in names)
    yield f"{'':{_NUMBER}}{head}memory"
    for number, (before, step, after) in enumerate(_triples(trace), start=1):
        cells = [""] * len(names)
        cells[step.thread] = _words(rules, step)
        row = "".join(f"{cell:<{width - 1}.{width - 1}} " for cell in cells)
        yield f"{number:>3}  {row}{_changes(rules, before, after)}".rstrip()
    yield ""
    verdict = next(v for v in trace.wrong if v.problem == broken.value)
    yield from _reason(result, trace, verdict)


def as_json(result: Result, broken: Property) -> dict[str, Any]:
    """The same as plain values: ``memory`` at first, ``steps``, and the ``reason`` in words."""
    trace, rules = result.searched.traces[broken.value], result.rules
    verdict = next(v for v in trace.wrong if v.problem == broken.value)
    return {
        "broken": broken.value,
        "memory": dict(zip(rules.fields, result.memory, strict=True)),
        "steps": [
            {
                "actor": rules.machines[step.thread].thread.name,
                "what": _words(rules, step),
                "memory": _differences(rules, before, after),
            }
            for before, step, after in _triples(trace)
        ],
        "reason": [line.strip() for line in _reason(result, trace, verdict)],
    }


def _triples(trace: Trace) -> Iterator[tuple[World, Step, World]]:
    yield from zip(trace.worlds, trace.steps, trace.worlds[1:], strict=False)


def _words(rules: Rules, step: Step) -> str:
    """What an actor did, with the value that it saw or made."""
    if step.what == "exit":
        return f"(exit) the whole update to page {step.value}"
    if step.what == "drain":
        field = rules.fields[step.field]
        return f"{_short(field)} := {_value(field, step.value)}"
    op = rules.machines[step.thread].thread.instructions[step.at].op
    match op:
        case o.Load(field="seen"):
            return f"begins; {step.value} was accepted" if step.value else "begins"
        case o.Load():
            return f"load {_short(op.field)} = {_value(op.field, step.value)}"
        case o.ReadTsc():
            return f"{'lfence; ' if op.ordered else ''}rdtsc = {step.value}"
        case o.CompareSwap():
            return f"cmpxchg {op.field}, now {step.value}"
    return (
        f"{op.field} := {step.value}"
        if isinstance(op, o.Store | o.Swap | o.Update)
        else o.spell(op)
    )


def _changes(rules: Rules, before: World, after: World) -> str:
    """The memory that changed, as far as there is room."""
    changed = _differences(rules, before, after)
    if len(changed) > 2:
        return f"page {rules.env(after).published}"
    words = [f"{_short(name)} {_value(name, value)}" for name, value in changed.items()]
    while len(", ".join(words)) > _MEMORY:
        words.pop()
    return ", ".join(words)


def _short(field: str) -> str:
    return field.replace("tsc_to_system_", "").replace("tsc_shift", "shift")


def _value(field: str, value: int) -> str:
    """A factor in hexadecimal, everything else in decimal."""
    return f"{value:#x}" if "mul" in field else str(value)


def _differences(rules: Rules, before: World, after: World) -> dict[str, int]:
    old, new = rules.memory(before), rules.memory(after)
    names = {"seen": "accepted"}
    return {
        names.get(name, name): b
        for name, a, b in zip(rules.fields, old, new, strict=True)
        if a != b
    }


def _content(rules: Rules, memory: tuple[int, ...]) -> str:
    shown = zip(rules.fields, memory, strict=True)
    words = (
        f"{_short(name)}\N{NO-BREAK SPACE}{_value(name, v)}" for name, v in shown if name != "seen"
    )
    return ", ".join(words)


def _reason(result: Result, trace: Trace, verdict: Verdict) -> Iterator[str]:
    """Why the accepted time is wrong, with where its parts come from."""
    name = result.rules.machines[verdict.thread].thread.name
    got = read(verdict.values)
    setting = result.trial.pages
    if setting.walls:
        yield f"{name} accepts {got.time} s {got.nsec} ns, which is torn"
        walls = (f"{sec} s {nsec} ns" for sec, nsec in setting.walls)
        yield f"  the wall clock was never anything but {', '.join(walls)}"
        return
    yield f"{name} accepts {got.time} ns: {verdict.problem}"
    yield f"  {_why(verdict.problem, got)}"
    parts = _parts(trace, verdict, result.rules)
    for field, value in parts.items():
        of_pages = _of_pages(setting, field, value)
        yield f"  {field:<18}{_value(field, value):>12}   {of_pages}".rstrip()
    if got.tsc is not None and got.stamp is not None and got.tsc < got.stamp:
        yield "  the TSC value is before the timestamp: the difference wraps modulo 2^64"
    if got.tsc is not None and not result.trial.apart_ns:
        for number, page in enumerate(setting.pages):
            yield f"  page {number} gives {true_ns(page, got.tsc)} ns at TSC {got.tsc}"


def _why(problem: str, got: Judged) -> str:
    match problem:
        case Property.TORN.value:
            return f"no page gives this time, with these flags, at TSC {got.tsc}"
        case Property.STALE.value:
            return f"page {got.published} was published when the TSC was read"
        case Property.BACKWARD.value:
            return f"it had accepted {got.before} ns before"
        case Property.ACROSS.value:
            return f"when it began, {got.floor} ns had been accepted"
    return f"the page gives {got.ns} ns; the last value stands in its way"


def _parts(trace: Trace, verdict: Verdict, rules: Rules) -> Mapping[str, int]:
    """The fields of the page as the reader loaded them last for this time."""
    copy = verdict.instruction.copy
    found: dict[str, int] = {}
    for step in trace.steps:
        if step.thread != verdict.thread or step.what != "perform":
            continue
        one = rules.machines[step.thread].thread.instructions[step.at]
        if one.copy == copy and isinstance(one.op, o.Load) and one.op.field not in ("seen", "last"):
            found[one.op.field] = step.value
    return found


def _of_pages(setting: Setting, field: str, value: int) -> str:
    """Which pages have this value in a field."""
    if field == "version":
        return "odd: being written" if value & 1 else ""
    numbers = [
        str(at) for at, page in enumerate(setting.pages) if getattr(page, field, None) == value
    ]
    return f"page {', '.join(numbers)}" if numbers else ""
