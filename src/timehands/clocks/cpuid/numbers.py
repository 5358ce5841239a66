"""The numbers of CPUID that matter to clocks: leaves, feature bits, hypervisor names.

Sources: Intel SDM volume 2A, instruction CPUID; AMD APM volume 3, appendix E; Linux
Documentation/virt/kvm/x86/cpuid.rst and arch/x86/include/uapi/asm/kvm_para.h; Xen
public/arch-x86/cpuid.h; Hyper-V TLFS chapter 2 and 3; VMware knowledge base 1009458 (leaf
0x40000010). What people read is in `timehands.clocks.cpuid.describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag


class Leaf(IntEnum):
    """Leaves by number. The hypervisor leaves are those of the base 0x40000000."""

    BASIC_LIMIT = 0x0
    FEATURES = 0x1
    THERMAL_AND_POWER = 0x6
    STRUCTURED_FEATURES = 0x7
    TSC_CRYSTAL = 0x15
    PROCESSOR_MHZ = 0x16
    HYPERVISOR_LIMIT = 0x40000000
    HYPERVISOR_FEATURES = 0x40000001
    HYPERVISOR_TIME = 0x40000003
    TIMING = 0x40000010
    EXTENDED_LIMIT = 0x80000000
    EXTENDED_FEATURES = 0x80000001
    BRAND_1 = 0x80000002
    BRAND_2 = 0x80000003
    BRAND_3 = 0x80000004
    POWER_MANAGEMENT = 0x80000007


#: The hypervisor leaves start at one of these bases, 0x100 apart.
HYPERVISOR_BASES = range(0x40000000, 0x40010000, 0x100)
#: No range of leaves is longer than this, whatever its limit says.
RANGE_LENGTH = 0x100


class Leaf1Ecx(IntFlag):
    """Leaf 0x1, ECX."""

    X2APIC = 1 << 21
    TSC_DEADLINE = 1 << 24
    HYPERVISOR = 1 << 31


class Leaf1Edx(IntFlag):
    """Leaf 0x1, EDX."""

    TSC = 1 << 4
    MSR = 1 << 5
    APIC = 1 << 9


class Leaf6Eax(IntFlag):
    """Leaf 0x6, EAX."""

    ARAT = 1 << 2


class Leaf7Ebx(IntFlag):
    """Leaf 0x7 subleaf 0, EBX."""

    TSC_ADJUST = 1 << 1


class Extended1Edx(IntFlag):
    """Leaf 0x80000001, EDX."""

    RDTSCP = 1 << 27


class Extended7Edx(IntFlag):
    """Leaf 0x80000007, EDX."""

    INVARIANT_TSC = 1 << 8


class KvmFeature(IntFlag):
    """KVM's leaf base + 1, EAX."""

    CLOCKSOURCE = 1 << 0
    NOP_IO_DELAY = 1 << 1
    MMU_OP = 1 << 2
    CLOCKSOURCE2 = 1 << 3
    ASYNC_PF = 1 << 4
    STEAL_TIME = 1 << 5
    PV_EOI = 1 << 6
    PV_UNHALT = 1 << 7
    PV_TLB_FLUSH = 1 << 9
    ASYNC_PF_VMEXIT = 1 << 10
    PV_SEND_IPI = 1 << 11
    POLL_CONTROL = 1 << 12
    PV_SCHED_YIELD = 1 << 13
    ASYNC_PF_INT = 1 << 14
    MSI_EXT_DEST_ID = 1 << 15
    HC_MAP_GPA_RANGE = 1 << 16
    MIGRATION_CONTROL = 1 << 17
    CLOCKSOURCE_STABLE = 1 << 24


class KvmHint(IntFlag):
    """KVM's leaf base + 1, EDX."""

    REALTIME = 1 << 0


class XenTimeFlag(IntFlag):
    """Xen's leaf base + 3 subleaf 0, EAX."""

    EMULATED = 1 << 0
    HOST_TSC_RELIABLE = 1 << 1
    RDTSCP = 1 << 2


class HyperVAccess(IntFlag):
    """Hyper-V's leaf 0x40000003, EAX: what the partition may use."""

    REFERENCE_COUNTER = 1 << 1
    SYNTHETIC_TIMERS = 1 << 3
    REFERENCE_TSC = 1 << 9
    FREQUENCY_MSRS = 1 << 11
    TSC_INVARIANT_CONTROL = 1 << 15


class HyperVFeature(IntFlag):
    """Hyper-V's leaf 0x40000003, EDX: what is there."""

    FREQUENCY_MSRS = 1 << 8


#: Hyper-V's leaf 0x40000001 EAX when the interface is the one of the specification: "Hv#1".
HYPERV_INTERFACE = 0x31237648

KVM = "KVMKVMKVM"
XEN = "XenVMMXenVMM"
HYPERV = "Microsoft Hv"
VMWARE = "VMwareVMware"

#: The product behind a signature (EBX, ECX, EDX of the base leaf, in this order, without zeros).
HYPERVISOR_NAMES: Mapping[str, str] = {
    KVM: "KVM",
    "TCGTCGTCGTCG": "QEMU TCG",
    XEN: "Xen",
    HYPERV: "Hyper-V",
    VMWARE: "VMware",
    "bhyve bhyve ": "bhyve",
    "___ NVMM ___": "NVMM",
    "VBoxVBoxVBox": "VirtualBox",
    "ACRNACRNACRN": "ACRN",
    "HVFHVFHVFHVF": "QEMU HVF",
    "OpenBSDVMM58": "OpenBSD vmm",
    "QNXQVMBSQG": "QNX",
    "prl hyperv  ": "Parallels",
    "SRESRESRESRE": "Lockheed Martin LMHS",
    "Jailhouse": "Jailhouse",
    "UnisysSpar64": "Unisys s-Par",
}
