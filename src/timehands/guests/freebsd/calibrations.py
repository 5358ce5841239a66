"""How FreeBSD looked for its frequencies: each way it tried, which condition failed, the result.

sys/x86/x86/tsc.c (probe_tsc_freq_early and _late are often inlined into tsc_init and start_TSC),
sys/x86/x86/local_apic.c (lapic_calibrate_initcount), sys/kern/subr_clockcalib.c.
"""

from __future__ import annotations

from collections.abc import Iterator

from timehands.guests.bsd.messages import Said
from timehands.guests.bsd.seen import Seen, seen_calls
from timehands.guests.freebsd.console import CLOCKCALIB, calibrations_from_console
from timehands.guests.freebsd.delay import served
from timehands.guests.freebsd.messages import matches
from timehands.guests.telling import STATISTICS_FAILED, SWITCHED_OFF, TAKEN_AS_EXACT, watched
from timehands.story.model import Calibration
from timehands.story.spans import Call
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

TIMING_LEAF = 0x40000010
VM_GUESTS = ("NO", "VM", "XEN", "HV", "VMWARE", "KVM", "BHYVE", "VBOX", "PARALLELS", "NVMM")
_TOLD_LEAVES = (TIMING_LEAF, 0x15, 0x16)
_CALLS = frozenset({"tsc_init", "start_TSC", CLOCKCALIB, "lapic_calibrate_timer"})
_MOST = 100
#: clockcalib's names for what it measures, and ours.
_OF = {"TSC": "tsc", "lapic": "lapic"}
#: lapic_calibrate_initcount sets this divisor before it measures.
_DIVISOR = 2


def calibrations_of(recording: Recording, calls: tuple[Call, ...]) -> tuple[Calibration, ...]:
    """Every attempt to find a frequency, in order of time.

    Of a recording without watched functions those that its console tells of.
    """
    if not watched(recording, CLOCKCALIB):
        return calibrations_from_console(recording)
    found: list[Calibration] = []
    known_hz: int | None = None
    said = tuple(matches(recording))
    for seen in seen_calls(recording, calls, _CALLS):
        match seen.call.name:
            case "tsc_init":
                found += _early(seen)
                known_hz = seen.after("tsc_freq")
            case "start_TSC" if not known_hz:
                found += _late(seen)
            case "lapic_calibrate_timer":
                found += _lapic_told(seen)
            case "clockcalib":
                found += _statistical(seen, said)
    return tuple(found[:_MOST])


def _delayed_by(seen: Seen) -> str | None:
    """The clock of the longest DELAY within the call."""
    inside = [
        e for e in seen.events if e.kind is Kind.ENTER and seen.recording.function(e) == "DELAY"
    ]
    if not inside:
        return None
    longest = max(inside, key=lambda e: e.values[1] & 0x7FFFFFFF)
    known = served(seen.recording, longest)
    return known.clock if known else "unknown"


def _early(seen: Seen) -> Iterator[Calibration]:
    """probe_tsc_freq_early: it only asks, and takes the first answer."""
    method = "probe_tsc_freq_early"
    hz = seen.after("tsc_freq")
    asked = [leaf for leaf in _TOLD_LEAVES if seen.leaf(leaf)]
    if hz:
        source = f"CPUID leaf {asked[-1]:#x}" if asked else _told_by(seen)
        yield seen.make("tsc", source, hz, "the leaf gives it", method)
        return
    answer = seen.leaf(TIMING_LEAF)
    if answer is not None:
        detail = f"the leaf gave eax {answer[0]:#x}, which is {TAKEN_AS_EXACT}"
        yield seen.make("tsc", f"CPUID leaf {TIMING_LEAF:#x}", None, detail, method)
    else:
        detail = "; ".join((_why_no_timing_leaf(seen), _why_no_crystal(seen)))
        yield seen.make("tsc", "CPUID", None, detail, method)


def _told_by(seen: Seen) -> str:
    return f"the hypervisor ({_vm_guest(seen.after('vm_guest'))})"


def _vm_guest(number: int | None) -> str:
    known = number is not None and number < len(VM_GUESTS)
    return f"VM_GUEST_{VM_GUESTS[number]}" if known and number is not None else "unknown"


