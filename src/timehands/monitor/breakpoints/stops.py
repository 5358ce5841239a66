"""One vCPU that stops: what it came out for, how it gets past a point, single steps.

An instruction at which a vCPU stopped stops it again when it is entered again. To get past, it
executes that one instruction alone, with this point off and all others on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from timehands.kvm.exits import (
    Debugged,
    Exit,
    InternalError,
    Interrupted,
    MmioRead,
    MmioWrite,
    MsrRead,
    MsrWrite,
    PortIn,
    PortOut,
)
from timehands.kvm.numbers import GuestDebug
from timehands.kvm.structs import Regs
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.breakpoints.abilities import BREAKPOINT_VECTOR, Abilities, is_int3
from timehands.monitor.breakpoints.debug_registers import (
    DR6_STEP,
    SLOTS,
    debug_registers,
    reported,
)
from timehands.monitor.breakpoints.model import Hit, Point
from timehands.monitor.breakpoints.patches import Patches
from timehands.monitor.gate import Gate
from timehands.monitor.vcpus import VcpuThread

#: Exits that are a part of an instruction, which KVM finishes when the vCPU is entered again.
_ACCESSES = (PortIn, PortOut, MmioRead, MmioWrite, MsrRead, MsrWrite)


class Told(Protocol):
    """Is told what a vCPU came to, in its thread."""

    def hit(self, hit: Hit) -> None:
        """It is at a point."""

    def stepped(self, vcpu: Vcpu) -> None:
        """It has executed the one instruction that it was to execute."""


class Table:
    """What all vCPUs of a guest stop at, in ``slots`` of the debug registers and as int3s."""

    def __init__(self, patches: Patches) -> None:
        self.slots: list[Point | None] = [None] * SLOTS
        self.patches = patches
        self.abilities = Abilities()


class VcpuStops:
    """What one vCPU does about `Table`. All of it is called while the vCPU is out of the guest.

    ``thread.handlers`` get what concerns us, and while it steps also the accesses.
    """

    def __init__(self, thread: VcpuThread, gate: Gate, table: Table, told: Told) -> None:
        self.vcpu = thread.vcpu
        self._gate, self._table, self._told = gate, table, told
        self._handlers = thread.handlers
        self._usual_broken = thread.handlers[InternalError]
        #: The handlers of accesses, while it steps and ours are in their place.
        self._usual: dict[type, Callable[[Any], None]] = {}
        self._to_step = False
        #: Where it stands when it is to get past points: RIP, and all that are there.
        self._standing: tuple[int, tuple[Point, ...]] | None = None
        #: The points that are off for the present step.
        self._passing: tuple[Point, ...] = ()
        self._single = False
        self._handlers[Debugged] = self._debugged
        self._handlers[InternalError] = self._broken

    def linear_pc(self, regs: Regs | None = None) -> int:
        """Where it is, as a linear address: RIP, and the code segment's base outside of 64 bits."""
        rip: int = (regs or self.vcpu.regs()).rip
        cs = self.vcpu.sregs().cs
        return rip if cs.l else int(rip + cs.base) & 0xFFFF_FFFF

    def step(self) -> None:
        """Have it execute one instruction when it next runs; past a point, if it is at one."""
        self._to_step = True
        self.arm()

    def no_step(self) -> None:
        """It is not to stop after the next instruction, after all."""
        self._to_step = False
        self.arm()

    def arm(self) -> None:
        """Tell KVM what is to come out. To be called after any change, also of its registers."""
        points = self.to_pass()
        for point in set(self._passing).difference(points):
            self._table.patches.lower(point)
        for point in set(points).difference(self._passing):
            self._table.patches.lift(point)
        self._passing = points
        self._single = self._to_step or bool(points)
        self._hear_accesses(self._single)
        registers = debug_registers(self._table.slots, self._off())
        self.vcpu.debug(self._control(self._single), registers)

    def here(self) -> tuple[Point, ...]:
        """The points at which it stands, whether it has told of them or not."""
        return self._points_at(self.linear_pc())

    def to_pass(self) -> tuple[Point, ...]:
        """Those of them that it will get past when it goes on."""
        if self._to_step:
            return self.here()
        if self._standing is None:
            return ()
        rip, points = self._standing
        return points if self.vcpu.regs().rip == rip else ()

    def _off(self) -> tuple[int, ...]:
        return tuple(i for i, point in enumerate(self._table.slots) if point in self._passing)

    def _control(self, single: bool) -> GuestDebug:
        control, flags = GuestDebug(0), self._table.abilities.flags
        if any(self._table.slots):
            control |= GuestDebug.USE_HW_BP
        if self._table.patches:
            control |= GuestDebug.USE_SW_BP
        if single:  # an interrupt would be taken first, and come back to the point
            control |= GuestDebug.SINGLESTEP | GuestDebug.BLOCKIRQ & flags
        return control | GuestDebug.ENABLE if control else control

    def _stand_at(self, regs: Regs) -> None:
        """It has told that it is here: whatever stops it here, it gets past when it goes on."""
        self._standing = (regs.rip, self._points_at(self.linear_pc(regs)))

    def _points_at(self, linear: int) -> tuple[Point, ...]:
        points = [p for p in self._table.slots if p and p.kind.executes and p.address == linear]
        return (*points, *self._int3s_at(linear))

    def _int3s_at(self, linear: int) -> list[Point]:
        """Whose int3 stands at a linear address, also when it was put there by another address."""
        patches = self._table.patches
        physical = self.vcpu.translate(linear) if patches else None
        return [] if physical is None else patches.at_physical(physical)

    # What it came out for

    def _debugged(self, exit: Debugged) -> None:
        if exit.exception == BREAKPOINT_VECTOR:
            if not self._at_int3():
                self._give_back(GuestDebug.INJECT_BP)
            return
        points = list(reported(exit.dr6, self._table.slots, self._off()))
        stepped, to_step = self._single, self._to_step
        self._end_step()
        for point in points:
            self._hit(point)
        if not points and stepped and to_step:
            self._told.stepped(self.vcpu)
        elif not points and not (stepped and exit.dr6 & DR6_STEP):
            self._give_back(GuestDebug.INJECT_DB)
            return
        self.arm()

    def _broken(self, exit: InternalError) -> None:
        if not (is_int3(exit) and self._table.patches and self._at_int3()):
            self._usual_broken(exit)

    def _at_int3(self) -> bool:
        """Whether it came to an int3 of ours; if so, that has been dealt with."""
        regs = self.vcpu.regs()
        linear = self.linear_pc(regs)
        points = self._int3s_at(linear)
        if not points or set(points) <= set(self._passing):
            return False
        self._end_step()
        self._stand_at(regs)
        for point in points:
            if point.address == linear:
                self._hit(point)
        self.arm()
        return True

    def _hit(self, point: Point) -> None:
        regs = self.vcpu.regs()
        if point.kind.executes:
            self._stand_at(regs)
        self._told.hit(Hit(self.vcpu, point, regs, time.monotonic_ns()))

    def _end_step(self) -> None:
        """Whatever it did, it did: what was off for it is on again."""
        self._to_step, self._standing = False, None
        for point in self._passing:
            self._table.patches.lower(point)
        self._passing, self._single = (), False
        self._hear_accesses(False)

    def _give_back(self, how: GuestDebug) -> None:
        """An exception that is the guest's own: it gets it."""
        control = self._control(self._single) | GuestDebug.ENABLE
        how &= self._table.abilities.flags
        registers = debug_registers(self._table.slots, self._off())
        self.vcpu.debug(control | how, registers)

    # Accesses in a step

    def _hear_accesses(self, on: bool) -> None:
        if on == bool(self._usual):
            return
        if on:
            self._usual = {kind: self._handlers[kind] for kind in _ACCESSES}
            self._handlers.update(dict.fromkeys(_ACCESSES, self._access))
        else:
            self._handlers.update(self._usual)
            self._usual = {}

    def _access(self, exit: Exit) -> None:
        """Have the access done, and the instruction with it, before anything else.

        A KVM that emulates the instruction does not come out after that as after a step (Linux
        arch/x86/kvm/x86.c, x86_emulate_instruction: "FIXME"). Entered with an interruption at hand
        it finishes the access and goes no further.
        """
        while isinstance(exit, _ACCESSES):
            self._usual[type(exit)](exit)
            self.vcpu.interrupt()
            exit = self.vcpu.run()
        if isinstance(exit, Interrupted):
            exit = Debugged(1, 0, DR6_STEP, 0)
        if not self._gate.open:  # the wish to come out may have been used up here
            self.vcpu.interrupt()
        handler = self._handlers.get(type(exit))
        if handler is not None:
            handler(exit)
