"""What happens to a guest and its hosts: the events of a scenario, and what a VMM does about them.

Times are true time in ns since the start of the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ClockAt(Enum):
    """What the VMM does with KVM's clock when the guest goes on."""

    #: Nothing: on the same host it ran on, in a new VM it begins at 0.
    KEEP = "keep"
    #: KVM_SET_CLOCK with the value of KVM_GET_CLOCK at the stop.
    SET = "set"
    #: The same with KVM_CLOCK_REALTIME: KVM adds the time that passed by the hosts' dates.
    REALTIME = "realtime"


class TscAt(Enum):
    """What the VMM does with the guest's TSC when the guest goes on."""

    #: Nothing: on the same host it ran on, in a new VM it begins at 0.
    KEEP = "keep"
    #: Each vCPU's TSC is set to its value at the stop.
    RESTORE = "restore"
    #: ... and to that the time that passed by the hosts' dates is added.
    ADVANCE = "advance"


class Ctrl(Enum):
    """When the VMM calls KVM_KVMCLOCK_CTRL, which tells the guest that it was stopped."""

    BEFORE_RESUME = "before-resume"
    #: It is lost when a snapshot is taken before the vCPU runs again (firecracker#5494).
    AFTER_PAUSE = "after-pause"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmm:
    """What a VMM does when a guest goes on; None: what the scenario's policy asks for.

    ``clock_after_ns``: how long the vCPUs already run when it sets KVM's clock (0: before).
    ``tsc_gap_ns``: how long after each other the vCPUs' TSCs are written. ``tsc_sync``: all vCPUs
    then get the offset of the first (KVM_VCPU_TSC_OFFSET). ``tsc_khz``: on another host it asks
    for the guest's frequency (KVM_SET_TSC_KHZ).

    A guest may wait for a TSC deadline timer, ``deadline_in_ns`` ahead of the stop:
    ``deadline_before_tsc`` restores IA32_TSC_DEADLINE before IA32_TSC (firecracker#4666);
    ``deadline_lost``: the MSR was 0 in the snapshot, its interrupt not delivered
    (firecracker#4618), which ``mend_lost_deadline`` replaces by the TSC's value.
    """

    clock: ClockAt | None = None
    clock_after_ns: int = 0
    kvmclock_ctrl: Ctrl = Ctrl.BEFORE_RESUME
    tsc: TscAt | None = None
    tsc_gap_ns: int = 0
    tsc_sync: bool = False
    tsc_khz: bool = True
    deadline_in_ns: int | None = None
    deadline_before_tsc: bool = False
    deadline_lost: bool = False
    mend_lost_deadline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The guest is stopped and goes on in the same VM (QMP stop and cont, PATCH /vm)."""

    at_ns: int
    for_ns: int
    vmm: Vmm = Vmm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """A snapshot is taken, and restored in a new VM; live migration is one with a short stop.

    ``host`` is the number of the host on which it goes on, ``after_ns`` the time between.
    """

    at_ns: int
    after_ns: int
    host: int
    vmm: Vmm = Vmm()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """Somebody sets a host's date by so much."""

    at_ns: int
    host: int
    by_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSlew:
    """NTP lets a host's disciplined clock run faster by so much, for so long."""

    at_ns: int
    host: int
    ppb: int
    for_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TscWrite:
    """IA32_TSC is written: by the guest, or by its VMM (KVM_SET_MSRS). ``vcpu`` None is all."""

    at_ns: int
    value: int
    vcpu: int | None = None
    by_guest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDate:
    """The guest sets its date from its host's: an agent, NTP, or by reading the wall clock anew.

    ``gap_ns``: the date is read so long after the clock that it is set against, since KVM gives no
    pair of both (KVM_GET_CLOCK has none before the first entry makes the master clock).
    """

    at_ns: int
    gap_ns: int = 0


Event = Pause | Restore | ClockStep | ClockSlew | TscWrite | SetDate


def stops_for(event: Event) -> int:
    """For how long an event stops the guest, in ns."""
    if isinstance(event, Pause):
        return event.for_ns
    return event.after_ns if isinstance(event, Restore) else 0


def in_words(event: Event, hosts: tuple[str, ...]) -> str:
    """What happened, in a few words."""
    from timehands.simulate.units import in_words as words
    from timehands.simulate.units import ppm_in_words

    match event:
        case Pause():
            return f"paused for {words(event.for_ns)}"
        case Restore():
            return f"restored on {hosts[event.host]} after {words(event.after_ns)}"
        case ClockStep():
            return f"date of {hosts[event.host]} set by {words(event.by_ns)}"
        case ClockSlew():
            slewed = f"{ppm_in_words(event.ppb)} for {words(event.for_ns)}"
            return f"clock of {hosts[event.host]} slewed by {slewed}"
        case TscWrite():
            who = "the guest" if event.by_guest else "the VMM"
            whose = "all vCPUs'" if event.vcpu is None else f"vCPU {event.vcpu}'s"
            return f"{who} writes {event.value} to {whose} TSC"
        case SetDate():
            return "the guest sets its date from the host's"