def _why_no_timing_leaf(seen: Seen) -> str:
    """tsc_freq_cpuid_vm: in a guest, when the hypervisor's leaves reach 0x40000010."""
    guest, high = seen.after("vm_guest"), seen.after("hv_high")
    if guest == 0:
        return "leaf 0x40000010 was not read: no hypervisor was recognised (VM_GUEST_NO)"
    if high is not None and high < TIMING_LEAF:
        return (
            f"leaf 0x40000010 was not read: the hypervisor's leaves end at {high:#x} "
            f"({_vm_guest(guest)})"
        )
    return "leaf 0x40000010 was not read"


def _why_no_crystal(seen: Seen) -> str:
    """tsc_freq_cpuid: leaf 0x15 with nothing zero, else 0x16."""
    high = seen.after("cpu_high")
    if high is not None and high < 0x15:
        return f"leaf 0x15 was not read: the basic leaves end at {high:#x}"
    parts = []
    for leaf in (0x15, 0x16):
        if answer := seen.leaf(leaf):
            gave = ", ".join(
                f"{n} {v:#x}" for n, v in zip(("eax", "ebx", "ecx"), answer, strict=False)
            )
            parts.append(f"leaf {leaf:#x} gave {gave}")
    return "; ".join(parts) or "leaf 0x15 was not read"


def _late(seen: Seen) -> Iterator[Calibration]:
    """probe_tsc_freq_late: 100 ms of DELAY, or (calibration switched off) Intel's brand string."""
    method, hz = "probe_tsc_freq_late", seen.after("tsc_freq")
    if seen.after("tsc_skip_calibration"):
        detail = "Intel's brand string gives it"
        if not hz:
            detail = f"{SWITCHED_OFF} (tsc_skip_calibration), and no Intel brand string gave it"
            detail += "; tsc_disabled was set" if seen.after("tsc_disabled") else ""
        yield seen.make("tsc", "the brand string", hz or None, detail, method)
        return
    against = _delayed_by(seen)
    if against is None:
        return
    detail = "timed over DELAY(100000)" if hz else "DELAY(100000) gave nothing"
    yield seen.make("tsc", against, hz or None, detail, method)


def _lapic_told(seen: Seen) -> Iterator[Calibration]:
    """lapic_calibrate_initcount_cpuid_vm: EBX of leaf 0x40000010, the APIC bus in kHz."""
    answer = seen.leaf(TIMING_LEAF)
    if seen.within(CLOCKCALIB) or answer is None:
        return
    count, divisor = seen.after("count_freq"), seen.after("lapic_timer_divisor")
    hz = (count or 0) * (divisor or 0) or None
    detail = f"ebx {answer[1]:#x} is its kHz; divisor {divisor}"
    yield seen.make("lapic", "CPUID leaf 0x40000010", hz, detail)


def _statistical(seen: Seen, said: tuple[Said, ...]) -> Iterator[Calibration]:
    """clockcalib(clk, clkname) against the timecounter in use when it is called.

    For the LAPIC it is given the timer's count, which the divisor has halved.
    """
    recording, entered = seen.recording, seen.call.entered
    name = recording.text(entered, "clkname") or "unknown"
    against = recording.text(entered, "current") or "the timecounter in use"
    of = _OF.get(name, name)
    hz = seen.call.result
    factor = _DIVISOR if of == "lapic" else 1
    detail = _console_detail(seen, name, said) or f"{name} against timecounter {against}"
    yield seen.make(of, against, hz * factor if hz else None, detail)


def _console_detail(seen: Seen, name: str, said: tuple[Said, ...]) -> str:
    """What clockcalib printed while it lasted or soon after: a line comes when it is complete."""
    start = seen.call.start_ns
    for known, line, match in said:
        if line.host_ns >= start and known.name in ("took", "failed") and match[1] == name:
            if known.name == "failed":
                return f"{STATISTICS_FAILED}: the plain quotient over 1 s was taken"
            return f"statistical: {int(match[2]):,} us and {int(match[3]):,} data points"
    return ""
