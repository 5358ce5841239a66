"""A TSC deadline timer over a snapshot: when it was due, and when KVM lets it fire.

KVM turns a written IA32_TSC_DEADLINE into a timer of the host at once, from the TSC that the guest
has at that moment (arch/x86/kvm/lapic.c, start_sw_tscdeadline); a TSC written later does not move
it. A deadline of 0 disarms.
"""

from __future__ import annotations

from typing import NamedTuple

from timehands.simulate.events import TscAt
from timehands.simulate.hosts import cycles
from timehands.simulate.providers.base import Going, Provider, Saved
from timehands.simulate.segments import NS_PER_S, U64


class Timer(NamedTuple):
    """``late_ns`` after it was due by the guest's own TSC (early: below 0); None: never."""

    late_ns: int | None


def restored_timer(t_ns: int, saved: Saved, going: Going, provider: Provider) -> Timer | None:
    """The timer of vCPU 0 when the guest goes on; None when it had none."""
    vmm = going.vmm
    if vmm.deadline_lost:
        return Timer(0 if vmm.mend_lost_deadline else None)
    if vmm.deadline_in_ns is None:
        return None
    deadline = (saved.tsc[0] + cycles(vmm.deadline_in_ns, provider.khz)) & U64
    now = provider.tsc(0).at(t_ns)
    due_ns = max(0, _signed(deadline - now)) * NS_PER_S // provider.tsc(0).hz
    if going.tsc is TscAt.KEEP or not vmm.deadline_before_tsc or not going.new_vm:
        return Timer(0)
    fires_ns = max(0, _signed(deadline)) * NS_PER_S // provider.tsc(0).hz
    return Timer(fires_ns - due_ns)


def _signed(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
