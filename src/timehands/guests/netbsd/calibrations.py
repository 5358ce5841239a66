"""How NetBSD looked for its frequencies: each way it tried, against what, with what result.

sys/arch/x86/x86/identcpu_subr.c (cpu_tsc_freq_cpuid), cpu.c (cpu_get_tsc_freq), lapic.c
(lapic_calibrate_timer). The order matters: the LAPIC is timed over 10 ms of the i8254, then serves
DELAY; the TSC is timed by DELAY; then the LAPIC is timed again, by that TSC. So without a told
frequency all of it is as true as those 10 ms, however long the later passes take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from timehands.guests.bsd.clocks import DELAY_FUNC, clock_of
from timehands.guests.bsd.messages import matches
from timehands.guests.bsd.seen import Registers, Seen, leaf_of, seen_calls
from timehands.guests.netbsd.messages import KNOWN
from timehands.guests.netbsd.plan import CC_FREQ
from timehands.story.model import Calibration
from timehands.story.spans import Call
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

TIMING_LEAF, CRYSTAL_LEAF = 0x40000010, 0x15
_HYPERVISOR_LEAF = 0x40000000
_MOST = 100
#: How long the measurements last: 1,000 DELAYs of 100 us; a hundredth of a second of the i8254.
_DELAYS_NS, _FIRST_NS = 100_000_000, 10_000_000
_U32 = 0xFFFFFFFF


def calibrations_of(recording: Recording, calls: Iterable[Call]) -> tuple[Calibration, ...]:
    """Every attempt to find a frequency, in order of time."""
    if not recording.header.planned:
        return tuple(_from_console(recording))
    found: list[Calibration] = []
    for seen in seen_calls(recording, calls, frozenset(_TELLERS)):
        found += _TELLERS[seen.call.name](seen, tuple(found))
    return tuple(found[:_MOST])


def _told(seen: Seen, _before: tuple[Calibration, ...]) -> Iterator[Calibration]:
    """cpu_tsc_freq_cpuid: leaf 0x15 (and 0x16) on Intel; newer ones leaf 0x40000010 in a guest."""
    hz, timing = seen.call.result or None, seen.leaf(TIMING_LEAF)
    if timing is not None and (hz is None or hz == timing[0] * 1000):
        yield seen.make("tsc", "CPUID leaf 0x40000010", hz, _timing(seen.recording, timing))
        return
    crystal = seen.leaf(CRYSTAL_LEAF)
    if crystal is None:
        detail = _why_not_asked(seen.recording.events)
    else:
        detail = f"leaf 0x15 gave eax {crystal[0]:#x}, ebx {crystal[1]:#x}, ecx {crystal[2]:#x}"
    yield seen.make("tsc", "CPUID leaf 0x15", hz, detail)


def _timing(recording: Recording, answer: Registers) -> str:
    """What leaf 0x40000010 gave, and whether the hypervisor has that leaf at all."""
    khz, apic_khz = answer[:2]
    said = f"leaf 0x40000010 gave eax {khz:#x} ({khz:,} kHz) and ebx {apic_khz:#x}"
    base = leaf_of(recording.events, _HYPERVISOR_LEAF)
    if base is None:
        return f"{said}; the highest hypervisor leaf was not asked for"
    if base[0] >= TIMING_LEAF:
        return said
    return (
        f"{said}; but the hypervisor's leaves end at {base[0]:#x}: what answers beyond is the "
        "highest basic leaf, no frequency"
    )


def _why_not_asked(events: Iterable[Event]) -> str:
    basic = leaf_of(events, 0)
    if basic is None:
        return "leaf 0x15 was not read"
    vendor = b"".join(basic[i].to_bytes(4, "little") for i in (1, 3, 2))
    name = vendor.decode("ascii", errors="replace")
    if name != "GenuineIntel":
        return f"leaf 0x15 was not read: NetBSD asks for it on Intel only, this CPU is {name}"
    return f"leaf 0x15 was not read: the basic leaves end at {basic[0]:#x}"


def _measured(seen: Seen, _before: tuple[Calibration, ...]) -> Iterator[Calibration]:
    """cpu_get_tsc_freq: told, or by the HPET, or 1,000 DELAYs of 100 us each.

    A second call measures again, unless a leaf told the frequency. Other CPUs take the first's.
    """
    hz = seen.after(CC_FREQ)
    told = _returned(seen, "cpu_tsc_freq_cpuid")
    if seen.call.entered.vcpu or (told and told == hz):
        return
    again = "again: " if seen.before(CC_FREQ) else ""
    if hz and _returned(seen, "hpet_tsc_freq") == hz:
        yield seen.make("tsc", "hpet", hz, f"{again}timed by the HPET")
        return
    clock, function = clock_of(seen.recording, seen.before(DELAY_FUNC))
    detail = f"{again}1,000 times DELAY(100), by {function}{seen.held_up(_DELAYS_NS)}"
    if seen.pit_is_silent:
        detail += "; the i8254 is absent: every read gave 0xff"
    yield seen.make("tsc", clock, hz or None, detail)


def _returned(seen: Seen, function: str) -> int:
    """What a watched function returned the last time while the call lasted; 0: nothing."""
    found = 0
    for event in seen.events:
        if event.kind is Kind.LEAVE and seen.recording.function(event) == function:
            found = 0 if event.no_result else event.values[1]
    return found


def _lapic(seen: Seen, before: tuple[Calibration, ...]) -> Iterator[Calibration]:
    """lapic_calibrate_timer(secondpass)."""
    hz = seen.after("lapic_per_second") or None
    if seen.call.entered.values[1] & 0xFF:
        yield from _second_pass(seen, before, hz)
    elif seen.before("lapic_per_second") and not seen.reads_pit:
        yield seen.make("lapic", "CPUID", hz, "a CPUID leaf had told it: nothing was measured")
    else:
        detail = f"first pass: over 10 ms of the i8254's count{seen.held_up(_FIRST_NS)}"
        if seen.pit_is_silent:
            detail = "the i8254 is absent (its count reads 0xffff), so 10 ms never pass"
        yield seen.make("lapic", "i8254", hz, detail)


def _second_pass(
    seen: Seen, before: tuple[Calibration, ...], hz: int | None
) -> Iterator[Calibration]:
    _, function = clock_of(seen.recording, seen.before(DELAY_FUNC))
    detail = f"second pass: over DELAY(50000) by {function}, counted in TSC cycles"
    timed = [c for c in before if c.of == "tsc" and c.result_hz]
    if timed and timed[-1].against == "lapic":
        detail += (
            "; that TSC was itself timed by the LAPIC, so this is only as true as the first pass "
            "over 10 ms"
        )
    yield seen.make("lapic", "tsc", hz, detail + _overflow(hz or 0))


def _overflow(hz: int) -> str:
    """The second pass rounds to 1,000 Hz and keeps 32 bits: no multiple of 1,000, no frequency."""
    whole = [hz + (turn << 32) for turn in range(1, 1 << 4) if (hz + (turn << 32)) % 1000 == 0]
    if hz % 1000 == 0 or not whole:
        return ""
    return f"; {whole[0]:,} Hz came out, which 32 bits (lapic_per_second) cannot hold"


_Teller = Callable[[Seen, tuple[Calibration, ...]], Iterator[Calibration]]
_TELLERS: dict[str, _Teller] = {
    "cpu_tsc_freq_cpuid": _told,
    "cpu_get_tsc_freq": _measured,
    "lapic_calibrate_timer": _lapic,
}


def _from_console(recording: Recording) -> Iterator[Calibration]:
    """Results that the console tells of: when they were printed, and nothing of their cost."""
    for one, line, match in matches(recording, KNOWN):
        at = recording.since_start(line.host_ns)
        if one.name == "TSC":
            against = {"delay": "DELAY", "HPET": "hpet"}.get(match[1], match[1])
            hz = int(match[2]) or None
            yield Calibration("tsc", against, one.source, at, at, hz, "", (line.reference,))
