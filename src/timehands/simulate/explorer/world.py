"""All threads and their memory: every step that may come next.

Time is an actor too. The TSC stands at ``bases[epoch]``: a provider that takes its time for an
update begins the next epoch; a reader that reads the TSC finds ``bases[epoch] + 1 + tick``, and
between two readings a tick may have passed or not, at most ``ticks`` of them in an epoch. (A tick
at any other moment would be seen by nobody.)

Two reductions, neither of which takes an outcome away. A load that no other thread can disturb any
more is performed at once and alone: it commutes with all that others may do. And a reader whose
round is lost (whatever value its version may still have when it is loaded again, the comparison
sends the reader back) does not tell apart what it read in that round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from timehands.clocks.pvclock.programs.ops import CompareSwap
from timehands.simulate.explorer.assemble import SEEN, Instruction, Kind, Loop, Thread
from timehands.simulate.explorer.machine import Acceptance, Machine, Move, State
from timehands.simulate.explorer.orders import Order

T = TypeVar("T")

#: Visible instructions that a thread may have in flight, unless told otherwise.
WINDOW = 12


class Env(NamedTuple):
    """``epoch`` and ``tick`` of the TSC, and the number of the page that is published."""

    epoch: int
    tick: int
    published: int


#: A state: the number of the memory's content, that of the `Env`, that of each thread's state.
World = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What happened between two states: ``thread`` did something ``at`` an instruction.

    ``what`` is ``perform``, ``drain`` (a store leaves the buffer) or ``exit`` (a whole update while
    the vCPU is outside). ``value`` was read or stored; ``field`` is a number, -1: none.
    """

    thread: int
    what: str
    at: int = -1
    field: int = -1
    value: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A time that was accepted although it must not be: by whom, and which property it breaks."""

    thread: int
    instruction: Instruction
    values: tuple[int | None, ...]
    problem: str


#: Judges an accepted time, at the page of this epoch and this TSC value: the properties it breaks.
Judge = Callable[[tuple[int | None, ...], int, int], Sequence[str]]
#: A state that may come next, how (the fields of a `Step`), what was accepted wrongly on the way.
Next = tuple[World, tuple[int, str, int, int, int], tuple[Verdict, ...]]


class Rules:
    """How a set of threads may go on under a memory order.

    ``fields`` names the memory; ``provider`` is the number of the thread that updates the page
    (None: there is none). ``bases`` are the TSC values at which epochs begin, ``ticks`` how many
    times it may advance within one.
    """

    def __init__(
        self,
        threads: Sequence[Thread],
        fields: Sequence[str],
        order: Order,
        judge: Judge,
        *,
        provider: int | None = None,
        bases: Sequence[int] = (0,),
        ticks: int = 1,
        window: int = WINDOW,
        reduce: bool = True,
    ) -> None:
        self.fields = tuple(fields)
        self.order = order
        self.provider = provider
        self._seen = self.fields.index(SEEN) if SEEN in self.fields else -1
        self._readers = [at for at in range(len(threads)) if at != provider]
        stored = [thread.stores_from[0] for thread in threads]
        stored.append(1 << self._seen if len(self._readers) > 1 and self._seen >= 0 else 0)
        self.machines = tuple(
            Machine(thread, order, window, _union(stored[:at] + stored[at + 1 :]), self._seen)
            for at, thread in enumerate(threads)
        )
        self._judge = judge
        self._bases, self._ticks = tuple(bases), ticks
        self._alone = [
            at for at in range(len(threads)) if order is not Order.EXIT or at != provider
        ]
        self._memories = _Numbered[tuple[int, ...]]()
        self._envs = _Numbered[Env]()
        self._verdicts: dict[tuple[int, Acceptance, int], tuple[Verdict, ...]] = {}
        self._reduce = reduce
        self._futures: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self._lost: dict[tuple[int, int, int, int, int], bool] = {}

    def memory(self, world: World) -> tuple[int, ...]:
        """The memory's content in a state, by the number of the field."""
        return self._memories.values[world[0]]

    def env(self, world: World) -> Env:
        """The TSC, and the page that is published."""
        return self._envs.values[world[1]]

    def state(self, world: World, thread: int) -> State:
        """A thread's state."""
        return self.machines[thread].states[world[2 + thread]]

    def start(self, memory: Sequence[int]) -> list[Next]:
        """The states at the beginning."""
        number = self._memories.number(tuple(memory))
        blank = (number, self._envs.number(Env(0, 0, 0)), *(-1 for _ in self.machines))
        results: list[Next] = [(blank, (-1, "start", -1, -1, 0), ())]
        for at, machine in enumerate(self.machines):
            results = [
                (after, how, before + wrong)
                for world, how, before in results
                for after, _how, wrong in self._moved(world, at, machine.start(), how)
            ]
        return results

    def over(self, world: World) -> bool:
        """No reader is left that could accept a time."""
        return all(self.machines[at].menus[world[2 + at]].done for at in self._readers)

    def done(self, world: World) -> bool:
        """Nobody has anything left to do."""
        return all(
            machine.menus[state].done
            for machine, state in zip(self.machines, world[2:], strict=True)
        )

    def stuck(self, world: World) -> bool:
        """Nobody can do anything. (Where somebody can, and nothing follows, a guess was wrong.)"""
        menus = [machine.menus[world[2 + at]] for at, machine in enumerate(self.machines)]
        return not any(menu.steps or menu.drains for menu in menus)

    @property
    def times(self) -> int:
        """How many accepted times were judged, counting those that differ in anything."""
        return len(self._verdicts)

    def alone(self, world: World) -> list[Next] | None:
        """What comes after a load that commutes with all that others may ever do, if there is one.

        Nobody else may still store to its field.
        """
        if not self._reduce:
            return None
        menus = [machine.menus[world[2 + at]] for at, machine in enumerate(self.machines)]
        for at in self._alone:
            loads = menus[at].loads
            waiting = menus[at].waiting
            if waiting and self._is_lost(world, at, *waiting):
                found = self._for_nothing(world, at, waiting[0])
                if found:
                    return found
            if not loads:
                continue
            stored = 1 << self._seen if self._seen >= 0 else 0
            for other, menu in enumerate(menus):
                stored |= menu.stores if other != at else 0
            for position, field in loads:
                if not stored >> field & 1:
                    return self._load(world, at, position, field)
        return None

    def _for_nothing(self, world: World, at: int, loop: Loop) -> list[Next] | None:
        """A step of a round that is lost, whose result nobody will use."""
        for position, index, one in self.machines[at].menus[world[2 + at]].steps:
            if one.into >= 0 and (loop.idle >> one.into & 1 or index == loop.check):
                if one.kind == Kind.LOAD:
                    return self._load(world, at, position, one.field)
                if one.kind == Kind.TSC:
                    return self._read_tsc(world, at, position)[:1]
        return None

    def all_next(self, world: World) -> list[Next]:
        """Every state that may come next."""
        results: list[Next] = []
        for at, machine in enumerate(self.machines):
            if self.order is Order.EXIT and at == self.provider:
                results += self._exits(world, at)
                continue
            menu = machine.menus[world[2 + at]]
            for position, _index, one in menu.steps:
                if one.kind == Kind.LOAD:
                    results += self._load(world, at, position, one.field)
                else:
                    results += self._step(world, at, position, one)
            for position, field, value, last in menu.drains:
                results += self._drain(world, at, position, field, value, last)
        return results

    def _load(self, world: World, at: int, position: int, field: int) -> list[Next]:
        """The newest store of the thread itself that is in its buffer, else the memory's value."""
        machine = self.machines[at]
        value = self._memories.values[world[0]][field]
        for stored, buffered, _last in machine.menus[world[2 + at]].buffer:
            if stored == field:
                value = buffered
        index = machine.states[world[2 + at]].pending[position]
        moves = machine.perform(world[2 + at], position, value)
        return self._moved(world, at, moves, (at, "perform", index, field, value))

    def _step(self, world: World, at: int, position: int, one: Instruction) -> list[Next]:
        """RDTSC, a locked instruction, an update; under exits a store."""
        if one.kind == Kind.TSC:
            return self._read_tsc(world, at, position)
        if one.kind == Kind.STORE:
            return self._store(world, at, position, one)
        old = self.memory(world)[one.field]
        machine = self.machines[at]
        if one.kind == Kind.UPDATE:
            assert one.function is not None
            new: int | None = one.function(old)
        else:
            values = [machine.menus[world[2 + at]].registers[r] for r in one.of]
            kept = isinstance(one.op, CompareSwap) and old != values[0]
            new = old if kept else values[-1]
        assert new is not None
        index = machine.states[world[2 + at]].pending[position]
        there = (self._memories.changed(world[0], one.field, new), *world[1:])
        moves = machine.perform(world[2 + at], position, old)
        return self._moved(there, at, moves, (at, "perform", index, one.field, new))

    def _store(self, world: World, at: int, position: int, one: Instruction) -> list[Next]:
        """A store that does not wait in a buffer."""
        machine = self.machines[at]
        value = machine.menus[world[2 + at]].registers[one.of[0]]
        assert value is not None
        env = self._published(world[1]) if one.publishes and at == self.provider else world[1]
        there = (self._stored(world[0], one.field, value), env, *world[2:])
        index = machine.states[world[2 + at]].pending[position]
        moves = machine.perform(world[2 + at], position, value)
        return self._moved(there, at, moves, (at, "perform", index, one.field, value))

    def _published(self, env: int) -> int:
        before = self._envs.values[env]
        return self._envs.number(before._replace(published=before.published + 1))

    def _read_tsc(self, world: World, at: int, position: int) -> list[Next]:
        """A provider begins an epoch; a reader finds the TSC as it is, or a tick later."""
        machine, env = self.machines[at], self.env(world)
        index = machine.states[world[2 + at]].pending[position]
        if at == self.provider:
            epoch = env.epoch + 1
            ways = [(Env(epoch, 0, env.published), self._bases[epoch])]
        else:
            ways = [
                (Env(env.epoch, tick, env.published), self._bases[env.epoch] + 1 + tick)
                for tick in range(env.tick, min(env.tick + 1, self._ticks) + 1)
            ]
        results: list[Next] = []
        for after, tsc in ways:
            there = (world[0], self._envs.number(after), *world[2:])
            moves = machine.perform(world[2 + at], position, tsc, env.published)
            results += self._moved(there, at, moves, (at, "perform", index, -1, tsc))
        return results

    def _drain(  # noqa: PLR0917
        self, world: World, at: int, position: int, field: int, value: int, last: bool
    ) -> list[Next]:
        env = self._published(world[1]) if last and at == self.provider else world[1]
        there = (self._stored(world[0], field, value), env, *world[2:])
        moves = self.machines[at].drain(world[2 + at], position)
        return self._moved(there, at, moves, (at, "drain", -1, field, value))

    def _exits(self, world: World, at: int) -> list[Next]:
        """The vCPU leaves the guest, the provider makes one whole update, the vCPU comes back."""
        before = self.env(world).published
        while self.env(world).published == before:
            nexts = self._provider_next(world)
            if not nexts:
                return []
            world = nexts[0][0]
        return [(world, (at, "exit", -1, -1, before + 1), ())]

    def _moved(
        self,
        world: World,
        at: int,
        moves: Sequence[Move],
        how: tuple[int, str, int, int, int],
    ) -> list[Next]:
        """The states after a thread's moves: what it accepted is judged, and known to others."""
        results: list[Next] = []
        for state, accepted in moves:
            memory, env, *threads = world
            threads[at] = state
            wrong: tuple[Verdict, ...] = ()
            for acceptance in accepted:
                wrong += self._judged(at, acceptance, env)
            memory, threads[at] = self._emptied(memory, at, state)
            after: World = (memory, env, *threads)
            results.append((self._forgotten(after) if self._reduce else after, how, wrong))
        return results

    def _forgotten(self, world: World) -> World:
        """Without what readers have read in rounds that are lost."""
        for at in self._readers:
            number = world[2 + at]
            waiting = self.machines[at].menus[number].waiting if number >= 0 else None
            if waiting and self._is_lost(world, at, *waiting):
                idle = self.machines[at].idle(number, waiting[0])
                if idle != number:
                    world = (*world[: 2 + at], idle, *world[3 + at :])
        return world

    def _is_lost(self, world: World, at: int, loop: Loop, held: int, odd: bool) -> bool:
        """Whatever the field will be when it is loaded, a branch goes back."""
        if self.provider is None or world[2 + self.provider] < 0:
            return False
        now = self._memories.values[world[0]][loop.field]
        key = (at, loop.branch, held, now, world[2 + self.provider] << 1 | odd)
        found = self._lost.get(key)
        if found is None:
            found = self._lost[key] = self._only_provider_stores(
                world, loop.field
            ) and _always_back((now, *self._future(world, loop.field)), loop, held, odd)
        return found

    def _only_provider_stores(self, world: World, field: int) -> bool:
        return not any(
            self.machines[reader].menus[world[2 + reader]].stores >> field & 1
            for reader in self._readers
            if world[2 + reader] >= 0
        )

    def _future(self, world: World, field: int) -> tuple[int, ...]:
        """The values that the provider will give a field to which only it stores, in order."""
        at = self.provider
        assert at is not None
        now = self._memories.values[world[0]][field]
        key = (world[2 + at], now, field)
        found = self._futures.get(key)
        if found is None:
            values = []
            reduce, self._reduce = self._reduce, False
            while nexts := self._provider_next(world):
                world, how, _wrong = nexts[0]
                stored = how[1] == "drain" or self._is_store(at, how[2])
                values += [how[4]] if stored and how[3] == field else []
            self._reduce = reduce
            found = self._futures[key] = tuple(values)
        return found

    def _is_store(self, at: int, index: int) -> bool:
        instructions = self.machines[at].thread.instructions
        return index >= 0 and instructions[index].kind == Kind.STORE

    def _provider_next(self, world: World) -> list[Next]:
        """One step of the provider alone, its stores first."""
        at = self.provider
        assert at is not None
        menu = self.machines[at].menus[world[2 + at]]
        for drain in menu.drains:
            return self._drain(world, at, *drain)
        for position, field in menu.loads:
            return self._load(world, at, position, field)
        for position, _index, one in menu.steps:
            return self._step(world, at, position, one)
        return []

    def _judged(self, at: int, acceptance: Acceptance, env: int) -> tuple[Verdict, ...]:
        key = (at, acceptance, env)
        found = self._verdicts.get(key)
        if found is None:
            one, values = acceptance
            epoch, tick, _published = self._envs.values[env]
            broken = self._judge(values, epoch, self._bases[epoch] + 1 + tick)
            found = tuple(Verdict(at, one, values, problem) for problem in broken)
            self._verdicts[key] = found
        return found

    def _emptied(self, memory: int, at: int, state: int) -> tuple[int, int]:
        """Accepted times that need not wait in the buffer leave it.

        An accepted time is known to others at once when no other store is before it: a later moment
        asks less of them.
        """
        machine = self.machines[at]
        while (buffer := machine.menus[state].buffer) and buffer[0][0] == self._seen:
            memory = self._stored(memory, *buffer[0][:2])
            state = machine.drain_front(state)
        return memory, state

    def _stored(self, memory: int, field: int, value: int) -> int:
        """A field gets a value; that of the highest accepted time only goes up."""
        if field == self._seen and value <= self._memories.values[memory][field]:
            return memory
        return self._memories.changed(memory, field, value)


def _always_back(values: Sequence[int], loop: Loop, held: int, odd: bool) -> bool:
    """Whether no two of the values, loaded in this order, let the reader out of its round."""
    for second, value in enumerate(values):
        if loop.condition(*((value, held) if loop.first else (held, value))):
            continue
        earlier = values[: second + 1] if odd and loop.odd_condition else ()
        if not earlier or not all(loop.odd_condition(v) for v in earlier if loop.odd_condition):
            return False
    return True


def _union(masks: Sequence[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result


class _Numbered(Generic[T]):
    """Values that are met again and again, by numbers."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}
        self._changes: dict[tuple[int, int, int], int] = {}

    def number(self, value: T) -> int:
        """The number of a value."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values)
            self.values.append(value)
        return found

    def changed(self: _Numbered[tuple[int, ...]], number: int, index: int, item: int) -> int:
        """The number of a tuple in which one item is another."""
        key = (number, index, item)
        found = self._changes.get(key)
        if found is None:
            old = self.values[number]
            found = self._changes[key] = self.number((*old[:index], item, *old[index + 1 :]))
        return found
