"""What a mutant is: our monitor, one defect in its clocks, and the case that must catch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from timehands.conform.monitor_vmm import Bend
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import Pvclock
from timehands.monitor.settings import Clocks, Maker, Published

#: Our own clocks, where they are ours; and KVM's.
OURS = Clocks(
    pvclock=Maker.OURS, pit=Maker.OURS, published=(Published.TIMING, Published.CRYSTAL)
)  # fmt: skip
KVMS = Clocks(pvclock=Maker.KVM)
#: Where no public report is known to us.
CLASSIC = "a classic mistake"


def can_be_shown() -> str:
    """Nothing is lacking."""
    return ""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect.

    ``what`` says it in a line, ``seen_in`` who had it, ``case`` the id of the case that must fail.
    ``bend`` plants it, before the guest runs and again in what a snapshot was restored to.
    ``lacking`` tells what this host lacks to show it, or nothing; it may open KVM.
    """

    name: str
    what: str
    case: str
    bend: Bend
    seen_in: str = CLASSIC
    clocks: Clocks = field(default=OURS, repr=False)
    lacking: Callable[[], str] = can_be_shown


def become(thing: object, kind: type) -> None:
    """The object is one of this class from now on: its state stays, some methods are bent."""
    thing.__class__ = kind


def provider(kind: type[Pvclock]) -> Bend:
    """The guest's pvclock is one of this class."""

    def bend(guest: Microvm) -> None:
        become(guest.pvclock, kind)

    return bend


def restored(bend: Bend) -> Bend:
    """A defect that only a guest has that was restored."""

    def later(guest: Microvm) -> None:
        if guest.time.now_ns() > 0:
            bend(guest)

    return later
