"""What Timehands must know about an operating system to boot it, watch it and tell its story.

One file (or package) for each system implements `Knowledge`; `timehands.guests.registry` names
them. Nothing outside `guests/` asks which system it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.machines.machine import Machine
from timehands.story.model import Boundary, Mark, Story
from timehands.watch.plan import Function, Plan
from timehands.watch.recording import Recording
from timehands.watch.records import Kind, RawRecord

#: Watched points that are no functions of the kernel's symbol table.
PVH_ENTRY = "PVH entry"
ENTRY64 = "64-bit entry"


@dataclass(frozen=True, slots=True)
class ClockNames:
    """What the system calls its clocks.

    ``fallbacks`` are the clocks that it has when nothing better was found, each with what is bad
    about it; ``pvclock`` and ``tsc`` the names of these clocks; ``ticks`` those that count timer
    interrupts. ``ranking`` is its word for the number by which it prefers one clock to another.
    ``dummies`` only count how often they are read.

    ``tsc_facts`` are the variables (`Story.facts`) that hold the TSC's frequency, each with what
    one unit of it is in Hz; ``tsc_shift`` by how many bits at most the rate of a registered TSC is
    shifted to the right; ``hypervisor`` the variables that say which hypervisor was found.
    """

    fallbacks: Mapping[str, str] = field(default_factory=dict)
    pvclock: frozenset[str] = frozenset()
    tsc: frozenset[str] = frozenset()
    ticks: frozenset[str] = frozenset()
    ranking: str = "rating"
    dummies: frozenset[str] = frozenset()
    tsc_facts: Mapping[str, int] = field(default_factory=dict)
    tsc_shift: int = 0
    hypervisor: tuple[str, ...] = ()


class Need(StrEnum):
    """What a finding may need from the system, in words that fit every system."""

    TSC_FREQUENCY = "tell the kernel the TSC's frequency"
    TSC_CALIBRATION = "let the kernel measure its TSC"
    TRUST_TSC = "keep the TSC though a watchdog doubts it"
    NO_TIMER_CALIBRATION = "do without the calibration of the LAPIC timer"
    PVCLOCK = "read time from pvclock"
    NO_I8042 = "do not look for an i8042"
    EARLY_DELAY = "let early busy waits use a clock that is there"
    CALIBRATION_REFERENCE = "have a clock to calibrate against"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A kernel argument that answers a need, and what it does (and costs).

    ``patch`` True: it is no argument but a change of the kernel's data, in the words of
    `timehands.kernels.patch`. An argument may be several words.
    """

    argument: str
    why: str
    patch: bool = False


class Knowledge(Protocol):
    """What one operating system does with its clocks.

    ``loader`` says what starts a kernel of this system that has no PVH entry, and how it gets one.
    """

    name: str
    title: str
    names: ClockNames
    loader: str

    def recognises(self, kernel: Kernel) -> bool:
        """Whether a kernel is of this system."""

    def arguments(self, machine: Machine) -> tuple[str, ...]:
        """The kernel arguments that a boot needs (console, how to end), in the system's words."""

    def ramdisk(self) -> Path | None:
        """A ramdisk of ours with which the boot ends cleanly; None: there is none."""

    def plan(self, kernel: Kernel) -> Plan:
        """What to watch in this kernel."""

    def reaches(self, mark: Mark, plan: Plan, record: RawRecord) -> bool:
        """Whether a live record shows that the boundary is passed."""

    def tell(self, recording: Recording) -> Story:
        """What the recording means."""

    def told(self, mark: Mark, text: str) -> bool:
        """Whether a console line shows that the boundary is passed."""

    def remedies(self, need: Need, hz: int | None) -> tuple[Remedy, ...]:
        """Kernel arguments that answer a need; ``hz`` is the frequency that it is about."""

    def addresses(self, recording: Recording) -> Iterable[int]:
        """Addresses in the recording's events that should be named, besides their ``pc``."""

    def look(self, kernel: Kernel, memory: Memory) -> dict[str, Any]:
        """What the kernel's variables say when the boot is over, as JSON types.

        It is kept in the recording (`Recording.looked`). Pure: it may be run several times.
        Memory that cannot be read makes its part missing, not the whole.
        """

    def on_ramdisk(self, kernel: Kernel, head: bytes) -> str | None:
        """What this kernel will do with a ramdisk that begins with ``head`` (up to 64 KiB).

        None: it mounts it, or there is nothing to be said against it.
        """


def entry_points(kernel: Kernel) -> tuple[Function, ...]:
    """The kernel's entry points as functions to watch, before paging: physical addresses."""
    points = []
    for name, address in ((PVH_ENTRY, kernel.pvh_entry), (ENTRY64, kernel.entry64)):
        if address is not None:
            points.append(Function(name, address, address + 1, leave=False))
    return tuple(points)


def code_at(kernel: Kernel, address: int, length: int) -> bytes:
    """Bytes of the kernel file at a virtual address; empty when the file does not hold them."""
    for segment in kernel.elf_headers.loaded:
        offset = address - segment.vaddr
        if offset >= 0 and offset + length <= segment.filesz:
            start = segment.offset + offset
            return bytes(kernel.unpacked()[start : start + length])
    return b""


def enters(plan: Plan, record: RawRecord, *names: str) -> bool:
    """Whether a live record is the entry of one of these functions."""
    if record[0] != Kind.ENTER or record[6] >= len(plan.functions):
        return False
    return plan.functions[record[6]].name in names


def left(plan: Plan, record: RawRecord) -> str | None:
    """Which function a live record is the return of; None: it is no return."""
    if record[0] != Kind.LEAVE or record[6] >= len(plan.functions):
        return None
    return plan.functions[record[6]].name


def first_boundaries(recording: Recording) -> tuple[Boundary, ...]:
    """The boundaries that every recording has: process started, VM ready, first instruction."""
    header = recording.header
    first = next((e for e in recording.events if e.kind is Kind.FIRST), None)
    ready = recording.since_start(header.ready_ns) if header.ready_ns else None
    resumed = recording.since_start(header.resumed_ns) if header.resumed_ns else None
    ours = header.machine.type == "monitor"
    if first:
        at = recording.since_start(first.host_ns)
        how = "the vCPUs were let go" if ours else "seen by the plugin"
        begun = Boundary(Mark.FIRST_INSTRUCTION, at, how, (first.reference,))
    else:
        begun = Boundary(Mark.FIRST_INSTRUCTION, resumed, "the vCPUs were let go")
    return (
        Boundary(Mark.PROCESS_STARTED, 0, "the VM was asked for" if ours else "QEMU was executed"),
        Boundary(Mark.VM_READY, ready, "the VM was made" if ours else "QEMU's monitor answered"),
        begun,
    )


def entered_at_once(recording: Recording) -> Boundary | None:
    """The kernel's entry, where its first instruction is the guest's; None: it is not known.

    The monitor has no firmware: it sets the first vCPU to the PVH entry. (A bzImage is entered in
    its decompressor, which is not the kernel yet.)
    """
    header = recording.header
    if header.machine.type != "monitor" or header.kernel.entry != "PVH":
        return None
    event = next((e for e in recording.events if e.kind is Kind.FIRST), None)
    if event is None:
        return None
    at = recording.since_start(event.host_ns)
    return Boundary(Mark.KERNEL_ENTRY, at, f"{PVH_ENTRY}, by the monitor", (event.reference,))


def last_boundary(recording: Recording) -> Boundary:
    """The boundary at which the guest ended."""
    header = recording.header
    at = recording.since_start(header.ended_ns) if header.ended_ns else None
    return Boundary(Mark.ENDED, at, header.ended_reason or "")
