"""The catalogue: what is looked at, what is expected, and whom it harms when it is otherwise.

One entry for each case; `timehands.conform.rules` has the rule of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The areas, in the order of reports.
AREAS = ("discovery", "tsc", "pvclock", "lapic", "i8254", "rtc", "sleeping", "host")


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``why`` says which guest is harmed; ``reference`` is where it is laid down."""

    id: str
    expected: str
    why: str
    reference: str

    @property
    def area(self) -> str:
        """The first part of its name."""
        return self.id.split(".")[0]


_SDM_TSC = "Intel SDM vol. 3, 17.17"
_SDM_APIC = "Intel SDM vol. 3, 10.5.4"
_MSR = "Linux Documentation/virt/kvm/x86/msr.rst"
_CPUID = "Linux Documentation/virt/kvm/x86/cpuid.rst"
_LEAVES = "Intel SDM vol. 2A, CPUID"
_TIMING = "VMware KB 1009458; CPUID 0x40000010"
_8254 = "Intel 8254 data sheet"
_RTC = "Motorola MC146818A data sheet"

CASES: tuple[Case, ...] = (
    Case(
        "discovery.signature",
        "leaf 1 ECX bit 31 set, a readable signature in leaf 0x40000000, a sane highest leaf",
        "Linux, FreeBSD and NetBSD look for pvclock and for frequencies only behind both",
        _CPUID,
    ),
    Case(
        "discovery.limits",
        "hypervisor leaves above the highest one hold nothing that looks like a frequency",
        "FreeBSD does not check 0x40000010 for sense, NetBSD of 2025-03 not its range: both take "
        "another leaf's data for the TSC's rate",
        _LEAVES,
    ),
    Case(
        "discovery.features",
        "the MSRs of pvclock that leaf 0x40000001 announces work, and no others",
        "Linux writes the MSRs that are announced and then trusts the record without a time-out",
        _CPUID,
    ),
    Case(
        "discovery.timing",
        "leaf 0x40000010 EAX is the TSC's rate in kHz",
        "FreeBSD and NetBSD take it as exact and never calibrate: all their time is off as much",
        _TIMING,
    ),
    Case(
        "discovery.timing_lapic",
        "leaf 0x40000010 EBX is the LAPIC timer's rate in kHz",
        "FreeBSD and NetBSD set their ticks by it: hz, sleeps and the scheduler are off as much",
        _TIMING,
    ),
    Case(
        "discovery.crystal",
        "leaf 0x15: ECX x EBX / EAX is the TSC's rate",
        "Linux and FreeBSD take it without calibration where it is complete",
        _LEAVES,
    ),
    Case(
        "discovery.processor",
        "leaf 0x16 EAX is near the TSC's rate",
        "FreeBSD takes it for the TSC's rate where 0x15 is not complete",
        _LEAVES,
    ),
    Case(
        "discovery.brand",
        "a frequency in the brand string is near the TSC's rate",
        "FreeBSD takes it for the TSC's rate when it may not calibrate (FIRECRACKER kernels)",
        "FreeBSD sys/x86/x86/tsc.c, tsc_freq_intel_brand",
    ),
    Case(
        "tsc.monotonic",
        "no read of the TSC is less than the one before on its vCPU",
        "every guest: time that goes back breaks what measures intervals",
        _SDM_TSC,
    ),
    Case(
        "tsc.across",
        "no vCPU reads less than another one read before it",
        "Linux marks the TSC unstable, FreeBSD gives it quality -100, NetBSD counts drift",
        _SDM_TSC,
    ),
    Case(
        "tsc.offset",
        "the TSCs of all vCPUs agree within 1 us",
        "threads that move between vCPUs see time jump",
        _SDM_TSC,
    ),
    Case(
        "tsc.rate",
        "one rate against the host's clock over the whole run",
        "a guest that has calibrated once drifts by every later change",
        _SDM_TSC,
    ),
    Case(
        "tsc.invariant",
        "CPUID 0x80000007 EDX bit 8 only for a TSC of one rate that agrees between vCPUs",
        "FreeBSD and Linux prefer a TSC that says so to every other clock",
        "Intel SDM vol. 3, 17.17.1",
    ),
    Case(
        "tsc.deadline",
        "IA32_TSC_DEADLINE fires once, not early, reads 0 after it, and is disarmed by 0",
        "Linux and FreeBSD run all their timers by it where CPUID announces it",
        "Intel SDM vol. 3, 10.5.4.1",
    ),
    Case(
        "tsc.write",
        "a write to IA32_TSC sets it, and moves IA32_TSC_ADJUST along",
        "firmware and kernels that line up their vCPUs' TSCs by writing (FreeBSD's smp_tsc_adjust)",
        "Intel SDM vol. 3, 17.17.3",
    ),
    Case(
        "tsc.adjust",
        "a write to IA32_TSC_ADJUST moves the TSC by as much",
        "Linux lines up its vCPUs by it, and warns of a firmware bug when it reads odd values",
        "Intel SDM vol. 3, 17.17.3",
    ),
    Case(
        "pvclock.old_msrs",
        "MSR 0x12 brings a well-made record at once, where it is announced",
        "FreeBSD and OpenBSD use it where the new ones are not announced",
        _MSR,
    ),
    Case(
        "pvclock.new_msrs",
        "MSR 0x4b564d01 brings a well-made record at once, where it is announced",
        "Linux reads the record right after the write, before it has any other clock",
        _MSR,
    ),
    Case(
        "pvclock.scale",
        "tsc_to_system_mul and tsc_shift make the TSC's rate",
        "Linux takes its TSC frequency from them and never calibrates",
        _MSR,
    ),
    Case(
        "pvclock.reading",
        "the record gives a time since the machine's start, the same by our arithmetic",
        "a guest's uptime and its printk times are this",
        _MSR,
    ),
    Case(
        "pvclock.monotonic",
        "on one vCPU no time is less than the one before",
        "FreeBSD's and NetBSD's timecounters jump by 2^32 or 2^64 when it is",
        _MSR,
    ),
    Case(
        "pvclock.stalls",
        "time does not stand still while the TSC goes on",
        "a guard against steps back that hides an offset between vCPUs stalls instead",
        _MSR,
    ),
    Case(
        "pvclock.across",
        "no vCPU reads a time less than another one read before it, where TSC_STABLE is set",
        "Linux then reads without any guard, in the vDSO too",
        _MSR,
    ),
    Case(
        "pvclock.stable",
        "TSC_STABLE only when all records are of one clock, and announced by CPUID bit 24",
        "guests drop their guard by it; without the bit in CPUID Linux ignores it",
        _MSR,
    ),
    Case(
        "pvclock.rate",
        "a second of it is a second of the host",
        "all clocks of a guest that uses it drift by the difference",
        _MSR,
    ),
    Case(
        "pvclock.version",
        "each update changes the version to another even one, forward, and the time goes on",
        "a reader that sees the same version believes what it has read; KVM updates at any time",
        _MSR,
    ),
    Case(
        "pvclock.version_across",
        "a vCPU that reads while a record is written sees an odd or a changed version",
        "Linux reads other vCPUs' records (sched_clock, vDSO): half-written ones are jumps",
        _MSR,
    ),
    Case(
        "pvclock.register_again",
        "registered at another address the clock goes on, and the old place is left alone",
        "kexec and kdump: the old kernel's memory is the new one's",
        _MSR,
    ),
    Case(
        "pvclock.disable",
        "after 0 is written no more is written to memory",
        "kexec and suspend: memory that is in use again is overwritten",
        _MSR,
    ),
    Case(
        "pvclock.bad_address",
        "addresses outside of memory are refused or ignored, and a good one works after them",
        "a guest's mistake must not end its host",
        _MSR,
    ),
    Case(
        "pvclock.wall",
        "the wall clock record and the time make the host's date within 0.1 s",
        "Linux and FreeBSD set their date by it; TLS and tokens fail when it is off",
        _MSR,
    ),
    Case(
        "pvclock.stopped",
        "GUEST_STOPPED is not set while nobody stopped the machine",
        "Linux then holds back its soft lockup watchdog",
        _MSR,
    ),
    Case(
        "lapic.rate",
        "one rate",
        "Linux, FreeBSD and NetBSD calibrate it once",
        _SDM_APIC,
    ),
    Case(
        "lapic.divisors",
        "the divisors 1, 2, 4 ... 128 divide the rate",
        "Linux calibrates with 16, FreeBSD with 2, NetBSD with 1",
        _SDM_APIC,
    ),
    Case(
        "lapic.one_shot",
        "fires once, by its vector, not before its count is over, and stays at 0",
        "early timers make a tickless kernel program them again and again",
        _SDM_APIC,
    ),
    Case(
        "lapic.periodic",
        "fires at its period, and not earlier",
        "NetBSD's and OpenBSD's clock interrupt",
        _SDM_APIC,
    ),
    Case(
        "lapic.masked",
        "a masked timer does not interrupt",
        "calibration runs masked: an interrupt there meets no handler",
        _SDM_APIC,
    ),
    Case(
        "lapic.stopped",
        "an initial count of 0 stops it",
        "FreeBSD and Linux stop their event timers so",
        _SDM_APIC,
    ),
    Case(
        "i8254.rate",
        "1,193,182 Hz within 1,000 ppm",
        "whatever calibrates by it (FreeBSD, NetBSD, Linux) is off as much",
        _8254,
    ),
    Case(
        "i8254.latch",
        "a latched count is held until it is read while the counter goes on",
        "FreeBSD and NetBSD read their time so",
        _8254,
    ),
    Case("i8254.read_back", "the read-back command tells the mode", "BIOSes and drivers", _8254),
    Case(
        "i8254.mode_0",
        "channel 2: output low until the count is over, seen at port 0x61",
        "Linux times its TSC so (pit_calibrate_tsc)",
        _8254,
    ),
    Case("i8254.mode_2", "counts by 1 at its rate", "FreeBSD's and NetBSD's mode", _8254),
    Case("i8254.mode_3", "counts by 2 at its rate", "BIOSes and older kernels", _8254),
    Case(
        "i8254.gate_starts",
        "a rising gate begins the count anew in mode 2",
        "timing by channel 2 that begins with the gate",
        _8254,
    ),
    Case(
        "i8254.gate_holds",
        "a low gate holds the count in mode 0",
        "who times by the gate (old Linux, DOS)",
        _8254,
    ),
    Case(
        "i8254.interrupt",
        "interrupt 0 at its period, through the PIC",
        "the clock of kernels without a LAPIC, and Linux's check_timer",
        _8254,
    ),
    Case(
        "rtc.date",
        "the host's date in UTC within 2 s",
        "all but Linux with pvclock take their date from it at boot",
        _RTC,
    ),
    Case("rtc.goes_on", "its seconds go on as the host's do", "date at boot, hwclock", _RTC),
    Case(
        "rtc.update",
        "the update flag is set from 244 us before its second changes",
        "Linux and the BSDs wait by it to read no date that is half of one second, half of another",
        _RTC,
    ),
    Case(
        "rtc.periodic",
        "its periodic flag comes 128 times a second where that rate is chosen",
        "FreeBSD's statistics clock",
        _RTC,
    ),
    Case(
        "sleeping.lapic",
        "HLT ends by the LAPIC's timer, never early",
        "an early wake-up is a loop of short sleeps; a late one is a late timer",
        _SDM_APIC,
    ),
    Case(
        "sleeping.deadline",
        "HLT ends by the TSC deadline, never early",
        "the same for kernels that use it",
        "Intel SDM vol. 3, 10.5.4.1",
    ),
    Case(
        "sleeping.tsc",
        "the TSC goes on in HLT",
        "a TSC that is put back at an exit loses the time that the guest slept (NVMM, PR 59862)",
        _SDM_TSC,
    ),
    Case(
        "sleeping.pvclock",
        "pvclock goes on in HLT",
        "idle guests lose time",
        _MSR,
    ),
    *(
        Case(f"host.{what}_{name}", expected.format(what=what), why, reference)
        for what in ("pause", "snapshot", "migration")
        for name, expected, why, reference in (
            (
                "monotonic",
                "no time is less after a {what} than before it",
                "time that goes back at a restore hangs timers (cloud-hypervisor#7930: 236 s)",
                _MSR,
            ),
            (
                "policy",
                "over a {what} pvclock does what the VMM declares: stand still, or catch up",
                "either harms who expects the other (firecracker#5809, cloud-hypervisor#8383)",
                "KVM_SET_CLOCK; the VMM's own documents",
            ),
            (
                "told",
                "after a {what} GUEST_STOPPED is set, until the guest clears it",
                "Linux reports soft lockups that were none (firecracker#5494)",
                "KVM_KVMCLOCK_CTRL",
            ),
        )
    ),
)
