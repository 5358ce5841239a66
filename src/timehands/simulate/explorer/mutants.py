"""Classic mistakes, each made in a program that is right, and the order under which it shows.

A mistake that does not matter under some order is searched there too: that nothing is found within
the bounds is the result. Most are made in Linux's reader or KVM's update, since a mistake does not
depend on the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs import functions as f
from timehands.clocks.pvclock.programs.ops import (
    Branch,
    CompareSwap,
    Compute,
    Fence,
    Load,
    Op,
    Program,
    ReadTsc,
    Store,
    edited,
    program,
)
from timehands.clocks.pvclock.programs.readers import READERS
from timehands.clocks.pvclock.programs.wall import DONE as WALL_DONE
from timehands.clocks.pvclock.programs.wall import LOADS as WALL_LOADS
from timehands.clocks.pvclock.programs.writers import (
    INPUTS,
    SNAPSHOT,
    WALL_WRITERS,
    WMB,
    WRITERS,
    begin,
    end,
    store_all,
)
from timehands.clocks.pvclock.reading import nanoseconds
from timehands.simulate.explorer.claims import apart, trial
from timehands.simulate.explorer.judge import Property
from timehands.simulate.explorer.orders import Order
from timehands.simulate.explorer.trial import Result, Trial, run

_LINUX, _FREEBSD = READERS["linux"].program, READERS["freebsd"].program
_KVM = WRITERS["kvm"].program
_ALL = frozenset(Order)
_OTHER_CPU = frozenset({Order.X86, Order.WEAK})
_WEAK = frozenset({Order.WEAK})


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake.

    ``what`` says it in words; ``breaks`` is the property that it costs, ``shows`` the orders under
    which it does, ``trials`` how it is searched under each order.
    """

    name: str
    what: str
    breaks: Property
    shows: frozenset[Order]
    trials: Mapping[Order, Trial]


@dataclass(frozen=True, slots=True)
class Hunt:
    """A mutant under one order: what was found. ``caught`` is the breach, with its schedule."""

    mutant: Mutant
    order: Order
    result: Result

    @property
    def caught(self) -> bool:
        """The breach was found."""
        return self.mutant.breaks.value in self.result.searched.traces

    @property
    def as_expected(self) -> bool:
        """Caught where it shows; where it does not, everything was searched and nothing found."""
        if self.order in self.mutant.shows:
            return self.caught
        return not self.caught and self.result.searched.complete


def hunt(mutant: Mutant, order: Order) -> Hunt:
    """Search a mutant under an order, to the first (the shortest) schedule that shows it."""
    return Hunt(mutant, order, run(mutant.trials[order], until=mutant.breaks.value))


def _reader(
    name: str,
    what: str,
    reader: Program,
    shows: frozenset[Order] = _ALL,
    *,
    breaks: Property = Property.TORN,
    setting: str = "stable",
    writer: Program | None = _KVM,
    **bounds: int,
) -> Mutant:
    bounds = {"updates": 1, "ticks": 0, **bounds}
    made = replace(
        trial(READERS["linux"], "kvm", Order.X86, setting),
        readers=(reader,),
        writer=writer,
        **bounds,  # type: ignore[arg-type]
    )
    return Mutant(name, what, breaks, shows, {order: replace(made, order=order) for order in Order})


def _writer(
    name: str, what: str, writer: Program, shows: frozenset[Order], updates: int = 1
) -> Mutant:
    return _reader(name, what, _LINUX, shows, writer=writer, updates=updates)


def without(old: Program, name: str, gone: Callable[[int, Op], bool]) -> Program:
    """A program without some instructions, by their index and themselves."""
    at = iter(range(len(old.ops)))
    return edited(old, name, lambda op: () if gone(next(at), op) else (op,))


def _without_fence(old: Program, name: str, which: int) -> Program:
    """Without its fence of that number, from 0."""
    fences = [at for at, op in enumerate(old.ops) if isinstance(op, Fence)]
    return without(old, name, lambda at, _op: at == fences[which])


def _with(old: Program, name: str, edit: Callable[[Op], Op]) -> Program:
    return edited(old, name, lambda op: (edit(op),))


def _no_recheck() -> Program:
    return without(
        _LINUX,
        "no recheck",
        lambda _at, op: isinstance(op, Branch) and op.to == "retry",
    )


