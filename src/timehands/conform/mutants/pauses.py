"""What becomes of pvclock when the whole guest is stopped, saved, and restored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from timehands.conform.monitor_vmm import Bend
from timehands.conform.mutants.mutant import KVMS, OURS, Mutant, become, provider, restored
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.microvm import Microvm
from timehands.monitor.pvclock import Base, Pvclock
from timehands.monitor.settings import Policy


def _based(change: Callable[[Microvm, Base], Base]) -> Bend:
    """The moment from which the time is counted after a pause is another."""

    def bend(guest: Microvm) -> None:
        class Based(Pvclock):
            def set_base(self, base: Base) -> None:
                super().set_base(change(guest, base))

        become(guest.pvclock, Based)

    return bend


def _catches_up(guest: Microvm, base: Base) -> Base:
    if not guest.time.now_ns():
        return base
    gone_ns = max(0, base.host_ns - guest.paused_ns)
    return replace(base, system_ns=base.system_ns + gone_ns)


class _Untold(Pvclock):
    def _publish(self, vcpu: int) -> None:
        self._stopped.discard(vcpu)
        super()._publish(vcpu)


class _ToldForEver(Pvclock):
    def _publish(self, vcpu: int) -> None:
        was = vcpu in self._stopped
        super()._publish(vcpu)
        if was:
            self._stopped.add(vcpu)


class _Forgets(Pvclock):
    """Records stay as they were, until the guest asks for them."""

    def set_base(self, base: Base) -> None:
        self._base = base
        self._due.clear()


class _NeverCtrl(Vcpu):
    def kvmclock_ctrl(self) -> None:
        """Nothing."""


def _no_ctrl(guest: Microvm) -> None:
    for vcpu in guest.vcpus:
        become(vcpu, _NeverCtrl)


class _NeverSet(Vm):
    def set_clock(self, ns: int, *, realtime_ns: int | None = None) -> None:
        """Nothing: KVM's clock has run on."""


class _SetToZero(Vm):
    def set_clock(self, _ns: int, *, realtime_ns: int | None = None) -> None:
        super().set_clock(0, realtime_ns=realtime_ns)


def _vm(kind: type[Vm]) -> Bend:
    return lambda guest: become(guest.vm, kind)


MUTANTS = (
    Mutant(
        "pause-caught-up",
        "the policy is to stand still over a pause, and the time catches up",
        "host.pause_policy",
        _based(_catches_up),
        "firecracker#5809",
    ),
    Mutant(
        "pause-lost",
        "the policy is to catch up after a pause, and the time has stood still",
        "host.pause_policy",
        _based(lambda guest, base: replace(base, system_ns=guest.system_ns)),
        "cloud-hypervisor#8383",
        clocks=replace(OURS, policy=Policy.WALL),
    ),
    Mutant(
        "pause-begins-anew",
        "after a pause the time begins at 0",
        "host.pause_monotonic",
        _based(lambda _guest, base: replace(base, system_ns=0)),
    ),
    Mutant(
        "restore-goes-back",
        "a restored guest's time is half of what it was",
        "host.snapshot_monotonic",
        restored(_based(lambda _guest, base: replace(base, system_ns=base.system_ns // 2))),
        "cloud-hypervisor#7930 (236 s)",
    ),
    Mutant(
        "restore-forgets-records",
        "a restored guest's records are not written anew",
        "host.snapshot_policy",
        restored(provider(_Forgets)),
    ),
    Mutant(
        "pause-untold",
        "GUEST_STOPPED is not set after a pause",
        "host.pause_told",
        provider(_Untold),
    ),
    Mutant(
        "restore-untold",
        "GUEST_STOPPED is not set in a restored guest",
        "host.snapshot_told",
        restored(provider(_Untold)),
        "firecracker#5494",
    ),
    Mutant(
        "pause-told-for-ever",
        "GUEST_STOPPED is set again by each update after a pause",
        "host.pause_told",
        provider(_ToldForEver),
    ),
    Mutant(
        "kvm-pause-untold",
        "KVM's pvclock, and no KVM_KVMCLOCK_CTRL before vCPUs run again",
        "host.pause_told",
        _no_ctrl,
        "firecracker#5494",
        clocks=KVMS,
    ),
    Mutant(
        "kvm-clock-not-set",
        "KVM's pvclock, the policy is to stand still, and no KVM_SET_CLOCK after a pause",
        "host.pause_policy",
        _vm(_NeverSet),
        "who sets none: KVM's clock runs on",
        clocks=KVMS,
    ),
    Mutant(
        "kvm-clock-set-to-0",
        "KVM's pvclock is set to what KVM_GET_CLOCK said before any vCPU ran",
        "host.pause_monotonic",
        _vm(_SetToZero),
        "hyperlight#1422",
        clocks=KVMS,
    ),
)
