"""FreeBSD's clocks as a recording shows them: timecounters, event timers, and which are in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from timehands.guests.bsd.clocks import Clocks, invariant_bit, tell_how
from timehands.guests.bsd.facts import variable
from timehands.guests.bsd.timecounters import (
    Drafts,
    chosen,
    draft_of,
    from_console,
    later_preferred,
    looked_name,
    registered,
    rows_of,
    set_flags,
    signed,
)
from timehands.guests.freebsd.calibrations import VM_GUESTS
from timehands.guests.freebsd.console import TSC_NAMES
from timehands.guests.freebsd.messages import matches
from timehands.guests.telling import NOT_INVARIANT, SWITCHED_OFF, Draft, backtrace, entries, watched
from timehands.story.model import Calibration, ClockRole, ClockState, Step
from timehands.watch.recording import ConsoleLine, Recording
from timehands.watch.records import Kind

PVCLOCK = "kvmclock"
_COUNTER_FLAGS = {1: "stops in C2", 2: "goes on over suspend"}
_TIMER_FLAGS = {1: "periodic", 2: "one-shot", 4: "per CPU", 8: "stops in C3", 16: "powers of 2"}
_HOW = {
    "i8254": "fixed by definition",
    "ACPI-fast": "fixed by definition",
    "ACPI-safe": "fixed by definition",
    "HPET": "its own period register",
    "kvmclock": "pvclock counts ns",
    "XENTIMER": "pvclock counts ns",
}
_MOST = 64
#: The quality of a TSC that may differ between CPUs.
_DOUBTED = -100


def clocks_of(recording: Recording, calibrations: tuple[Calibration, ...]) -> Clocks:
    """From the functions watched, or the console, and from the variables at the end."""
    if watched(recording):
        drafts = registered(recording, later_preferred, _COUNTER_FLAGS)
        timers = _timers(recording)
    else:
        drafts = from_console(recording, _told(recording), later_preferred)
        timers = _told_timers(recording)
    selected = chosen(recording, drafts)
    timer = _select_timer(recording, timers)
    _unregistered_tsc(recording, drafts, calibrations)
    _not_invariant(recording, drafts)
    _unreached_pvclock(recording, drafts)
    made = [*drafts.values(), *timers.values()]
    tell_how(made, calibrations, _HOW)
    armed = next(entries(recording, "cpu_initclocks_bsp"), None)
    return Clocks(tuple(draft.clock() for draft in made), selected, timer, armed)


def _told(recording: Recording) -> Iterator[tuple[str, int, int, ConsoleLine]]:
    """The timecounters that the console tells of."""
    for known, line, match in matches(recording):
        if known.name == "timecounter":
            yield match[1], int(match[2]), int(match[3]), line
        elif known.name == "insufficient":
            yield match[1], int(match[2]), -2000, line


def _timer_of(timers: Drafts, name: str) -> Draft:
    if name not in timers and len(timers) >= _MOST:
        return Draft(name, ClockRole.EVENTS)
    return timers.setdefault(name, Draft(name, ClockRole.EVENTS))


def _timers(recording: Recording) -> Drafts:
    """Every et_register."""
    timers: Drafts = {}
    for event in entries(recording, "et_register"):
        if name := recording.text(event, "et_name"):
            draft = _timer_of(timers, name)
            draft.rating = signed(recording.number(event, "et_quality"))
            draft.frequency_hz = recording.number(event, "et_frequency") or None
            able = set_flags(recording.number(event, "et_flags") or 0, _TIMER_FLAGS)
            what = f"registered, quality {draft.rating}" + (f", {able}" if able else "")
            draft.step(recording, event, what, ClockState.REGISTERED, backtrace(recording, event))
    return timers


def _told_timers(recording: Recording) -> Drafts:
    """The event timers that the console tells of."""
    timers: Drafts = {}
    for known, line, match in matches(recording):
        if known.name == "event timer":
            draft = _timer_of(timers, match[1])
            draft.frequency_hz, draft.rating = int(match[2] or 0) or None, int(match[3])
            draft.step(recording, line, f"registered, quality {match[3]}", ClockState.REGISTERED)
    return timers


def _select_timer(recording: Recording, timers: Drafts) -> str | None:
    """The event timer in use: ``timer``, which cpu_initclocks_bsp sets; the last word on each."""
    for row in rows_of(recording, "eventtimers"):
        draft = _timer_of(timers, row["name"])
        draft.frequency_hz, draft.rating = row["frequency"] or draft.frequency_hz, row["quality"]
        if not draft.steps:
            draft.state = ClockState.REGISTERED
    name = looked_name(recording, "eventtimer")
    if name is None and not recording.looked:
        started = any(known.name == "tick" for known, _, _ in matches(recording))
        name = _best(timers.values()) if started else None
    if name:
        draft = _timer_of(timers, name)
        if event := next(entries(recording, "cpu_initclocks_bsp"), None):
            draft.step(recording, event, "selected by its quality", ClockState.SELECTED)
        draft.state = ClockState.SELECTED
    return name


def _best(timers: Iterable[Draft]) -> str | None:
    """et_find's rule: the best quality that is not negative."""
    able = [draft for draft in timers if (draft.rating or 0) >= 0]
    return max(able, key=lambda draft: draft.rating or 0).name if able else None