def _odd_accepted() -> Program:
    return _with(
        _LINUX,
        "odd accepted",
        lambda op: (
            replace(op, function=f.same)
            if isinstance(op, Compute) and op.function is f.even_below
            else op
        ),
    )


def _moved_after_check(old: Program, name: str, fields: tuple[str, ...]) -> Program:
    """Loads of some fields, and the time, come after the version has been compared."""
    late = [op for op in old.ops if isinstance(op, Load) and op.field in fields]
    time = [op for op in old.ops if isinstance(op, Compute) and op.into == "ns"]
    late_ops: list[Op] = [*late, *(time if "system_time" in fields else [])]

    def edit(op: Op) -> tuple[Op, ...]:
        if op in late_ops:
            return ()
        if isinstance(op, Branch) and op.to == "retry":
            return (op, *late_ops)
        return (op,)

    return edited(old, name, edit)


def _arithmetic(name: str, arithmetic: f.Arithmetic) -> Program:
    now = f.page_time(arithmetic)
    return _with(
        _LINUX,
        name,
        lambda op: replace(op, function=now) if isinstance(op, Compute) and op.into == "ns" else op,
    )


def _shift_not_negative(info: TimeInfo, tsc: int) -> int:
    """The shift taken as an unsigned number of places to the left, and -1 as none."""
    return nanoseconds(replace(info, tsc_shift=max(info.tsc_shift, 0)), tsc)


def _low_half(ns: int) -> int:
    """The time as 32 bits, as a timecounter with a mask of 2^32 - 1 has it."""
    return ns & 0xFFFFFFFF


def _narrow_clamp() -> Program:
    """The clamp compares 32-bit times: when they wrap, the last one is ahead for ever."""

    def edit(op: Op) -> tuple[Op, ...]:
        if isinstance(op, Compute) and op.into == "ns":
            return (replace(op, into="wide"), Compute("ns", _low_half, ("wide",)))
        return (op,)

    return edited(_LINUX, "narrow clamp", edit)


def _no_last_value() -> Program:
    def edit(op: Op) -> Op:
        return Branch("done") if isinstance(op, Branch) and op.condition is f.stable else op

    return _with(_LINUX, "no last value", edit)


def _unordered_tsc() -> Program:
    return _with(
        _LINUX,
        "unordered rdtsc",
        lambda op: replace(op, ordered=False) if isinstance(op, ReadTsc) else op,
    )


def _plain_last() -> Program:
    """The new last value is stored without looking whether it is still the newest."""

    def edit(op: Op) -> tuple[Op, ...]:
        if isinstance(op, CompareSwap):
            return (Store("last", "ns"), Branch("done"))
        return (op,)

    return edited(_LINUX, "plain last", edit)


def _no_odd() -> Program:
    """The version changes once, when everything is written."""
    return program(
        "no odd version",
        *SNAPSHOT,
        Load("old_version", "version"),
        Compute("odd_version", f.next_odd, ("old_version",)),
        *store_all(),
        WMB,
        *end(),
        inputs=INPUTS,
    )


def _same_version() -> Program:
    """The version is odd during the update, and afterwards what it was before."""
    return program(
        "same version",
        *SNAPSHOT,
        *begin(),
        WMB,
        *store_all(),
        WMB,
        Store("version", "old_version"),
        inputs=INPUTS,
    )


def _two_rounds() -> Program:
    """tsc_timestamp and system_time are updated in two rounds of the protocol."""
    first, *rest = store_all()
    again: tuple[Op, ...] = (
        Load("second_version", "version"),
        Compute("second_odd", f.next_odd, ("second_version",)),
        Store("version", "second_odd"),
        WMB,
        *rest,
        WMB,
        Compute("second_even", f.successor, ("second_odd",)),
        Store("version", "second_even"),
    )
    return program(
        "two rounds", *SNAPSHOT, *begin(), WMB, first, WMB, *end(), *again, inputs=INPUTS
    )


def _wrapping_version() -> Program:
    """A version of two bits: two updates later it is the same again."""

    def two_bits(function: Callable[..., int], version: int) -> int:
        return function(version) & 3

    def edit(op: Op) -> Op:
        if isinstance(op, Compute) and op.into in ("odd_version", "even_version"):
            narrow = partial(two_bits, op.function)
            return replace(op, function=narrow)
        return op

    return _with(WRITERS["xen"].program, "wrapping version", edit)


