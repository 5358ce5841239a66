"""One vCPU's stops on a KVM that does what a test says, as full ones do, and emulating ones."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

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
from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.numbers import GuestDebug, MemoryFlags
from timehands.kvm.structs import Regs, Sregs
from timehands.monitor.breakpoints import Abilities, Hit, Kind, Point
from timehands.monitor.breakpoints.patches import Patches
from timehands.monitor.breakpoints.stops import Table, VcpuStops

ALL = ~GuestDebug(0)
HEARD = (PortIn, PortOut, MmioRead, MmioWrite, MsrRead, MsrWrite, InternalError)
STEP, HIT_0, HIT_1 = 0x4000, 1, 2
CALL, DATA = Point(0x1000), Point(0x2000, Kind.WRITE, 4)
SOFT = Point(0x1000, Kind.SOFTWARE)


class Fake:
    """A vCPU, its thread, and what became of them. ``exits`` are those of `run`, in order."""

    def __init__(self, *points: Point, flags: GuestDebug = ALL) -> None:
        memory = GuestMemory()
        memory.add(make_slot(0, 0, 0x4000, MemoryFlags.NONE))
        self.memory, self.table = memory, Table(Patches(memory))
        self.table.abilities = Abilities(flags=flags)
        for index, point in enumerate(points):
            if point.kind is Kind.SOFTWARE:
                self.table.patches.insert(point, point.address)
            else:
                self.table.slots[index] = point
        self.rip, self.number, self.name = 0x1000, 0, "vCPU 0"
        self.control, self.dr7 = GuestDebug(0), 0
        self.exits: list[Exit] = []
        self.did: list[Any] = []
        self.handlers: dict[type, Any] = dict.fromkeys(HEARD, self.did.append)
        self.gate = SimpleNamespace(open=True)
        thread: Any = SimpleNamespace(vcpu=self, handlers=self.handlers)
        self.stops = VcpuStops(thread, self.gate, self.table, self)  # type: ignore[arg-type]
        self.stops.arm()

    def come_out(self, exit: Exit) -> None:
        """What the vCPU's thread does about an exit."""
        self.handlers[type(exit)](exit)

    def regs(self) -> Regs:
        return Regs(rip=self.rip)

    def sregs(self) -> Sregs:
        sregs = Sregs()
        sregs.cs.l = 1
        return sregs

    def translate(self, linear: int) -> int:
        return linear

    def debug(self, control: GuestDebug, registers: tuple[int, ...]) -> None:
        self.control, self.dr7 = control, registers[7]

    def interrupt(self) -> None:
        self.did.append("interrupt")

    def run(self) -> Exit:
        return self.exits.pop(0)

    def hit(self, hit: Hit) -> None:
        self.did.append(hit.point)

    def stepped(self, _vcpu: object) -> None:
        self.did.append("stepped")

    @property
    def code(self) -> bytes:
        """The byte at which it starts."""
        return self.memory.read(0x1000, 1)


def flags(*names: str) -> GuestDebug:
    """These, and ENABLE."""
    result = GuestDebug.ENABLE
    for name in names:
        result |= GuestDebug[name]
    return result


def debugged(dr6: int, pc: int = 0x1000, exception: int = 1) -> Debugged:
    return Debugged(exception, pc, dr6, 0)


def test_it_gets_past_a_point_by_one_step_with_only_that_one_off() -> None:
    fake = Fake(CALL, DATA)
    assert (fake.control, fake.dr7 & 0xFF) == (flags("USE_HW_BP"), 0b1010)
    fake.come_out(debugged(HIT_0))
    assert fake.did == [CALL]
    assert fake.control == flags("USE_HW_BP", "SINGLESTEP", "BLOCKIRQ")
    assert fake.dr7 & 0xFF == 0b1000
    fake.rip = 0x1003
    fake.come_out(debugged(STEP, 0x1003))
    assert (fake.did, fake.control) == ([CALL], flags("USE_HW_BP"))
    assert fake.dr7 & 0xFF == 0b1010


def test_where_interrupts_cannot_be_held_back_they_are_not() -> None:
    fake = Fake(CALL, flags=ALL & ~GuestDebug.BLOCKIRQ)
    fake.come_out(debugged(HIT_0))
    assert fake.control == flags("USE_HW_BP", "SINGLESTEP")


def test_a_step_onto_a_point_is_hit_next() -> None:
    fake = Fake(Point(0x1000), Point(0x1003))
    fake.come_out(debugged(HIT_0))
    fake.rip = 0x1003
    fake.come_out(debugged(STEP, 0x1003))
    assert fake.dr7 & 0xFF == 0b1010
    fake.come_out(debugged(HIT_1, 0x1003))
    assert fake.did == [Point(0x1000), Point(0x1003)]


def test_a_watchpoint_is_told_after_the_write_and_nothing_is_to_get_past() -> None:
    fake = Fake(CALL, DATA)
    fake.rip = 0x1800
    fake.come_out(debugged(HIT_1, 0x1800))
    assert (fake.did, fake.control) == ([DATA], flags("USE_HW_BP"))


