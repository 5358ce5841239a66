"""The TSC and its deadline timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import MASK_64
from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import Mutant
from timehands.errors import HostError
from timehands.kvm import Kvm
from timehands.kvm.exits import MsrWrite, PortIn, PortOut
from timehands.kvm.msr_filter import denying
from timehands.kvm.numbers import MsrFilterFlags
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import MSRS
from timehands.monitor.snapshot.tsc import can_be_set
from timehands.monitor.vcpus import VcpuThread

_APART = 1 << 40
_LATE_MS = 50

#: What to set when a guest writes a deadline: the TSC of now, what it wrote, the TSC's kHz. None:
#: nothing is set.
Timer = Callable[[int, int, int], int | None]


def _movable() -> str:
    try:
        with Kvm() as kvm:
            return "" if can_be_set(kvm) else "a KVM that moves a guest's TSC when it is written"
    except HostError as error:
        return error.message


def _on_msr_write(guest: Microvm, msr: int, handle: Callable[[VcpuThread, int], None]) -> None:
    """Have writes of another MSR come out, too; one that nobody answers faults."""
    others = denying([msr], MsrFilterFlags.WRITE)
    guest.vm.filter_msrs((*denying(MSRS), *others))
    for thread in guest.threads:
        usual = thread.handlers[MsrWrite]

        def told(
            exit: MsrWrite, thread: VcpuThread = thread, usual: Callable[[Any], None] = usual
        ) -> None:
            if exit.index == msr:
                handle(thread, exit.value)
            else:
                usual(exit)

        thread.handlers[MsrWrite] = told


def _refused(guest: Microvm) -> None:
    _on_msr_write(guest, ClockMsr.TSC, lambda _thread, _value: None)


def _deadlines(timer: Timer) -> Bend:
    """The deadline timer is armed otherwise."""

    def bend(guest: Microvm) -> None:
        def handle(thread: VcpuThread, value: int) -> None:
            vcpu = thread.vcpu
            at = timer(vcpu.msr(ClockMsr.TSC), value, guest.tsc_khz)
            if at is not None:
                vcpu.set_msrs({ClockMsr.TSC_DEADLINE: at})
            vcpu.answer(0)

        _on_msr_write(guest, ClockMsr.TSC_DEADLINE, handle)

    return bend


def _stands_still_outside(guest: Microvm) -> None:
    """After each exit by a port the TSC goes on from what it was when the exit came."""
    for thread in guest.threads:
        for kind in (PortIn, PortOut):
            usual = thread.handlers[kind]

            def put_back(
                exit: PortIn | PortOut,
                thread: VcpuThread = thread,
                usual: Callable[[Any], None] = usual,
            ) -> None:
                before = thread.vcpu.msr(ClockMsr.TSC)
                usual(exit)
                thread.vcpu.set_msrs({ClockMsr.TSC: before})

            thread.handlers[kind] = put_back


def _apart(guest: Microvm) -> None:
    for number, vcpu in enumerate(guest.vcpus):
        tsc = vcpu.msr(ClockMsr.TSC) + number * _APART
        vcpu.set_msrs({ClockMsr.TSC: tsc & MASK_64})


def _half_way(now: int, value: int, _khz: int) -> int:
    return now + (value - now) // 2 if value > now else value


def _late(_now: int, value: int, khz: int) -> int:
    return value + _LATE_MS * khz if value else 0


MUTANTS = (
    Mutant(
        "tsc-put-back",
        "after an exit the TSC goes on from its value at the exit",
        "tsc.rate",
        _stands_still_outside,
        "NVMM (NetBSD PR 59862)",
        lacking=_movable,
    ),
    Mutant(
        "tsc-apart",
        "the second vCPU's TSC is minutes ahead",
        "tsc.offset",
        _apart,
        "firecracker#6200",
        lacking=_movable,
    ),
    Mutant(
        "tsc-write-refused",
        "a write of IA32_TSC faults",
        "tsc.write",
        _refused,
        lacking=_movable,
    ),
    Mutant(
        "deadline-never",
        "a TSC deadline is taken, and nothing comes",
        "tsc.deadline",
        _deadlines(lambda _now, _value, _khz: None),
        "who restores the deadline before the TSC (firecracker#4666)",
    ),
    Mutant(
        "deadline-not-disarmed",
        "writing 0 does not disarm the TSC deadline",
        "tsc.deadline",
        _deadlines(lambda _now, value, _khz: value or None),
        "firecracker#4618 (a deadline of 0)",
    ),
    Mutant(
        "deadline-past-forgotten",
        "a TSC deadline that is over does not come at once",
        "tsc.deadline",
        _deadlines(lambda now, value, _khz: None if 0 < value <= now else value),
    ),
    Mutant(
        "deadline-early",
        "a TSC deadline comes after half of the time",
        "sleeping.deadline",
        _deadlines(_half_way),
    ),
    Mutant(
        "deadline-late",
        f"each TSC deadline comes {_LATE_MS} ms late",
        "sleeping.deadline",
        _deadlines(_late),
        "timers of the host's resolution (NetBSD PR 43997)",
    ),
)
