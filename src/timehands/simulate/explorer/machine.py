"""One thread: what it fetches, what it may perform next, what that does to it.

A thread fetches as far as its window allows. What neither sees other threads nor is seen by them
(computations, branches, fences, a store that enters the store buffer, a time that is accepted) is
performed as soon as it can be: doing it earlier takes no behaviour away. What is left are its
visible steps: loads, RDTSC, locked instructions, a store that leaves the buffer.

A branch backward is fetched as not taken; if it is taken, what came after it is thrown away, as a
processor does. (The next round's loads do not begin before: they would be those of a reader that
had begun earlier, and readers begin at any time.) At a branch forward both ways are fetched; a way
that turns out wrong is given up, since the other one is explored too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from timehands.clocks.pvclock.programs.ops import Fence, FenceKind, Store
from timehands.simulate.explorer.assemble import Instruction, Kind, Loop, Thread, exposed_from
from timehands.simulate.explorer.orders import Order

#: An entry of a store buffer that stores do not pass.
BARRIER = (-1, 0, False)
#: An instruction that was fetched with its branch taken is written as ``~index``.
Buffer = tuple[tuple[int, int, bool], ...]
Registers = tuple[int | None, ...]


class State(NamedTuple):
    """One thread's state: what is fetched next, what waits to be performed, registers, stores."""

    pc: int
    pending: tuple[int, ...]
    registers: Registers
    buffer: Buffer


#: An accepted time: the instruction and the values of `assemble.JUDGED`.
Acceptance = tuple[Instruction, tuple[int | None, ...]]
Accepted = Callable[[Instruction, tuple[int | None, ...]], None]
#: The state, by its number, after a step, and the times accepted on the way.
Move = tuple[int, tuple[Acceptance, ...]]


@dataclass(frozen=True, slots=True)
class Menu:
    """What a thread may do in one of its states.

    ``steps``: visible instructions (position in ``pending``, index, the instruction); ``loads``:
    those of them that are loads (position, field); ``drains``: stores that may leave the buffer
    (position, field, value, whether it is the last of an update); ``stores``: the fields (bits)
    that the thread may still store to; ``buffer`` and ``registers`` as in `State`; ``waiting``: the
    loop whose check is still to come, the value that it will be compared with, and whether an
    earlier check of the round is to come too.
    """

    steps: tuple[tuple[int, int, Instruction], ...]
    loads: tuple[tuple[int, int], ...]
    drains: tuple[tuple[int, int, int, bool], ...]
    stores: int
    done: bool
    buffer: Buffer
    registers: Registers
    waiting: tuple[Loop, int, bool] | None


