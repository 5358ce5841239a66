"""What to watch in a BSD kernel: functions, and what to read at their entry and return."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from timehands.guests.base import entry_points
from timehands.guests.bsd.layouts import Layout
from timehands.guests.telling import CALLERS
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Function, Plan, Read

NAME_BYTES = 24
MESSAGE_BYTES = 64
#: Return addresses of a backtrace besides the caller's own.
DEPTH = 7
#: A function longer than this is not: its symbol's end is not known.
LONGEST_FUNCTION = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function to watch: whether its return too, and what to read.

    ``before`` and ``after`` name variables to be read at its entry (`before_name`) and return;
    ``reads``: what else, of a kernel; ``string``: the number of an argument that is a string;
    ``device``: its accesses to the LAPIC's memory are events; ``walk``: its callers are wanted.
    """

    name: str
    leave: bool = True
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    reads: Callable[[Kernel], Iterable[Read]] | None = None
    string: int | None = None
    device: bool = False
    walk: bool = False


def before_name(name: str) -> str:
    """What a variable is called that is read at a function's entry: both may be read."""
    return f"{name} before"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the kernel: how many bytes, and where if it has no symbol of its own."""

    bytes: int
    address: int | None = None


def plan_of(kernel: Kernel, wanted: Iterable[Wanted], variables: Mapping[str, Variable]) -> Plan:
    """The plan: entry points, and every wanted function that the kernel has."""
    functions = list(entry_points(kernel))
    for one in wanted:
        for address in kernel.symbols.lookup(one.name)[:1]:
            functions.append(_function(kernel, one, address, variables))
    return Plan(tuple(functions))


def _function(
    kernel: Kernel, wanted: Wanted, address: int, variables: Mapping[str, Variable]
) -> Function:
    parts = kernel.symbols.variants(wanted.name)
    return Function(
        wanted.name,
        *_range(kernel, address),
        leave=wanted.leave,
        device=wanted.device,
        reads=tuple(_reads(kernel, wanted, variables)),
        parts=tuple(_range(kernel, part.address) for part in parts),
    )


def _range(kernel: Kernel, address: int) -> tuple[int, int]:
    place = kernel.symbols.find(address)
    size = min(place.size if place else 1, LONGEST_FUNCTION)
    return address, address + max(size, 1)


def _reads(kernel: Kernel, wanted: Wanted, variables: Mapping[str, Variable]) -> Iterator[Read]:
    if wanted.reads:
        yield from wanted.reads(kernel)
    if wanted.string is not None:
        yield Read("string", MESSAGE_BYTES, argument=wanted.string, string=True)
    if wanted.walk:
        yield Read(CALLERS, 8 * DEPTH, walk=True)
    for names, at_return in ((wanted.before, False), (wanted.after, True)):
        for name in names:
            yield from _variable(kernel, name, variables[name], at_return)


def _variable(kernel: Kernel, name: str, variable: Variable, at_return: bool) -> Iterator[Read]:
    known = [] if variable.address is None else [variable.address]
    told = name if at_return else before_name(name)
    for address in (known or kernel.symbols.lookup(name))[:1]:
        yield Read(told, variable.bytes, address=address, at_return=at_return)


def counter_reads(kernel: Kernel, at: Layout) -> Iterator[Read]:
    """tc_init's timecounter, and which one is in use when it returns (``timecounter``)."""
    yield Read("tc_name", NAME_BYTES, (at["tc_name"], 0), argument=0, string=True)
    for member, size in (("tc_frequency", 8), ("tc_counter_mask", 4), ("tc_quality", 4)):
        yield Read(member, size, (at[member],), argument=0)
    if "tc_flags" in at:
        yield Read("tc_flags", 4, (at["tc_flags"],), argument=0)
    yield from current_reads(kernel, at, at_return=True)


def current_reads(kernel: Kernel, at: Layout, *, at_return: bool = False) -> Iterator[Read]:
    """The name of the timecounter in use (``timecounter``, kern_tc.c)."""
    for address in kernel.symbols.lookup("timecounter")[:1]:
        name = (0, at["tc_name"], 0)
        yield Read("current", NAME_BYTES, name, None, address, string=True, at_return=at_return)
