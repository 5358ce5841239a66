"""Functions that were chosen to be watched at their entries: which, and how often each was entered.

Our own monitor watches up to four, by hardware breakpoints (`timehands.watch.exits.entries`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from timehands.errors import UsageError
from timehands.watch.plan import Function
from timehands.watch.records import Event, Kind

if TYPE_CHECKING:
    from timehands.kernels.kernel import Kernel
    from timehands.watch.recording import Recording

#: A processor has this many debug registers.
MOST_CHOSEN = 4
#: An event of the machine: the function with that number (``function``) is let be from then on.
LET_BE: Final = "FUNCTION_LET_BE"


@dataclass(frozen=True, slots=True)
class Entered:
    """``times`` is all that was counted; ``caller`` and ``first_ns`` (from the start) are those of
    the first entry, None when there was none. ``let_be``: it was watched no longer after that.
    """

    function: str
    times: int
    first_ns: int | None = None
    caller: str | None = None
    let_be: bool = False


def chosen(kernel: Kernel, names: Iterable[str]) -> tuple[Function, ...]:
    """The functions of these names, to be watched at their entries.

    Raises `UsageError` for a name that the kernel has not, or has several times, and for too many.
    """
    wanted = tuple(dict.fromkeys(names))
    if len(wanted) > MOST_CHOSEN:
        raise UsageError(
            f"{len(wanted)} functions are to be watched, but a processor has {MOST_CHOSEN} debug "
            "registers"
        )
    return tuple(_function(kernel, name) for name in wanted)


def _function(kernel: Kernel, name: str) -> Function:
    starts = kernel.symbols.lookup(name)
    if not starts:
        near = ", ".join(kernel.symbols.nearest(name))
        raise UsageError(
            f"{kernel.path} has no function {name}", advice=f"It has {near}." if near else ""
        )
    if len(set(starts)) > 1:
        places = ", ".join(f"{start:#x}" for start in starts)
        raise UsageError(f"{kernel.path} has several functions {name}: at {places}")
    size = kernel.symbols.size_of(starts[0])
    return Function(name, starts[0], starts[0] + max(size, 1), leave=False)


def entered_in(recording: Recording) -> Iterator[Entered]:
    """What is known of each; nothing when none was chosen."""
    header = recording.header
    if not header.chosen:
        return
    let_be = [e.data.get("function") for e in recording.machine_events if e.name == LET_BE]
    watched = zip(header.functions, header.function_starts, strict=False)
    for number, (name, start) in enumerate(islice(watched, MOST_CHOSEN)):
        entries = [e for e in recording.events if e.kind is Kind.ENTER and e.values[0] == number]
        times = max(len(entries), _counted(recording.events, start))
        if not entries:
            yield Entered(name, times)
            continue
        first_ns = recording.since_start(entries[0].host_ns)
        caller = _caller(recording.symbols, entries[0])
        yield Entered(name, times, first_ns, caller, number in let_be)


def _counted(events: Iterable[Event], start: int) -> int:
    return max(
        (
            event.values[1]
            for event in events
            if event.kind is Kind.COUNT and event.values[0] == Kind.ENTER and event.pc == start
        ),
        default=0,
    )


def _caller(symbols: Mapping[int, str], event: Event) -> str:
    address = event.values[4]
    return symbols.get(address, f"{address:#x}")
