"""A fault of the kernel: where it happened, below which functions."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator

from timehands.guests.bsd.ending import Fault
from timehands.guests.telling import BELOW, INLINED_IN, entries
from timehands.story.model import References
from timehands.watch.recording import Recording

#: sys/amd64/amd64/trap.c, trap_fatal; sys/ddb and sys/kern/subr_kdb.c for the backtrace.
_ADDRESS = re.compile(r"^fault virtual address\s*= (0x[0-9a-f]{1,16})$")
_RIP = re.compile(r"^instruction pointer\s*= 0x[0-9a-f]{1,4}:(0x[0-9a-f]{1,16})$")
_FATAL = re.compile(r"^Fatal trap \d{1,3}: ")
_TRAP = re.compile(r"^--- trap 0x")
_FRAME = re.compile(r"^(\w{1,80})\(\) at \w+\+0x[0-9a-f]+/frame ")
#: Functions of a backtrace that are told.
_DEPTH = 3


def fault_of(recording: Recording) -> Fault | None:
    """The fault of a kernel that panicked, by its trap frame, else by the console.

    None: there was none.
    """
    return _by_frame(recording) or _by_console(recording)


def _by_frame(recording: Recording) -> Fault | None:
    event = next(entries(recording, "trap_fatal"), None)
    if event is None:  # inlined into trap, whose last call did not return then
        event = deque(entries(recording, "trap"), maxlen=1).pop() if _traps(recording) else None
    pc = recording.number(event, "tf_rip") if event else None
    if event is None or not pc or not _is_fatal(recording):
        return None
    above = (recording.number(event, f"caller{n}") or 0 for n in (1, 2, 3))
    frames = _functions(recording, (pc, *above))
    return _fault(recording.number(event, "tf_addr"), frames, (event.reference,))


def _functions(recording: Recording, addresses: Iterable[int]) -> tuple[str, ...]:
    """The functions that addresses are in, without those that were inlined there."""
    names = itertools.takewhile(bool, (recording.symbols.get(a) for a in addresses))
    return tuple(name.split(INLINED_IN)[-1].split("+")[0] for name in names if name)


def _traps(recording: Recording) -> bool:
    return next(entries(recording, "trap"), None) is not None


def _is_fatal(recording: Recording) -> bool:
    """Whether the kernel told of a fatal trap: a panic may have another cause."""
    return any(_FATAL.search(line.text) for line in recording.console)


def instruction_pointers(recording: Recording) -> Iterator[int]:
    """Where the console says that a fault happened."""
    for line in recording.console:
        if match := _RIP.search(line.text):
            yield int(match[1], 16)


def _by_console(recording: Recording) -> Fault | None:
    address: int | None = None
    frames: list[str] = list(_functions(recording, instruction_pointers(recording)))[:1]
    evidence: References = ()
    trapped = False
    for line in recording.console:
        if match := _ADDRESS.search(line.text):
            address, evidence = int(match[1], 16), (line.reference,)
        elif _TRAP.search(line.text):
            trapped, frames = True, []
        elif trapped and len(frames) < _DEPTH and (match := _FRAME.search(line.text)):
            frames.append(match[1])
    return _fault(address, tuple(frames), evidence) if evidence else None


def _fault(address: int | None, frames: tuple[str, ...], evidence: References) -> Fault:
    """``at 0x20 in pvclock_get_timecount < xen_delay < start_TSC``."""
    where = BELOW.join(frames[:_DEPTH]) or None
    parts = [f"at {address:#x}"] if address is not None else []
    parts += [f"in {where}"] if where else []
    return Fault(" ".join(parts), where, evidence)