class Machine:
    """A thread under a memory order, with a window of at most ``window`` visible instructions."""

    def __init__(
        self, thread: Thread, order: Order, window: int, others: int = -1, seen: int = -1
    ) -> None:
        """``others``: the fields (bits) that other threads ever store to.

        ``seen`` is the field through which others learn of accepted times (-1: nobody asks): a
        store after all earlier ones, as when the caller passes its time on.
        """
        self._seen = seen
        # Under exits a store is done when its instruction is: exits come before it, or after.
        self._first_local = Kind.FENCE if order is Order.EXIT else Kind.STORE
        self._exposed = exposed_from(thread, others)
        self.thread = thread
        self.order = order
        self.window = 1 if order is Order.EXIT else window
        self._instructions = thread.instructions
        self._end = len(thread.instructions)
        #: Every state that was met, by its number; what is worked out is kept.
        self.states: list[State] = []
        self.menus: list[Menu] = []
        self._ids: dict[State, int] = {}
        self._moves: dict[tuple[int, int, int, int | None], tuple[Move, ...]] = {}
        self._idle: dict[tuple[int, int], int] = {}

    def start(self) -> tuple[Move, ...]:
        """The states at the beginning."""
        return self._settled(State(0, (), self.thread.start, ()))

    def perform(
        self, state: int, position: int, made: int, also: int | None = None
    ) -> tuple[Move, ...]:
        """A visible instruction puts ``made`` (and ``also``) into its registers."""
        key = (state, position, made, also)
        moves = self._moves.get(key)
        if moves is None:
            moves = self._settled(self._performed(self.states[state], position, made, also))
            self._moves[key] = moves
        return moves

    def drain(self, state: int, position: int) -> tuple[Move, ...]:
        """A store leaves the buffer."""
        key = (state, ~position, 0, None)
        moves = self._moves.get(key)
        if moves is None:
            moves = self._settled(_drained(self.states[state], (position,)))
            self._moves[key] = moves
        return moves

    def drain_front(self, state: int) -> int:
        """The first store leaves the buffer, where nothing waits for that."""
        return self._number(_drained(self.states[state], (0,)))

    def idle(self, state: int, loop: Loop) -> int:
        """The same state where the round is known to be repeated: what it read does not matter."""
        key = (state, loop.branch)
        found = self._idle.get(key)
        if found is None:
            old = self.states[state]
            registers = tuple(
                0 if value is not None and loop.idle >> index & 1 else value
                for index, value in enumerate(old.registers)
            )
            found = self._idle[key] = self._number(old._replace(registers=registers))
        return found

    def _settled(self, state: State) -> tuple[Move, ...]:
        got: list[Acceptance] = []
        states = self._settle(state, lambda one, values: got.append((one, values)))
        return tuple((self._number(after), tuple(got)) for after in states)

    def _number(self, state: State) -> int:
        """The number of a state; what it allows is worked out when it is new."""
        number = self._ids.get(state)
        if number is None:
            number = self._ids[state] = len(self.states)
            self.states.append(state)
            self.menus.append(self._menu(state))
        return number

    def _menu(self, state: State) -> Menu:
        steps = tuple(
            (position, state.pending[position], self._instructions[state.pending[position]])
            for position in self._ready(state)
        )
        return Menu(
            steps,
            tuple((position, one.field) for position, _at, one in steps if one.kind == Kind.LOAD),
            tuple((position, *state.buffer[position]) for position in self._drains(state)),
            self._stores(state),
            state.pc == self._end and not state.pending and not state.buffer,
            state.buffer,
            state.registers,
            self._waiting(state),
        )

    def _waiting(self, state: State) -> tuple[Loop, int, bool] | None:
        """The loop that a state is in, if its check has not been loaded yet."""
        pending = {entry if entry >= 0 else ~entry for entry in state.pending}
        for loop in self.thread.loops:
            if loop.check not in pending and not loop.target < state.pc <= loop.check:
                continue
            held = state.registers[loop.held]
            makers = {self._instructions[at].into for at in pending}
            if held is not None and loop.held not in makers:
                odd = loop.odd in pending or loop.target < state.pc <= loop.odd
                return loop, held, odd
        return None

    def _stores(self, state: State) -> int:
        fields = self.thread.stores_from[state.pc]
        for entry in state.pending:
            one = self._instructions[entry if entry >= 0 else ~entry]
            fields |= self.thread.stores_from[entry if entry >= 0 else ~entry]
            fields |= self.thread.stores_from[one.target] if one.target >= 0 else 0
        for field, _value, _last in state.buffer:
            fields |= 1 << field if field >= 0 else 0
        return fields

    def _settle(self, state: State, accepted: Accepted) -> list[State]:
        """Fetch and perform what is not visible; the states that may result (none: a wrong way)."""
        work, results = [state], []
        while work:
            now: State | None = work.pop()
            while now is not None:
                performed = self._perform_all(now, accepted)
                now = performed and self._fetch(performed, work)
                if now is not None and now is performed:
                    results.append(self._forget(now))
                    break
        return results

    def _ready(self, state: State) -> Iterator[int]:
        """The positions in ``pending`` of the visible instructions that may be performed."""
        earlier = 0
        for position, entry in enumerate(state.pending):
            at = entry if entry >= 0 else ~entry
            one = self._instructions[at]
            full = one.kind == Kind.ATOMIC and state.buffer
            if one.kind < self._first_local and not full and not earlier & one.waits:
                yield position
            earlier |= 1 << at

    def _drains(self, state: State) -> Iterator[int]:
        """The positions in the buffer of the stores that may leave it."""
        seen: set[int] = set()
        for position, (field, _value, _last) in enumerate(state.buffer):
            if field < 0:
                return
            if field not in seen:
                yield position
            if self.order is not Order.WEAK:
                return
            seen.add(field)

    def _performed(self, state: State, position: int, made: int, also: int | None = None) -> State:
        """The state after a visible instruction that put ``made`` into its register."""
        entry = state.pending[position]
        one = self._instructions[entry]
        registers = state.registers
        if one.into >= 0:
            registers = _with(registers, one.into, made)
        if one.also >= 0:
            registers = _with(registers, one.also, also)
        pending = state.pending[:position] + state.pending[position + 1 :]
        return State(state.pc, pending, registers, state.buffer)

    def _perform_all(self, state: State, accepted: Accepted) -> State | None:
        """Perform what is not visible until nothing of it is ready; None: on a wrong way."""
        while True:
            found = self._local(state)
            if found < 0:
                return state
            after = self._perform(state, found, accepted)
            if after is None:
                return None
            state = after

    def _local(self, state: State) -> int:
        """The position of an instruction that is not visible and ready; -1: there is none."""
        earlier = 0
        instructions = self._instructions
        for position, entry in enumerate(state.pending):
            at = entry if entry >= 0 else ~entry
            one = instructions[at]
            full = one.kind == Kind.FENCE and state.buffer and _drains_first(one)
            if one.kind >= self._first_local and not full and not earlier & one.waits:
                return position
            earlier |= 1 << at
        return -1

    def _perform(self, state: State, position: int, accepted: Accepted) -> State | None:
        pc, pending, registers, buffer = state
        entry = pending[position]
        one = self._instructions[entry if entry >= 0 else ~entry]
        left = pending[:position] + pending[position + 1 :]
        values = tuple(registers[r] if r >= 0 else None for r in one.of)
        match one.kind:
            case Kind.COMPUTE:
                assert one.function is not None
                return State(pc, left, _with(registers, one.into, one.function(*values)), buffer)
            case Kind.BRANCH:
                assert one.function is not None
                taken = bool(one.function(*values))
                if taken == (entry < 0):
                    return State(pc, left, registers, buffer)
                if one.target < (entry if entry >= 0 else ~entry):
                    return State(one.target, pending[:position], registers, buffer)
                return None
            case Kind.STORE:
                value = values[0]
                assert value is not None
                stores = (*_barrier(one, buffer, self.order), (one.field, value, one.publishes))
                return State(pc, left, registers, buffer + stores)
            case Kind.FENCE:
                return State(pc, left, registers, buffer + _barrier(one, buffer, self.order))
            case Kind.ACCEPT:
                accepted(one, values)
                registers = _with(registers, one.into, values[0])
                if self._seen >= 0 and values[0] is not None:
                    before = (BARRIER,) if buffer and self.order is Order.WEAK else ()
                    buffer = (*buffer, *before, (self._seen, values[0], False))
        return State(pc, left, registers, buffer)

    def _fetch(self, state: State, work: list[State]) -> State | None:
        """Fetch as far as possible; the other way of a branch goes to ``work``."""
        pc, pending, registers, buffer = state
        room = self._room(pending)
        while pc < self._end and room > 0:
            one = self._instructions[pc]
            if one.kind == Kind.BRANCH:
                decided = self._decided(one, pending, registers)
                if decided is not None:
                    pc = one.target if decided else one.then
                    continue
                if not self.thread.speculates or not self._exposed[pc]:
                    break
                if one.target > pc:
                    work.append(State(one.target, (*pending, ~pc), registers, buffer))
            pending = (*pending, pc)
            room -= one.kind < Kind.COMPUTE or self.order is Order.EXIT
            pc = one.then
        if pc == state.pc and pending is state.pending:
            return state
        return State(pc, pending, registers, buffer)

    def _room(self, pending: tuple[int, ...]) -> int:
        if self.order is Order.EXIT:
            return self.window - len(pending)
        held = sum(self._instructions[e if e >= 0 else ~e].kind < Kind.COMPUTE for e in pending)
        return self.window - held

    def _decided(
        self, branch: Instruction, pending: tuple[int, ...], registers: Registers
    ) -> bool | None:
        """Whether a branch is taken; None when what decides it is still pending."""
        if branch.function is None:
            return True
        made = {self._instructions[e if e >= 0 else ~e].into for e in pending}
        if not made.isdisjoint(branch.of):
            return None
        return bool(branch.function(*(registers[r] for r in branch.of)))

    def _forget(self, state: State) -> State:
        """Without the registers that nobody will read: states that differ in them are the same."""
        live = self.thread.live[state.pc]
        for entry in state.pending:
            at = entry if entry >= 0 else ~entry
            one = self._instructions[at]
            for register in one.of:
                if register >= 0:
                    live |= 1 << register
            if 0 <= one.target < at:
                live |= self.thread.live[one.target]
        registers = tuple(
            value if value is None or live >> index & 1 else None
            for index, value in enumerate(state.registers)
        )
        return State(state.pc, state.pending, registers, state.buffer)


def _drained(state: State, positions: tuple[int, ...]) -> State:
    """Without some stores; barriers at the front of the buffer go with them."""
    buffer = tuple(entry for at, entry in enumerate(state.buffer) if at not in positions)
    while buffer and buffer[0][0] < 0:
        buffer = buffer[1:]
    return state._replace(buffer=buffer)


def _with(registers: Registers, index: int, value: int | None) -> Registers:
    return (*registers[:index], value, *registers[index + 1 :])


def _drains_first(fence: Instruction) -> bool:
    """The fence waits until the store buffer is empty: MFENCE."""
    return isinstance(fence.op, Fence) and fence.op.kind is FenceKind.FULL


def _barrier(one: Instruction, buffer: Buffer, order: Order) -> Buffer:
    """What a fence, or a store with release order, leaves in a buffer that is not FIFO."""
    match one.op:
        case Fence():
            orders = one.op.kind in (FenceKind.STORE_STORE, FenceKind.RELEASE)
        case Store():
            orders = one.op.release
        case _:
            orders = False
    needed = orders and order is Order.WEAK and buffer and buffer[-1] != BARRIER
    return (BARRIER,) if needed else ()
