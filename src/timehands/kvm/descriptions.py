"""KVM's interface in words: what capabilities are for, what requests need, what exits mean."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from timehands.kvm.numbers import ExitReason, InternalErrorKind, Request

#: What each capability of ``numbers.KVM_CAPABILITIES`` is for, in a clock engineer's words.
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

#: What a request needs to succeed, where its error alone does not tell. The sentence it completes
#: is "KVM_X needs ...". Source: Documentation/virt/kvm/api.rst.
NEEDS: Mapping[Request, str] = MappingProxyType(
    {
        Request.CREATE_VM: "memory and a processor whose virtualisation nobody else has taken",
        Request.CREATE_VCPU: "an id that is free and below KVM_CAP_MAX_VCPUS",
        Request.SET_USER_MEMORY_REGION: "an address and a size of whole pages that overlap no "
        "other slot, and a slot below KVM_CAP_NR_MEMSLOTS",
        Request.CREATE_IRQCHIP: "to come once, and before the first vCPU",
        Request.CREATE_PIT2: "KVM_CREATE_IRQCHIP before it, and to come once",
        Request.GET_IRQCHIP: "interrupt chips in the kernel (KVM_CREATE_IRQCHIP)",
        Request.SET_IRQCHIP: "interrupt chips in the kernel (KVM_CREATE_IRQCHIP)",
        Request.IRQ_LINE: "interrupt chips in the kernel (KVM_CREATE_IRQCHIP)",
        Request.GET_PIT2: "an i8254 in the kernel (KVM_CREATE_PIT2)",
        Request.SET_PIT2: "an i8254 in the kernel (KVM_CREATE_PIT2)",
        Request.GET_LAPIC: "a LAPIC in the kernel (KVM_CREATE_IRQCHIP or a split irqchip)",
        Request.SET_LAPIC: "a LAPIC in the kernel (KVM_CREATE_IRQCHIP or a split irqchip)",
        Request.SET_TSC_KHZ: "KVM_CAP_TSC_CONTROL for a rate more than 250 ppm from the host's",
        Request.GET_TSC_KHZ: "a host whose TSC is stable",
        Request.KVMCLOCK_CTRL: "a guest that has registered its time page (MSR 0x4b564d01)",
        Request.SET_CPUID2: "answers that this KVM supports, before the vCPU first ran",
        Request.SET_CLOCK: "flags that KVM_CAP_ADJUST_CLOCK tells",
        Request.X86_SET_MSR_FILTER: "ranges of at most 12,288 MSRs, none of them in x2APIC's",
        Request.SET_GUEST_DEBUG: "flags that KVM_CAP_SET_GUEST_DEBUG2 tells",
        Request.INTERRUPT: "a machine whose 8259s are not in the kernel",
        Request.RUN: "a vCPU in a state that the processor accepts",
    }
)

#: What an exit means.
EXIT_WORDS: Mapping[int, str] = MappingProxyType(
    {
        ExitReason.UNKNOWN: "the processor left the guest for a reason that KVM does not know",
        ExitReason.EXCEPTION: "an exception that KVM does not handle",
        ExitReason.IO: "port access",
        ExitReason.HYPERCALL: "hypercall",
        ExitReason.DEBUG: "breakpoint, watchpoint or single step",
        ExitReason.HLT: "the vCPU halted",
        ExitReason.MMIO: "access to memory that is in no slot",
        ExitReason.IRQ_WINDOW_OPEN: "interrupts can be injected now",
        ExitReason.SHUTDOWN: "triple fault, or another shutdown",
        ExitReason.FAIL_ENTRY: "the processor refused to enter the guest",
        ExitReason.INTR: "a signal came for this thread",
        ExitReason.SET_TPR: "task priority changed",
        ExitReason.TPR_ACCESS: "task priority accessed",
        ExitReason.NMI: "non-maskable interrupt",
        ExitReason.INTERNAL_ERROR: "KVM cannot go on",
        ExitReason.WATCHDOG: "watchdog",
        ExitReason.SYSTEM_EVENT: "the guest asked for shutdown or reset",
        ExitReason.IOAPIC_EOI: "an interrupt was acknowledged that the IOAPIC waits for",
        ExitReason.HYPERV: "Hyper-V call",
        ExitReason.X86_RDMSR: "MSR read",
        ExitReason.X86_WRMSR: "MSR written",
        ExitReason.DIRTY_RING_FULL: "too many pages dirtied",
        ExitReason.X86_BUS_LOCK: "bus lock",
        ExitReason.XEN: "Xen hypercall",
        ExitReason.NOTIFY: "the guest stayed without an instruction boundary for too long",
        ExitReason.MEMORY_FAULT: "memory that KVM cannot give to the guest",
    }
)

#: What KVM's internal errors mean.
INTERNAL_ERROR_WORDS: Mapping[int, str] = MappingProxyType(
    {
        InternalErrorKind.EMULATION: "an instruction that KVM cannot emulate",
        InternalErrorKind.SIMUL_EX: "exceptions at the same time that make no sense",
        InternalErrorKind.DELIVERY_EV: "an exit while an event was being delivered",
        InternalErrorKind.UNEXPECTED_EXIT_REASON: "an exit of the processor that is not known",
    }
)
