"""Clocks that are moved while the guest runs, at the moments that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.errors import MachineError
from timehands.monitor.settings import Jump

if TYPE_CHECKING:
    from timehands.monitor.microvm import Microvm


def arm_jumps(guest: Microvm) -> None:
    """Have each jump of the guest's settings happen when its time comes."""
    for number, jump in enumerate(guest.settings.clocks.jumps):
        guest.alarms.set(("jump", number), jump.at_ns, _maker(guest, jump))


def jumps_to_come(guest: Microvm) -> tuple[Jump, ...]:
    """Those that were not made yet."""
    jumps = enumerate(guest.settings.clocks.jumps)
    return tuple(jump for number, jump in jumps if guest.alarms.waits(("jump", number)))


def _maker(guest: Microvm, jump: Jump) -> Callable[[int], None]:
    return lambda _ns: make(guest, jump)


def make(guest: Microvm, jump: Jump) -> None:
    """Move a clock of a running guest. Raises `MachineError` for a clock that it does not have."""
    if jump.clock == "tsc":
        _move_tsc(guest, jump.by_ns)
    elif jump.clock == "pvclock":
        _move_pvclock(guest, jump.by_ns)
    else:
        _move_wall(guest, jump.by_ns)


def _move_tsc(guest: Microvm, by_ns: int) -> None:
    """All vCPUs' TSCs, each by as much as it runs in that time. pvclock stays where it is."""
    cycles = by_ns * guest.tsc_khz // 1_000_000
    with guest.paused():
        if guest.caught_up is not None:
            guest.caught_up.move(cycles)
            return
        for vcpu in guest.vcpus:
            vcpu.set_msrs({ClockMsr.TSC: vcpu.msr(ClockMsr.TSC) + cycles & MASK_64})


def _move_pvclock(guest: Microvm, by_ns: int) -> None:
    with guest.paused():
        guest.system_ns += by_ns


def _move_wall(guest: Microvm, by_ns: int) -> None:
    if guest.pvclock is None and not guest.settings.clocks.rtc:
        raise MachineError("the guest has no wall clock of ours to move")
    if guest.pvclock is not None:
        guest.pvclock.step_wall(by_ns)
    if guest.settings.clocks.rtc:
        guest.rtc.step(by_ns)