def _mutants() -> tuple[Mutant, ...]:
    relaxed = _with(
        _FREEBSD,
        "no acquire",
        lambda op: replace(op, acquire=False) if isinstance(op, Load) else op,
    )
    wall = program("no version", *WALL_LOADS, WALL_DONE)
    openbsd_1 = READERS["openbsd-1"].program
    return (
        _writer("no-odd-version", "no odd version during the update", _no_odd(), _OTHER_CPU),
        _writer(
            "same-version", "the version is the old one again afterwards", _same_version(), _ALL
        ),
        _writer(
            "two-rounds",
            "tsc_timestamp and system_time updated in two rounds",
            _two_rounds(),
            _OTHER_CPU,
        ),
        _writer(
            "version-wraps",
            "the version wraps (here after two updates; u32: after 2^31)",
            _wrapping_version(),
            _ALL,
            updates=2,
        ),
        _writer(
            "no-barrier-after-odd",
            "no barrier between the odd version and the data",
            _without_fence(WRITERS["xen"].program, "no first wmb", 0),
            _WEAK,
        ),
        _writer(
            "no-barrier-before-even",
            "no barrier between the data and the even version",
            _without_fence(WRITERS["xen"].program, "no second wmb", 1),
            _WEAK,
        ),
        _reader("no-recheck", "the version is not read again", _no_recheck()),
        _reader("odd-accepted", "an odd version is accepted", _odd_accepted(), _OTHER_CPU),
        _reader(
            "compared-early",
            "the version is compared before the last load",
            _moved_after_check(_LINUX, "compared early", ("system_time",)),
        ),
        _reader(
            "flags-outside",
            "the flags are read outside of the loop",
            _moved_after_check(_LINUX, "flags outside", ("flags",)),
            setting="turns",
        ),
        _reader(
            "no-barrier-after-version",
            "no barrier between the version and the data",
            _without_fence(_LINUX, "no first rmb", 0),
            _WEAK,
        ),
        _reader(
            "no-barrier-before-check",
            "no barrier between the data and the version again",
            _without_fence(_LINUX, "no second rmb", 1),
            _WEAK,
        ),
        _reader("no-acquire", "FreeBSD's load of the version without acquire", relaxed, _WEAK),
        _reader(
            "no-acquire-fence",
            "FreeBSD's fence before the check left out",
            _without_fence(_FREEBSD, "no acquire fence", 0),
            _WEAK,
        ),
        _reader(
            "wall-without-version",
            "the wall clock read without its version",
            wall,
            setting="wall",
            writer=WALL_WRITERS["xen"].program,
        ),
        _reader(
            "product-64",
            "the product keeps 64 bits only",
            _arithmetic("product of 64 bits", f.nanoseconds_64),
            setting="long",
        ),
        _reader(
            "negative-shift",
            "a negative shift is ignored",
            _arithmetic("negative shift ignored", _shift_not_negative),
            setting="negative",
        ),
        _reader(
            "clamp-freezes",
            "a last value of 32 bits is ahead for ever once the time wraps",
            _narrow_clamp(),
            breaks=Property.FROZEN,
            setting="wraps",
            reads=2,
            ticks=1,
            bits=32,
        ),
        _reader(
            "no-last-value",
            "not stable, and no last value",
            _no_last_value(),
            breaks=Property.BACKWARD,
            setting="steps",
            reads=2,
        ),
        _reader(
            "unordered-rdtsc",
            "RDTSC is not ordered",
            _unordered_tsc(),
            _OTHER_CPU,
            breaks=Property.BACKWARD,
            writer=None,
            reads=2,
            ticks=1,
        ),
        _reader(
            "rdtsc-outside",
            "the TSC is read after the loop (OpenBSD's first revision)",
            openbsd_1,
            setting="moves",
        ),
        _apart("plain-last", "the last value is stored, not compared and swapped", _plain_last()),
    )


def _apart(name: str, what: str, reader: Program) -> Mutant:
    """Two vCPUs, each with a page of its own: not a matter of exits."""
    trials = {
        order: replace(apart(READERS["linux"], order), readers=(reader,) * 2, reads=2, fewer=1)
        for order in (Order.X86, Order.WEAK)
    }
    return Mutant(name, what, Property.ACROSS, _OTHER_CPU, trials)


#: The mistakes by name.
MUTANTS: Mapping[str, Mutant] = {mutant.name: mutant for mutant in _mutants()}
