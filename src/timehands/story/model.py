"""What a recording means, as plain values: clocks, boundaries, calibrations, time spent, outcome.

All times are host times in ns since the QEMU process was started (boundary ``process_started`` is
0). Evidence is a tuple of references into the recording: ``e412`` is event 412, ``c37`` is console
line 37. What was not seen is None, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Reference = str
References = tuple[Reference, ...]


class Mark(StrEnum):
    """The boundaries of a boot, one vocabulary for every kernel and machine, in their order."""

    PROCESS_STARTED = "process_started"
    VM_READY = "vm_ready"
    FIRST_INSTRUCTION = "first_instruction"
    KERNEL_ENTRY = "kernel_entry"
    CLOCK_KNOWN = "clock_known"
    TIMER_ARMED = "timer_armed"
    INIT = "init"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Boundary:
    """One boundary: when it was passed (None: not seen), and by what it was recognised."""

    name: Mark
    at_ns: int | None
    how: str = ""
    evidence: References = ()


class ClockState(StrEnum):
    """How far a clock came. A clock shows the last state that it reached."""

    OFFERED = "offered"
    PROBED = "probed"
    CALIBRATED = "calibrated"
    REGISTERED = "registered"
    SELECTED = "selected"
    REJECTED = "rejected"


class ClockRole(StrEnum):
    """What a clock is for: reading time, arming timers, or the time of day."""

    SOURCE = "source"
    EVENTS = "events"
    WALL = "wall"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a clock. ``backtrace``: the callers, innermost first, if known."""

    at_ns: int | None
    what: str
    evidence: References = ()
    backtrace: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """A source of time as the guest knows it, under the guest's own name.

    ``how`` says how the frequency was found, in words; ``rating`` is Linux's rating or the BSDs'
    quality. ``frequency_hz`` is what the *guest* believes.
    """

    name: str
    role: ClockRole
    state: ClockState
    frequency_hz: int | None = None
    how: str = ""
    rating: int | None = None
    steps: tuple[Step, ...] = ()
    evidence: References = ()


#: How `Calibration.against` begins where nothing was measured.
TOLD = ("CPUID", "the hypervisor", "pvclock", "brand string", "the brand string", "VMWare")


@dataclass(frozen=True, slots=True)
class Calibration:
    """One attempt to find a frequency by measuring.

    ``method`` is the kernel's function; ``against`` the reference clock. ``result_hz`` is None when
    it failed, and then ``detail`` says why. ``stops`` are the stops of the guest that fell inside
    (``s3``): under KVM each spoils what is measured, under TCG it may cost some percent, and on a
    deterministic machine it costs some µs (by the stub) or nothing (inside the plugin).
    """

    of: str
    against: str
    method: str
    start_ns: int
    end_ns: int
    result_hz: int | None
    detail: str = ""
    evidence: References = ()
    stops: References = ()

    @property
    def duration_ns(self) -> int:
        """How long it took, in host ns."""
        return self.end_ns - self.start_ns

    @property
    def told(self) -> bool:
        """Whether the frequency was read and not measured: time does not matter to it."""
        return self.against.startswith(TOLD)


class SpanKind(StrEnum):
    """Where boot time goes."""

    MACHINE = "machine"  # QEMU's own start
    FIRMWARE = "firmware"  # firmware, decompression
    CALIBRATION = "calibration"  # measuring a clock
    CLOCK = "clock"  # other work on clocks
    DEVICE = "device"  # waiting for, or probing, a device
    KERNEL = "kernel"  # everything else in the kernel
    USER = "user"  # after init has begun


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of host time. ``depth`` 0 spans follow each other; deeper ones lie within them."""

    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    depth: int = 0
    detail: str = ""
    evidence: References = ()

    @property
    def duration_ns(self) -> int:
        """How long it took, in host ns."""
        return self.end_ns - self.start_ns


class OutcomeKind(StrEnum):
    """How a boot ended."""

    INIT_REACHED = "init reached"
    PANICKED = "panicked"
    HALTED = "halted"
    RESET = "reset"  # triple fault
    HUNG = "hung"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"  # by the boundary asked for, or by the user
    VM_LOST = "VM lost"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the boot ended, in words; ``where`` names the place in the kernel if it is known."""

    kind: OutcomeKind
    text: str
    at_ns: int
    where: str | None = None
    evidence: References = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast the guest's clock ran against the host's: a sandwich, in ppm of the host's rate.

    The true rate lies between ``low_ppm`` and ``high_ppm``; ``over_ns`` is how long it was
    measured. 0 is equal, +1000 is a guest clock that gains 1 ms a second.
    """

    low_ppm: int
    high_ppm: int
    over_ns: int
    evidence: References = ()


@dataclass(frozen=True, slots=True)
class WallClock:
    """The guest's time of day at init against the host's, in ns (guest minus host)."""

    offset_ns: int
    source: str
    evidence: References = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A variable of the kernel when the boot ended: ``tsc_freq`` is ``2500000000``, in words."""

    name: str
    value: int | str | None
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A console line about clocks: which kernel function prints it, and what it means."""

    text: str
    source: str
    meaning: str
    evidence: References = ()


@dataclass(frozen=True, slots=True)
class LogSpan:
    """A stretch of the kernel's own boot log (TSLOG), in ns since the log's first record.

    ``depth`` counts from 0 within its ``thread``. ``end_ns`` None: it had not ended.
    """

    thread: str
    name: str
    start_ns: int
    end_ns: int | None
    depth: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """What one boot did with its clocks.

    ``delay`` tells who served the kernel's busy waits (DELAY, udelay) from when on; ``facts`` are
    the kernel's own variables at the end; ``tslog`` is the kernel's own boot log.
    """

    os: str
    outcome: Outcome
    boundaries: tuple[Boundary, ...]
    clocks: tuple[Clock, ...]
    selected: str | None
    selected_timer: str | None
    calibrations: tuple[Calibration, ...] = ()
    spans: tuple[Span, ...] = ()
    rate: Rate | None = None
    wall: WallClock | None = None
    unknown: tuple[str, ...] = ()
    delay: tuple[Step, ...] = ()
    facts: tuple[Fact, ...] = ()
    messages: tuple[Message, ...] = ()
    tslog: tuple[LogSpan, ...] = ()

    def boundary_ns(self, name: Mark) -> int | None:
        """When the boundary was passed, in ns since the process started; None: not seen."""
        return next((b.at_ns for b in self.boundaries if b.name == name), None)

    def clock(self, name: str, role: ClockRole = ClockRole.SOURCE) -> Clock | None:
        """The clock of that name and role."""
        return next((c for c in self.clocks if c.name == name and c.role == role), None)

    @property
    def boot_ns(self) -> int | None:
        """From the first instruction to init; None: it did not come there."""
        start = self.boundary_ns(Mark.FIRST_INSTRUCTION)
        end = self.boundary_ns(Mark.INIT)
        return end - start if start is not None and end is not None else None