def test_a_watchpoint_in_a_step_is_told_and_the_step_is_done() -> None:
    fake = Fake(CALL, DATA)
    fake.stops.step()
    fake.rip = 0x1003
    fake.come_out(debugged(STEP | HIT_1, 0x1003))
    assert (fake.did, fake.control) == ([DATA], flags("USE_HW_BP"))


def test_an_int3_is_away_for_the_step_past_it() -> None:
    fake = Fake(SOFT)
    assert (fake.control, fake.code) == (flags("USE_SW_BP"), b"\xcc")
    fake.come_out(debugged(0, exception=3))
    assert (fake.did, fake.code) == ([SOFT], b"\0")
    fake.rip = 0x1001
    fake.come_out(debugged(STEP, 0x1001))
    assert (fake.did, fake.code) == ([SOFT], b"\xcc")


def test_an_int3_that_kvm_cannot_emulate_is_one_too() -> None:
    fake = Fake(SOFT)
    fake.come_out(InternalError(1, ()))
    assert (fake.did, fake.code) == ([SOFT], b"\0")


def test_other_errors_of_kvm_are_no_points() -> None:
    fake = Fake(SOFT)
    fake.rip = 0x1001
    errors = [InternalError(1, ()), InternalError(3, ())]
    for error in errors:
        fake.come_out(error)
    assert fake.did == errors


def test_the_guests_own_exceptions_are_given_back() -> None:
    fake = Fake(CALL, SOFT)
    fake.rip = 0x1005
    fake.come_out(debugged(0, 0x1005, exception=3))
    assert fake.control & GuestDebug.INJECT_BP
    fake.come_out(debugged(STEP, 0x1005))
    assert fake.control & GuestDebug.INJECT_DB
    assert fake.did == []


def test_the_same_code_at_another_address_is_got_past_in_silence() -> None:
    fake = Fake(SOFT)
    fake.translate = lambda linear: linear & 0xFFFF  # type: ignore[method-assign]
    fake.rip = 0x8000_1000
    fake.come_out(debugged(0, 0x8000_1000, exception=3))
    assert (fake.did, fake.code) == ([], b"\0")
    fake.rip = 0x8000_1001
    fake.come_out(debugged(STEP, 0x8000_1001))
    assert fake.code == b"\xcc"


def test_a_point_that_goes_while_it_is_told_is_not_stepped_over_twice() -> None:
    fake = Fake(SOFT)

    def remove(_hit: Hit) -> None:
        fake.table.patches.remove(SOFT)

    fake.hit = remove  # type: ignore[method-assign]
    fake.come_out(debugged(0, exception=3))
    fake.rip = 0x1001
    fake.come_out(debugged(STEP, 0x1001))
    assert (fake.code, fake.control) == (b"\0", GuestDebug(0))


def test_a_vcpu_that_was_sent_elsewhere_has_nothing_to_get_past() -> None:
    fake = Fake(CALL)

    def send(_hit: Hit) -> None:
        fake.rip = 0x1500

    fake.hit = send  # type: ignore[method-assign]
    fake.come_out(debugged(HIT_0))
    assert (fake.control, fake.dr7 & 0xFF) == (flags("USE_HW_BP"), 0b10)


def steps_over(accesses: Iterable[Exit], after: Exit) -> Fake:
    """A step over an instruction that makes these accesses; ``after``: what comes last."""
    fake = Fake(CALL)
    fake.stops.step()
    first, *others = accesses
    fake.exits = [*others, after]
    fake.rip = 0x1001
    fake.come_out(first)
    return fake


def test_a_step_over_an_access_ends_though_kvm_does_not_say_so() -> None:
    out = PortOut(0x80, 1, b"\0")
    assert steps_over([out], Interrupted()).did == [out, "interrupt", "stepped"]


def test_a_step_over_an_access_ends_once_where_kvm_says_so() -> None:
    read = PortIn(0x80, 1, 1)
    fake = steps_over([read], debugged(STEP, 0x1002))
    assert fake.did == [read, "interrupt", "stepped"]
    assert fake.handlers[PortIn] == fake.did.append  # as without a step


def test_an_instruction_of_several_accesses_is_one_step() -> None:
    both = [MmioRead(0xD000_0000, 4), MmioWrite(0xD000_0010, b"1234")]
    fake = steps_over(both, Interrupted())
    assert fake.did == [both[0], "interrupt", both[1], "interrupt", "stepped"]


def test_a_wish_to_come_out_is_not_used_up_by_a_step() -> None:
    fake = Fake(CALL)
    fake.stops.step()
    fake.gate.open = False
    fake.exits = [Interrupted()]
    fake.come_out(PortIn(0x80, 1, 1))
    assert fake.did[1:] == ["interrupt", "interrupt", "stepped"]
