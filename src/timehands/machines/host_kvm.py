"""What the KVM of this host offers, found by asking it.

Only questions are asked here, through KVM_CHECK_EXTENSION: no virtual machine is made. Any KVM may
be behind the device, also one with few capabilities, so nothing is assumed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

KVM_DEVICE = Path("/dev/kvm")
#: The only version that there has ever been since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
KVM_API_VERSION = 12
# include/uapi/linux/kvm.h: _IO(KVMIO, nr) with KVMIO 0xAE.
_KVM_GET_API_VERSION = 0xAE00
_KVM_CHECK_EXTENSION = 0xAE03

#: The capabilities that clock work rests on, with their numbers (include/uapi/linux/kvm.h).
KVM_CAPABILITIES: Mapping[str, int] = MappingProxyType(
    {
        "KVM_CAP_IRQCHIP": 0,
        "KVM_CAP_NR_VCPUS": 9,
        "KVM_CAP_SET_GUEST_DEBUG": 23,
        "KVM_CAP_PIT2": 33,
        "KVM_CAP_PIT_STATE2": 35,
        "KVM_CAP_XEN_HVM": 38,
        "KVM_CAP_ADJUST_CLOCK": 39,
        "KVM_CAP_HYPERV": 44,
        "KVM_CAP_TSC_CONTROL": 60,
        "KVM_CAP_GET_TSC_KHZ": 61,
        "KVM_CAP_MAX_VCPUS": 66,
        "KVM_CAP_TSC_DEADLINE_TIMER": 72,
        "KVM_CAP_KVMCLOCK_CTRL": 76,
        "KVM_CAP_HYPERV_TIME": 96,
        "KVM_CAP_GUEST_DEBUG_HW_BPS": 119,
        "KVM_CAP_GUEST_DEBUG_HW_WPS": 120,
        "KVM_CAP_SPLIT_IRQCHIP": 121,
        "KVM_CAP_IMMEDIATE_EXIT": 136,
        "KVM_CAP_GET_MSR_FEATURES": 153,
        "KVM_CAP_X86_USER_SPACE_MSR": 188,
        "KVM_CAP_X86_MSR_FILTER": 189,
        "KVM_CAP_ENFORCE_PV_FEATURE_CPUID": 190,
        "KVM_CAP_SET_GUEST_DEBUG2": 195,
        "KVM_CAP_VM_TSC_CONTROL": 214,
        "KVM_CAP_X86_TRIPLE_FAULT_EVENT": 218,
        "KVM_CAP_X86_APIC_BUS_CYCLES_NS": 237,
    }
)

#: What each of them is for, in a clock engineer's words.
KVM_CAPABILITY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "KVM_CAP_IRQCHIP": "PIC, IOAPIC and LAPIC in the kernel",
        "KVM_CAP_NR_VCPUS": "vCPUs recommended for one machine",
        "KVM_CAP_SET_GUEST_DEBUG": "single steps and breakpoints",
        "KVM_CAP_PIT2": "i8254 in the kernel",
        "KVM_CAP_PIT_STATE2": "i8254 state read and set",
        "KVM_CAP_XEN_HVM": "Xen clock and hypercalls for guests",
        "KVM_CAP_ADJUST_CLOCK": "KVM_GET_CLOCK and KVM_SET_CLOCK; bits: stable, realtime, host TSC",
        "KVM_CAP_HYPERV": "Hyper-V clock MSRs",
        "KVM_CAP_TSC_CONTROL": "guest TSC at another rate than the host's (scaling)",
        "KVM_CAP_GET_TSC_KHZ": "guest TSC rate told in kHz",
        "KVM_CAP_MAX_VCPUS": "vCPUs possible for one machine",
        "KVM_CAP_TSC_DEADLINE_TIMER": "LAPIC timer with TSC deadline",
        "KVM_CAP_KVMCLOCK_CTRL": "guest told through pvclock that it was paused",
        "KVM_CAP_HYPERV_TIME": "Hyper-V reference counter and TSC page",
        "KVM_CAP_GUEST_DEBUG_HW_BPS": "hardware breakpoints; value: how many",
        "KVM_CAP_GUEST_DEBUG_HW_WPS": "hardware watchpoints; value: how many",
        "KVM_CAP_SPLIT_IRQCHIP": "LAPIC in the kernel, the other chips in user space",
        "KVM_CAP_IMMEDIATE_EXIT": "a vCPU leaves the guest at once when asked",
        "KVM_CAP_GET_MSR_FEATURES": "MSR features listed",
        "KVM_CAP_X86_USER_SPACE_MSR": "MSR accesses handed to user space",
        "KVM_CAP_X86_MSR_FILTER": "chosen MSRs handed to user space",
        "KVM_CAP_ENFORCE_PV_FEATURE_CPUID": "paravirtual features only as CPUID says",
        "KVM_CAP_SET_GUEST_DEBUG2": "debug flags that are known",
        "KVM_CAP_VM_TSC_CONTROL": "TSC rate of a whole machine",
        "KVM_CAP_X86_TRIPLE_FAULT_EVENT": "triple faults kept as an event",
        "KVM_CAP_X86_APIC_BUS_CYCLES_NS": "LAPIC timer rate chosen",
    }
)


@dataclass(frozen=True, slots=True)
class Kvm:
    """The host's KVM. ``error`` says why it cannot be used, and is empty when it can.

    ``api_version`` is None when it could not be asked. ``capabilities`` pairs each name of
    `KVM_CAPABILITIES` with the answer of KVM_CHECK_EXTENSION: 0 means absent, and what another
    number means depends on the capability.
    """

    exists: bool
    opens: bool
    error: str
    api_version: int | None
    capabilities: tuple[tuple[str, int], ...]

    @property
    def usable(self) -> bool:
        """Whether a machine could run on it: it opens and speaks the one API version."""
        return self.opens and self.api_version == KVM_API_VERSION

    def value(self, name: str) -> int:
        """KVM's answer for the capability; 0 for one that is absent or was not asked for."""
        return dict(self.capabilities).get(name, 0)

    def has(self, name: str) -> bool:
        """Whether KVM has the capability."""
        return self.value(name) > 0


def survey_kvm(device: Path = KVM_DEVICE) -> Kvm:
    """Ask the KVM behind ``device``. Never fails: why it is of no use is in ``error``."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        there = not isinstance(error, FileNotFoundError)
        return Kvm(there, False, error.strerror or str(error), None, ())
    try:
        return _ask(descriptor)
    finally:
        os.close(descriptor)


def _ask(descriptor: int) -> Kvm:
    version = _answer(descriptor, _KVM_GET_API_VERSION, 0)
    if version != KVM_API_VERSION:
        said = "does not answer as KVM" if version is None else f"speaks KVM API {version}, not 12"
        return Kvm(True, True, said, version, ())
    asked = (
        (name, _answer(descriptor, _KVM_CHECK_EXTENSION, number))
        for name, number in KVM_CAPABILITIES.items()
    )
    return Kvm(True, True, "", version, tuple((name, value or 0) for name, value in asked))


def _answer(descriptor: int, request: int, argument: int) -> int | None:
    try:
        return fcntl.ioctl(descriptor, request, argument)
    except OSError:
        return None
