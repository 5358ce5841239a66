"""Named numbers that a system's source uses and its debug information does not have: macros.

Only those that clocks are about: CPUID features, MSRs. In expressions they are as in the source:
``cpu_feature & CPUID_TSC``.

Sources: Intel SDM volume 2 (CPUID) and volume 4 (MSRs) for the numbers; for the names FreeBSD
sys/x86/include/specialreg.h, NetBSD sys/arch/x86/include/specialreg.h, OpenBSD
sys/arch/amd64/include/specialreg.h, Linux arch/x86/include/asm/msr-index.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BSD: Final = {
    "CPUID_TSC": 0x10,
    "CPUID_MSR": 0x20,
    "CPUID_APIC": 0x200,
    "CPUID2_X2APIC": 1 << 21,
    "MSR_TSC": 0x10,
}
_FREEBSD: Final = {
    "CPUID2_TSCDLT": 1 << 24,
    "CPUID2_HV": 1 << 31,
    "AMDID_RDTSCP": 1 << 27,
    "AMDPM_TSC_INVARIANT": 1 << 8,
    "CPUID_STDEXT_TSC_ADJUST": 1 << 1,
    "MSR_APICBASE": 0x1B,
    "MSR_TSC_DEADLINE": 0x6E0,
    "MSR_TSC_AUX": 0xC0000103,
}
_NETBSD: Final = {
    "CPUID2_DEADLINE": 1 << 24,
    "CPUID2_RAZ": 1 << 31,
    "CPUID_RDTSCP": 1 << 27,
    "CPUID_APM_ITSC": 1 << 8,
    "CPUID_SEF_TSC_ADJUST": 1 << 1,
    "MSR_APICBASE": 0x1B,
    "MSR_RDTSCP_AUX": 0xC0000103,
}
_LINUX: Final = {
    "MSR_IA32_TSC": 0x10,
    "MSR_IA32_APICBASE": 0x1B,
    "MSR_IA32_TSC_ADJUST": 0x3B,
    "MSR_IA32_TSC_DEADLINE": 0x6E0,
    "MSR_TSC_AUX": 0xC0000103,
    "MSR_KVM_WALL_CLOCK_NEW": 0x4B564D00,
    "MSR_KVM_SYSTEM_TIME_NEW": 0x4B564D01,
}
_CONSTANTS: Final[Mapping[str, Mapping[str, int]]] = {
    "freebsd": {**_BSD, **_FREEBSD},
    "netbsd": {**_BSD, **_NETBSD},
    "openbsd": _BSD,
    "linux": _LINUX,
}


def constants_of(system: str) -> Mapping[str, int]:
    """The named numbers of a system, by the name of its `Knowledge`; empty for an unknown one."""
    return _CONSTANTS.get(system, {})
