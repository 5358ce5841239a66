"""What KVM is asked while a guest is restored and resumed, and whether that is in the right order.

`listen` notes each request as an `Event`; `broken` says which of `RULES` does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import sizeof
from dataclasses import dataclass
from typing import Any

import pytest

from timehands.clocks.msr import ClockMsr
from timehands.kvm.descriptor import Descriptor
from timehands.kvm.interruption import Interruption
from timehands.kvm.numbers import Request
from timehands.kvm.structs import MsrEntry, Msrs
from timehands.monitor.snapshot import memory_file, put

#: What is called what in `RULES`; MSRs are by themselves.
_NAMES = {
    Request.SET_CPUID2: "cpuid",
    Request.SET_SREGS: "sregs",
    Request.SET_LAPIC: "lapic",
    Request.SET_IRQCHIP: "irqchip",
    Request.SET_PIT2: "i8254",
    Request.SET_CLOCK: "clock",
    Request.KVMCLOCK_CTRL: "stopped",
    Request.SET_DEVICE_ATTR: "tsc",
    Request.SET_VCPU_EVENTS: "events",
    Request.SET_MP_STATE: "mp_state",
}
_MSRS = {
    ClockMsr.TSC: "tsc",
    ClockMsr.TSC_DEADLINE: "deadline",
    ClockMsr.KVM_WALL_CLOCK: "wall",
    ClockMsr.KVM_SYSTEM_TIME: "pvclock",
}
#: What no restored guest with KVM's chips does without.
NEEDED = {*_NAMES.values(), *_MSRS.values(), "memory", "msr"} - {"clock", "stopped"}
#: Each first one comes before the second, on each vCPU that both are of.
RULES = (
    ("cpuid", "sregs"),
    ("cpuid", "msr"),
    ("wall", "memory"),
    ("memory", "sregs"),
    ("tsc", "lapic"),
    ("tsc", "deadline"),
    ("lapic", "deadline"),
    ("lapic", "irqchip"),
    ("irqchip", "i8254"),
    ("pvclock", "clock"),
    ("pvclock", "stopped"),
    ("tsc", "clock"),
    ("clock", "enter"),
    ("stopped", "enter"),
)


@dataclass(frozen=True, slots=True)
class Event:
    """A request: ``of`` is the vCPU's name, or that of the machine."""

    name: str
    of: str = "machine"


@contextmanager
def listen() -> Iterator[list[Event]]:
    """Note what is asked from when a guest is put together on."""
    events: list[Event] = []
    ask, entering, read = Descriptor.ask, Interruption.entering, memory_file.read
    whole_put = put.put

    def noted_put(*arguments: Any) -> None:
        events.clear()
        whole_put(*arguments)

    def noted_ask(self: Descriptor, request: Request, argument: Any = 0) -> int:
        if request in _NAMES:
            events.append(Event(_NAMES[request], self.name))
        if request == Request.SET_MSRS:
            events.extend(Event(name, self.name) for name in _msr_names(argument))
        return ask(self, request, argument)

    def noted_entering(self: Interruption, vcpu: Any) -> None:
        events.append(Event("enter", vcpu.name))
        entering(self, vcpu)

    def noted_read(*arguments: Any) -> None:
        events.append(Event("memory"))
        read(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Descriptor, "ask", noted_ask)
        patch.setattr(Interruption, "entering", noted_entering)
        patch.setattr(memory_file, "read", noted_read)
        patch.setattr(put, "put", noted_put)
        yield events


def _msr_names(argument: bytearray) -> Iterator[str]:
    count = Msrs.from_buffer_copy(argument).nmsrs
    for entry in (MsrEntry * count).from_buffer_copy(argument, sizeof(Msrs)):
        yield _MSRS.get(entry.index, "msr")


def broken(events: Sequence[Event]) -> set[tuple[str, str]]:
    """The rules that do not hold, and those one of whose events is not there at all."""
    return {rule for rule in RULES if not _holds(events, *rule)}


def _holds(events: Sequence[Event], first: str, second: str) -> bool:
    firsts = [(at, event.of) for at, event in enumerate(events) if event.name == first]
    seconds = [(at, event.of) for at, event in enumerate(events) if event.name == second]
    pairs = [
        (at, later)
        for at, of in firsts
        for later, of_later in seconds
        if of == of_later or "machine" in (of, of_later)
    ]
    return bool(pairs) and all(at < later for at, later in pairs)
