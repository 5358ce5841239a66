"""One trial: readers and a provider under a memory order with a setting, searched to the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs.ops import (
    Branch,
    CompareSwap,
    Load,
    Op,
    Program,
    Store,
    Swap,
    Update,
    edited,
)
from timehands.clocks.pvclock.programs.writers import DATA, WALL
from timehands.simulate.explorer.assemble import SEEN, Part, Thread, assemble
from timehands.simulate.explorer.judge import Judge
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.pages import Setting, settings
from timehands.simulate.explorer.search import MOST_STATES, Searched, search
from timehands.simulate.explorer.world import WINDOW, Rules

PAGE_FIELDS = ("version", *DATA)
WALL_FIELDS = ("wc_version", *WALL)


@dataclass(frozen=True, slots=True)
class Trial:
    """What is searched: its bounds.

    ``readers`` are the programs that run, each ``reads`` times (the second one ``fewer`` times
    less); all of them read one page, or with ``apart_ns`` each its own, the second one ahead by so
    many ns. ``writer`` is the program of one
    update (None: the page stands still), made ``updates`` times with the pages of ``setting``.
    ``ticks``, ``window``: see `world.Rules`. ``delta_clamped``, ``bits``: see `judge.Judge`.
    """

    order: Order
    readers: tuple[Program, ...]
    writer: Program | None
    setting: str = "stable"
    reads: int = 1
    updates: int = 2
    ticks: int = 1
    window: int = WINDOW
    apart_ns: int = 0
    fewer: int = 0
    delta_clamped: bool = False
    bits: int = 64

    @property
    def pages(self) -> Setting:
        """The setting with its pages."""
        return settings(self.updates)[self.setting]


@dataclass(frozen=True, slots=True)
class Result:
    """What a search of a trial found, and the seconds that it took."""

    trial: Trial
    searched: Searched
    seconds: float
    rules: Rules = field(repr=False)
    memory: tuple[int, ...] = ()


def run(trial: Trial, *, until: str | None = None, most_states: int = MOST_STATES) -> Result:
    """Search a trial; with ``until`` only to the first breach of that property."""
    start = time.perf_counter()
    rules, memory = build(trial)
    found = search(rules, memory, until=until, most_states=most_states)
    return Result(trial, found, time.perf_counter() - start, rules, tuple(memory))


def build(trial: Trial) -> tuple[Rules, list[int]]:
    """The threads of a trial and the memory at the beginning."""
    setting = trial.pages
    if trial.apart_ns:
        setting = replace(setting, ahead_ns=trial.apart_ns)
    fields, memory = _memory(trial, setting)
    threads = [_reader(trial, at, setting, fields) for at in range(len(trial.readers))]
    provider = None
    if trial.writer:
        provider = len(threads)
        threads.append(_provider(trial, setting, trial.writer, fields))
    judge = Judge(
        _judged(trial, setting), trial.delta_clamped, trial.bits, side_by_side=bool(trial.apart_ns)
    )
    rules = Rules(
        threads,
        fields,
        trial.order,
        judge,
        provider=provider,
        bases=setting.bases,
        ticks=trial.ticks,
        window=trial.window,
    )
    return rules, memory


def _judged(trial: Trial, setting: Setting) -> Setting:
    """Pages of several vCPUs stand side by side: those of the second after those of the first."""
    if not trial.apart_ns:
        return setting
    first = setting.pages[0]
    return replace(setting, pages=(first, _apart(first, trial.apart_ns)))


def _apart(page: TimeInfo, ahead_ns: int) -> TimeInfo:
    """The page of another vCPU: another timestamp, the line ahead by some ns."""
    return replace(
        page,
        tsc_timestamp=page.tsc_timestamp - 4,
        system_time=page.system_time - 8 + ahead_ns,
    )


def _memory(trial: Trial, setting: Setting) -> tuple[list[str], list[int]]:
    """The names of the fields, and their values at first."""
    if setting.walls:
        return [*WALL_FIELDS, SEEN], [0, *setting.walls[0], 0]
    page = setting.pages[0]
    fields, memory = list(PAGE_FIELDS), _values(page)
    if trial.apart_ns:
        fields += [f"{name}'" for name in PAGE_FIELDS]
        memory += _values(_apart(page, trial.apart_ns))
    return [*fields, "last", SEEN], [*memory, 0, 0]


def _values(page: TimeInfo) -> list[int]:
    return [int(getattr(page, name)) for name in PAGE_FIELDS]


def _reader(trial: Trial, at: int, setting: Setting, fields: Sequence[str]) -> Thread:
    program = _folded(trial.readers[at], {page.flags for page in setting.pages})
    if trial.apart_ns and at:
        program = _elsewhere(program)
    if len(trial.readers) > 1:
        program = _after_others(program)
    name = program.name if len(trial.readers) == 1 else f"{program.name} {'AB'[at]}"
    reads = trial.reads - (trial.fewer if at else 0)
    return assemble(name, [Part(program, {})] * reads, fields, trial.order)


def _folded(old: Program, flags: Collection[int]) -> Program:
    """Branches that all flags that there are decide in the same way are no branches."""

    def decided(op: Op) -> tuple[Op, ...]:
        if not isinstance(op, Branch) or op.condition is None or op.of != ("flags",):
            return (op,)
        ways = {op.condition(value) for value in flags}
        if len(ways) != 1:
            return (op,)
        return (Branch(op.to),) if ways == {True} else ()

    return edited(old, old.name, decided)


def _after_others(program: Program) -> Program:
    """The reader looks first at the highest time that was accepted: its own must not be below."""
    labels = {label: at + 1 for label, at in program.labels.items()}
    return replace(program, ops=(Load("floor", SEEN), *program.ops), labels=labels)


def _elsewhere(program: Program) -> Program:
    """The program of a reader whose page is the second one."""

    def moved(name: str) -> str:
        return f"{name}'" if name in PAGE_FIELDS else name

    return edited(
        program,
        program.name,
        lambda op: (
            replace(op, field=moved(op.field))
            if isinstance(op, Load | Store | CompareSwap | Swap | Update)
            else op,
        ),
    )


def _provider(trial: Trial, setting: Setting, writer: Program, fields: Sequence[str]) -> Thread:
    parts = []
    writer = replace(
        writer, ops=tuple(op for op in writer.ops if not _changes_nothing(op, setting))
    )
    for number in range(1, trial.updates + 1):
        if setting.walls:
            values = dict(zip(WALL, setting.walls[number], strict=True))
        else:
            page = setting.pages[number]
            values = {name: int(getattr(page, name)) for name in DATA}
        parts.append(Part(writer, {f"new_{name}": value for name, value in values.items()}))
    return assemble(writer.name, parts, fields, trial.order)


def _changes_nothing(op: Op, setting: Setting) -> bool:
    """A store of the value that the field has in all pages, which nobody can see."""
    if not isinstance(op, Store) or op.field not in DATA:
        return False
    return len({getattr(page, op.field) for page in setting.pages}) == 1
