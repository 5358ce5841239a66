"""KVM's numbers against the kernel's own header, through the compiler."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import pytest

from kvm.kernel_header import ask_compiler
from timehands.kvm import numbers
from timehands.kvm.descriptions import EXIT_WORDS, INTERNAL_ERROR_WORDS, NEEDS
from timehands.kvm.numbers import (
    KVM_CAPABILITIES,
    Capability,
    ClockFlags,
    CpuidFlags,
    ExitReason,
    GuestDebug,
    InternalErrorKind,
    IrqChip,
    MemoryFlags,
    MpState,
    MsrFilterFlags,
    MsrReason,
    Request,
    SystemEventKind,
    VcpuEventFlags,
)

PREFIXES = {
    Request: "KVM_",
    Capability: "KVM_CAP_",
    ExitReason: "KVM_EXIT_",
    InternalErrorKind: "KVM_INTERNAL_ERROR_",
    SystemEventKind: "KVM_SYSTEM_EVENT_",
    MpState: "KVM_MP_STATE_",
    IrqChip: "KVM_IRQCHIP_",
    ClockFlags: "KVM_CLOCK_",
    MemoryFlags: "KVM_MEM_",
    MsrReason: "KVM_MSR_EXIT_REASON_",
    MsrFilterFlags: "KVM_MSR_FILTER_",
    GuestDebug: "KVM_GUESTDBG_",
    VcpuEventFlags: "KVM_VCPUEVENT_VALID_",
}
OTHERS = {
    "KVM_API_VERSION": numbers.KVM_API_VERSION,
    "KVM_CPUID_FLAG_SIGNIFCANT_INDEX": CpuidFlags.SIGNIFICANT_INDEX,
    "KVM_MSR_FILTER_MAX_RANGES": numbers.MSR_FILTER_MAX_RANGES,
    "KVM_MSR_FILTER_MAX_BITMAP_SIZE": numbers.MSR_FILTER_MAX_BITMAP_SIZE,
    "KVM_PIT_SPEAKER_DUMMY": numbers.PIT_SPEAKER_DUMMY,
    "KVM_EXIT_IO_IN": numbers.IO_IN,
    "KVM_IRQ_ROUTING_IRQCHIP": numbers.ROUTE_IRQCHIP,
    "KVM_IRQ_ROUTING_MSI": numbers.ROUTE_MSI,
    "KVM_EXIT_IO_OUT": numbers.IO_OUT,
    "KVM_VCPU_TSC_CTRL": numbers.TSC_OFFSET_ATTRIBUTE[0],
    "KVM_VCPU_TSC_OFFSET": numbers.TSC_OFFSET_ATTRIBUTE[1],
}
#: Newer than the header of Debian 12 (Linux 6.1).
NEWER = {"KVM_EXIT_MEMORY_FAULT", "KVM_CAP_X86_APIC_BUS_CYCLES_NS"}


def test_numbers_are_those_of_the_kernel_header(tmp_path: Path) -> None:
    ours = {f"{prefix}{each.name}": int(each) for kind, prefix in PREFIXES.items() for each in kind}
    ours |= OTHERS
    statements = [
        f'#ifdef {name}\nprintf("{name} %llu\\n", (unsigned long long){name});\n#endif'
        for name in ours
    ]
    header = {name: int(value) for name, value in ask_compiler(tmp_path, statements)}
    assert set(ours) - set(header) <= NEWER | {"KVM_MEM_NONE"}
    assert {name: ours[name] for name in header} == header


@pytest.mark.parametrize(
    ("words", "kind"), [(EXIT_WORDS, ExitReason), (INTERNAL_ERROR_WORDS, InternalErrorKind)]
)
def test_each_number_has_words(words: dict[int, str], kind: type[IntEnum]) -> None:
    assert set(words) == set(kind)


def test_what_requests_need_completes_a_sentence() -> None:
    assert not [text for text in NEEDS.values() if text.endswith(".") or not text]


def test_the_capabilities_of_clock_work_are_among_all() -> None:
    assert all(
        KVM_CAPABILITIES[f"KVM_CAP_{each.name}"] == each
        for each in Capability
        if f"KVM_CAP_{each.name}" in KVM_CAPABILITIES
    )
    assert set(KVM_CAPABILITIES) <= {f"KVM_CAP_{each.name}" for each in Capability}