def _unregistered_tsc(
    recording: Recording,
    drafts: Drafts,
    calibrations: tuple[Calibration, ...],
) -> None:
    """A TSC that was looked at and never given to tc_init, and why."""
    if any(name in drafts for name in TSC_NAMES):
        return
    tries = [c for c in calibrations if c.of == "tsc"]
    if not tries:
        return
    draft = draft_of(drafts, "TSC")
    draft.state = ClockState.CALIBRATED if tries[-1].result_hz else ClockState.PROBED
    draft.frequency_hz = tries[-1].result_hz
    if SWITCHED_OFF in tries[-1].detail or variable(recording, "tsc_disabled"):
        draft.state = ClockState.REJECTED


def _not_invariant(recording: Recording, drafts: Drafts) -> None:
    """test_tsc (sys/x86/x86/tsc.c): with several CPUs it has to be, or the user has to say so."""
    found = (drafts[name] for name in TSC_NAMES if name in drafts)
    doubted = [draft for draft in found if draft.rating == _DOUBTED]
    for event in recording.events if doubted else ():
        if recording.number(event, "tsc_is_invariant") == 0 and event.kind is Kind.LEAVE:
            what = (
                f"{NOT_INVARIANT}: with several CPUs the kernel gives such a TSC quality "
                f"{_DOUBTED} ({invariant_bit(recording)})"
            )
            at = recording.since_start(event.host_ns)
            doubted[0].steps.append(Step(at, what, (event.reference,)))
            return


def _unreached_pvclock(recording: Recording, drafts: Drafts) -> None:
    """kvmclock in the kernel file and not among the timecounters, and why (kvm_clock.c)."""
    compiled = recording.header.kernel.clock_functions
    if PVCLOCK in drafts or not watched(recording):
        return
    if not any("pvclock" in name or "kvm_clock" in name for name in compiled):
        return
    draft = draft_of(drafts, PVCLOCK)
    draft.state, draft.how = ClockState.OFFERED, _why_unreached(recording, compiled)
    for event in entries(recording, "kvm_clock_identify", "kvm_clock_probe"):
        name = recording.function(event) or ""
        draft.step(recording, event, f"{name} looked for it", ClockState.PROBED)


def _why_unreached(recording: Recording, compiled: tuple[str, ...]) -> str:
    """kvm_clock_identify adds the device when the hypervisor is KVM and has the feature."""
    if not any(name.startswith("kvm_clock") for name in compiled):
        return "the device kvm_clock is not in the kernel's configuration"
    guest = variable(recording, "vm_guest")
    variables = recording.looked.get("variables")
    vendor = variables.get("hv_vendor") if isinstance(variables, dict) else None
    if guest is not None and guest != VM_GUESTS.index("KVM") and vendor:
        name = VM_GUESTS[guest] if guest < len(VM_GUESTS) else str(guest)
        return f"the hypervisor {vendor} is not KVM's (VM_GUEST_{name})"
    if next(entries(recording, "kvm_clock_attach"), None):
        return "it attached, and was not registered"
    if next(entries(recording, "kvm_clock_identify"), None):
        return "the hypervisor does not offer the feature (CPUID 0x40000001 eax)"
    return "the boot ended before its device was looked for"
