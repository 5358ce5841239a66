"""A fault of the kernel: where it happened, below which functions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from timehands.guests.telling import entries, named
from timehands.story.model import References
from timehands.watch.recording import Recording

#: sys/amd64/amd64/trap.c, trap_fatal; sys/ddb and sys/kern/subr_kdb.c for the backtrace.
_ADDRESS = re.compile(r"^fault virtual address\s*= (0x[0-9a-f]{1,16})$")
_TRAP = re.compile(r"^--- trap 0x")
_FRAME = re.compile(r"^(\w{1,80})\(\) at \w+\+0x[0-9a-f]+/frame ")
_DEPTH = 4
BELOW = " <- "


@dataclass(frozen=True, slots=True)
class Fault:
    """``address``: what was read or written; ``frames``: functions, innermost first."""

    address: int | None
    frames: tuple[str, ...]
    evidence: References

    @property
    def where(self) -> str | None:
        """``pvclock_get_timecount <- xen_delay <- start_TSC``; None: not known."""
        return BELOW.join(self.frames[:_DEPTH]) or None

    @property
    def text(self) -> str:
        """In words."""
        at = f"address {self.address:#x}" if self.address is not None else "unknown address"
        return f"{at} in {self.where}" if self.where else at


def fault_of(recording: Recording) -> Fault | None:
    """The first fault, by trap_fatal's frame, else by the console; None: there was none."""
    return _by_frame(recording) or _by_console(recording)


def _by_frame(recording: Recording) -> Fault | None:
    for event in entries(recording, "trap_fatal"):
        pc = recording.number(event, "tf_rip")
        if not pc:
            continue
        above = (recording.number(event, f"caller{n}") or 0 for n in (1, 2, 3))
        frames = named(recording, (pc, *above))
        return Fault(recording.number(event, "tf_addr"), frames, (event.reference,))
    return None


def _by_console(recording: Recording) -> Fault | None:
    address: int | None = None
    frames: list[str] = []
    evidence: References = ()
    trapped = False
    for line in recording.console:
        if match := _ADDRESS.search(line.text):
            address, evidence = int(match[1], 16), (line.reference,)
        elif _TRAP.search(line.text):
            trapped, frames = True, []
        elif trapped and len(frames) < _DEPTH and (match := _FRAME.search(line.text)):
            frames.append(match[1])
    return Fault(address, tuple(frames), evidence) if evidence else None
