"""The MSRs that have to do with clocks: numbers, and words for them.

Sources: Intel SDM volume 4; AMD APM volume 2, appendix A; Linux
Documentation/virt/kvm/x86/msr.rst; Hyper-V TLFS, appendix of synthetic MSRs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ClockMsr(IntEnum):
    """MSRs by number."""

    TSC = 0x10
    KVM_WALL_CLOCK_OLD = 0x11
    KVM_SYSTEM_TIME_OLD = 0x12
    APIC_BASE = 0x1B
    TSC_ADJUST = 0x3B
    FSB_FREQ = 0xCD
    PLATFORM_INFO = 0xCE
    MPERF = 0xE7
    APERF = 0xE8
    TSC_DEADLINE = 0x6E0
    HYPERV_REFERENCE_COUNTER = 0x40000020
    HYPERV_REFERENCE_TSC = 0x40000021
    HYPERV_TSC_FREQUENCY = 0x40000022
    HYPERV_APIC_FREQUENCY = 0x40000023
    HYPERV_TSC_INVARIANT_CONTROL = 0x40000118
    KVM_WALL_CLOCK = 0x4B564D00
    KVM_SYSTEM_TIME = 0x4B564D01
    AMD_TSC_RATIO = 0xC0000104
    AMD_HARDWARE_CONFIGURATION = 0xC0010015
    AMD_PSTATE_0 = 0xC0010064


#: What each of them is, for people.
MSR_WORDS: Mapping[int, str] = {
    ClockMsr.TSC: "time stamp counter",
    ClockMsr.KVM_WALL_CLOCK_OLD: "kvmclock wall clock (old)",
    ClockMsr.KVM_SYSTEM_TIME_OLD: "kvmclock system time (old)",
    ClockMsr.APIC_BASE: "LAPIC base and mode",
    ClockMsr.TSC_ADJUST: "TSC adjust",
    ClockMsr.FSB_FREQ: "front-side bus frequency",
    ClockMsr.PLATFORM_INFO: "platform info (ratio of the TSC)",
    ClockMsr.MPERF: "maximum performance count",
    ClockMsr.APERF: "actual performance count",
    ClockMsr.TSC_DEADLINE: "TSC deadline of the LAPIC timer",
    ClockMsr.HYPERV_REFERENCE_COUNTER: "Hyper-V reference counter",
    ClockMsr.HYPERV_REFERENCE_TSC: "Hyper-V reference TSC page",
    ClockMsr.HYPERV_TSC_FREQUENCY: "Hyper-V TSC frequency",
    ClockMsr.HYPERV_APIC_FREQUENCY: "Hyper-V APIC frequency",
    ClockMsr.HYPERV_TSC_INVARIANT_CONTROL: "Hyper-V TSC invariant control",
    ClockMsr.KVM_WALL_CLOCK: "kvmclock wall clock",
    ClockMsr.KVM_SYSTEM_TIME: "kvmclock system time",
    ClockMsr.AMD_TSC_RATIO: "TSC ratio of guests",
    ClockMsr.AMD_HARDWARE_CONFIGURATION: "hardware configuration (bit 24: TSC at P0 frequency)",
    ClockMsr.AMD_PSTATE_0: "P-state 0",
}
