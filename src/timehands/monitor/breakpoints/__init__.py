"""Breakpoints, watchpoints and single steps of a guest's vCPUs, with no debugger attached.

::

    stops = Breakpoints(guest)
    stops.add(Point(0xffffffff81000000), lambda hit: print(hit.vcpu.name, hex(hit.regs.rdi)))
    guest.resume()

Through KVM_SET_GUEST_DEBUG (Documentation/virt/kvm/api.rst). What of it the host's KVM does is
asked of it by trying (`abilities`): not every KVM reports what it accepts.
"""

from timehands.monitor.breakpoints.abilities import Abilities, ask
from timehands.monitor.breakpoints.guest import Breakpoints
from timehands.monitor.breakpoints.model import Hit, Kind, OnHit, OnStep, Point

__all__ = ["Abilities", "Breakpoints", "Hit", "Kind", "OnHit", "OnStep", "Point", "ask"]
