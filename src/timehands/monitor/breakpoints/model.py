"""What a vCPU is to stop at, and what it tells when it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from timehands.errors import BreakpointImpossible
from timehands.kvm.structs import Regs
from timehands.kvm.vcpu import Vcpu

_TOP = 1 << 64
_LENGTHS = (1, 2, 4, 8)


class Kind(Enum):
    """What a point stops at, and by what means.

    ``SOFTWARE`` is an int3 in the guest's memory: there may be any number of them, and the guest
    could see them. The others take one of the processor's four debug registers.
    """

    EXECUTE = "hardware breakpoint"
    SOFTWARE = "software breakpoint"
    WRITE = "watchpoint for writes"
    ACCESS = "watchpoint for reads and writes"

    @property
    def executes(self) -> bool:
        """Whether it stops before an instruction; watchpoints stop after the access."""
        return self in (Kind.EXECUTE, Kind.SOFTWARE)


@dataclass(frozen=True, slots=True)
class Point:
    """``address`` is linear (virtual), ``length`` in bytes: 1 for instructions, or 1, 2, 4 or 8.

    Raises `BreakpointImpossible` for what no processor has (Intel SDM volume 3B, 18.2.5).
    """

    address: int
    kind: Kind = Kind.EXECUTE
    length: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.address < _TOP:
            raise BreakpointImpossible(self, "the address does not fit into 64 bits")
        if self.kind.executes and self.length != 1:
            raise BreakpointImpossible(self, "an instruction is found by its first byte: length 1")
        if self.length not in _LENGTHS or self.address % self.length:
            raise BreakpointImpossible(
                self, "a watchpoint spans 1, 2, 4 or 8 bytes, at a multiple of that"
            )

    def __str__(self) -> str:
        span = "" if self.kind.executes else f" of {self.length} bytes"
        return f"a {self.kind.value}{span} at {self.address:#x}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A vCPU is at a point. It stands still meanwhile, out of the guest, and may be looked at.

    ``regs`` is what it had then: before the instruction of a breakpoint, after the one that a
    watchpoint saw. ``host_ns`` is the host's monotonic time.
    """

    vcpu: Vcpu
    point: Point
    regs: Regs
    host_ns: int


#: Called in the thread of the vCPU. When it returns, the vCPU goes on.
OnHit = Callable[[Hit], None]
OnStep = Callable[[Vcpu], None]
