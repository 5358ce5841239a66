"""The TSCs of a guest's vCPUs: read as of one moment, and set so that equal ones stay equal.

Where KVM tells a vCPU's TSC offset (KVM_VCPU_TSC_OFFSET; Linux 5.16) that is exact: all are set by
offsets that differ as they did, and KVM sees that they match (arch/x86/kvm/x86.c,
__kvm_synchronize_tsc), without which pvclock loses its STABLE flag. Else the MSR is written, and
KVM makes those equal that are written the same value within a second; it takes a 0 there as a
processor's reset and drops it, so 1 is written instead.

Some KVMs (emulated ones, at least) give guests the host's own TSC and drop all of this in silence;
`can_be_set` finds out.
"""

from __future__ import annotations

from collections.abc import Sequence

from timehands.clocks.pvclock.numbers import MASK_64
from timehands.kvm.numbers import Capability
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.host_tsc import host_tsc
from timehands.monitor.snapshot.state import TSC
from timehands.monitor.systemtime import tsc_now


def read(vcpus: Sequence[Vcpu]) -> tuple[int, int, tuple[int, ...]]:
    """The first vCPU's TSC, the host's monotonic time then (ns), and how far each is ahead."""
    ahead = tuple(_ahead(vcpu, vcpus[0]) for vcpu in vcpus)
    tsc, host_ns = tsc_now(vcpus[0])
    return tsc, host_ns, ahead


def _ahead(vcpu: Vcpu, first: Vcpu) -> int:
    if vcpu is first:
        return 0
    if vcpu.vm.has(Capability.VCPU_ATTRIBUTES):
        return signed(vcpu.tsc_offset() - first.tsc_offset())
    before, value, after = first.msr(TSC), vcpu.msr(TSC), first.msr(TSC)
    within = value - before & MASK_64 <= after - before & MASK_64
    return 0 if within else signed(value - (before + after) // 2)


def signed(value: int) -> int:
    """A difference of two TSCs: the nearer way round."""
    value &= MASK_64
    return value - (1 << 64) if value >> 63 else value


def set_all(vcpus: Sequence[Vcpu], tsc: int, ahead: Sequence[int]) -> None:
    """Let the first vCPU's TSC be ``tsc`` now, and the others' that far ahead of it."""
    first = vcpus[0]
    if first.vm.has(Capability.VCPU_ATTRIBUTES):
        offset = first.tsc_offset() + tsc - tsc_now(first)[0]
        for vcpu, cycles in zip(vcpus, ahead, strict=True):
            vcpu.set_tsc_offset(offset + cycles & MASK_64)
        return
    for vcpu, cycles in zip(vcpus, ahead, strict=True):
        vcpu.set_msrs({TSC: tsc + cycles & MASK_64 or 1})


def can_be_set(kvm: Kvm) -> bool:
    """Whether this KVM lets a guest's TSC be set: tried on a machine made for that."""
    return host_tsc(kvm).moves


def host_khz(kvm: Kvm) -> int:
    """The rate of a TSC that is not scaled, in kHz: the host's. Raises `KvmLacks`."""
    with Vm(kvm) as vm:
        return vm.add_vcpu().tsc_khz()
