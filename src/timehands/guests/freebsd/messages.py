"""FreeBSD's console messages about clocks: which function prints each, and what it means.

Texts are facts, from the named functions of sys/; most appear only with ``boot_verbose=1``. A line
may follow a prompt or another message without a line break between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from re import Match

from timehands.guests.bsd import messages as bsd
from timehands.guests.bsd.messages import Said, known
from timehands.story.model import Message
from timehands.watch.recording import Recording


def _took(match: Match[str]) -> str:
    if match[2] == match[3]:
        return (
            f"{match[1]} measured against a counter that counts its own reads: as many us as data "
            "points, so the result is the speed of the reading loop"
        )
    return f"{match[1]} measured against the timecounter in use, to 1 ppm"


def _multiplier(match: Match[str]) -> str:
    if match[3] == "0":
        return "the TSC's frequency is unknown (tsc 0): waits for IPIs are far too short"
    return "reads of the ICR that take 1 us, by the TSC"


KNOWN = (
    known(
        "early",
        r"Early TSC frequency (\d{1,20})Hz derived from "
        r"(hypervisor CPUID|VMWare hypercall|Xen CPUID|CPUID|brand string)$",
        "probe_tsc_freq_early",
        r"the TSC's frequency was told by \2",
    ),
    known(
        "early PIT",
        r"Early TSC frequency (\d{1,20})Hz calibrated from 8254 PIT$",
        "probe_tsc_freq_late",
        "the TSC was timed over DELAY(100000); the text says 8254 whoever served DELAY",
    ),
    known(
        "took",
        r"Statistical (\w+) calibration took (\d{1,20}) us and (\d{1,20}) data points$",
        "clockcalib",
        _took,
    ),
    known(
        "failed",
        r"Statistical (\w+) calibration failed!  Clocks might be ticking at variable rates\.$",
        "clockcalib",
        r"\1 and its reference did not agree to 1 ppm within a second of the reference",
    ),
    known(
        "slow",
        r"Falling back to slow (\w+) calibration\.$",
        "clockcalib",
        "the frequency is the plain quotient over that second",
    ),
    known(
        "insufficient",
        r'Timecounter "([^"]{1,40})" frequency (\d{1,20}) Hz -- Insufficient hz, ',
        "tc_init",
        r"\1 wraps between two ticks: its quality becomes -2000",
    ),
    known(
        "timecounter",
        r'Timecounter "([^"]{1,40})" frequency (\d{1,20}) Hz quality (-?\d{1,10})$',
        "tc_init",
        r"\1 is registered; it is used if its quality is not negative and the best so far",
    ),
    known(
        "event timer",
        r'Event timer "([^"]{1,40})"(?: frequency (\d{1,20}) Hz)? quality (-?\d{1,10})$',
        "et_register",
        r"\1 can give interrupts",
    ),
    known(
        "tick",
        r"Timecounters tick every (\d+\.\d+) msec$",
        "inittimecounter",
        r"time is taken up from the timecounter every \1 ms",
    ),
    known(
        "multiplier",
        r"LAPIC: ipi_wait\(\) us multiplier (\d{1,20}) \(r (\d{1,20}) tsc (\d{1,20})\)$",
        "lapic_init",
        _multiplier,
    ),
    known(
        "divisor",
        r"lapic: Divisor (\d{1,6}), Frequency (\d{1,20}) Hz$",
        "lapic_calibrate_initcount",
        r"the LAPIC timer counts at \2 Hz, the bus clock divided by \1",
    ),
    known(
        "deadline",
        r"lapic: deadline tsc mode, Frequency (\d{1,20}) Hz$",
        "lapic_calibrate_timer",
        "the LAPIC timer compares with the TSC and needs no calibration",
    ),
    known(
        "discards",
        r"TSC timecounter discards lower (\d+) bit\(s\)$",
        "init_TSC_tc",
        r"the TSC is shifted by \1 to fit 32 bits: its name becomes TSC-low",
    ),
    known(
        "SMP test",
        r"SMP: (pass|fail)ed TSC synchronization test(?: after adjustment)?$",
        "test_tsc",
        r"the vCPUs' TSCs were compared: \1ed",
    ),
    known("C2", r"TSC timecounter disables C2 and C3\.$", "init_TSC_tc", "the TSC may stop in C2"),
    known(
        "hypervisor",
        r'Hypervisor: Origin = "([^"]{0,40})"$',
        "print_hypervisor_info",
        r"the signature of CPUID leaf 0x40000000 is \1",
    ),
    known(
        "enumerator",
        r"APIC: Using the (\S{1,20}) enumerator\.$",
        "apic_init",
        r"CPUs and I/O APICs are taken from \1",
    ),
    known(
        "kvmclock",
        r"kvmclock\d+: <KVM paravirtual clock>",
        "kvm_clock_attach",
        "pvclock was found and is registered",
    ),
    known(
        "backwards",
        r"(calcru: runtime went backwards|[Tt]imecounter went backwards|TSC time went backwards)",
        "calcru",
        "time was read that lay before a time read earlier",
    ),
    known("assertion", r"panic: TSC not initialized$", "lapic_init", "tsc_freq is 0 there"),
    known(
        "fault",
        r"fault virtual address\s*= (0x[0-9a-f]{1,16})$",
        "trap_fatal",
        r"the kernel read or wrote \1, where nothing is",
    ),
)


def matches(recording: Recording) -> Iterator[Said]:
    """The known messages of a recording, in order."""
    return bsd.matches(recording, KNOWN)


def messages(recording: Recording) -> tuple[Message, ...]:
    """The same as the story tells them: what of a line is the message."""
    return bsd.messages(recording, KNOWN, whole=False)
