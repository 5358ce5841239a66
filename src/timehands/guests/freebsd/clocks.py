"""FreeBSD's clocks as a recording shows them: timecounters, event timers, and which are in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timehands.guests.freebsd.calibrations import VM_GUESTS
from timehands.guests.freebsd.console import DUMMY, TSC_NAMES
from timehands.guests.freebsd.messages import matches
from timehands.guests.telling import SWITCHED_OFF, Draft, backtrace, entries, watched
from timehands.story.model import Calibration, Clock, ClockRole, ClockState, Step
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

PVCLOCK = "kvmclock"
_DUMMY_HZ = 1_000_000
_DUMMY_QUALITY = -1_000_000
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


@dataclass(frozen=True, slots=True)
class Clocks:
    """All clocks of a recording, and which ones are in use at its end."""

    clocks: tuple[Clock, ...]
    selected: str | None
    selected_timer: str | None


def clocks_of(recording: Recording, calibrations: tuple[Calibration, ...]) -> Clocks:
    """From the functions watched, or the console, and from the variables at the end."""
    drafts: dict[tuple[str, ClockRole], Draft] = {}
    if watched(recording):
        _counters(recording, drafts)
        _timers(recording, drafts)
    else:
        _from_console(recording, drafts)
    _from_look(recording, drafts)
    selected = _select(recording, drafts)
    timer = _select_timer(recording, drafts)
    _unregistered_tsc(recording, drafts, calibrations)
    _unreached_pvclock(recording, drafts)
    _tell_how(drafts, calibrations)
    return Clocks(tuple(draft.clock() for draft in drafts.values()), selected, timer)


def signed(value: int | None, bits: int = 32) -> int | None:
    """An unsigned number of so many bits as a signed one."""
    if value is None:
        return None
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def flags(value: int, names: Mapping[int, str]) -> str:
    """The flags that are set, in words."""
    return ", ".join(word for bit, word in names.items() if value & bit)


def _draft(
    drafts: dict[tuple[str, ClockRole], Draft], name: str, role: ClockRole = ClockRole.SOURCE
) -> Draft | None:
    key = (name, role)
    if key not in drafts and len(drafts) >= _MOST:
        return None
    return drafts.setdefault(key, Draft(name, role))


def _counters(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> None:
    """Every tc_init, and what it left in use."""
    before, last = DUMMY, ""
    for event in recording.events:
        if recording.function(event) != "tc_init":
            continue
        if event.kind is Kind.ENTER:
            last = recording.text(event, "tc_name") or ""
            if draft := _draft(drafts, last) if last else None:
                _register(recording, event, draft)
        elif current := recording.text(event, "current"):
            _switched(recording, event, drafts, (before, current, last))
            before = current


def _register(recording: Recording, event: Event, draft: Draft) -> None:
    quality = _quality(recording, event)
    draft.rating, draft.frequency_hz = quality, recording.number(event, "tc_frequency")
    what = _registered(recording, event, quality)
    draft.step(recording, event, what, ClockState.REGISTERED, backtrace(recording, event))


def _switched(
    recording: Recording,
    event: Event,
    drafts: dict[tuple[str, ClockRole], Draft],
    names: tuple[str, str, str],
) -> None:
    """Which timecounter a tc_init left in use; ``names``: before, now, and the new one."""
    before, current, last = names
    if current != before:
        if draft := _draft(drafts, current):
            draft.step(recording, event, f"selected instead of {before}", ClockState.SELECTED)
    elif last and last != current and (draft := _draft(drafts, last)):
        why = f"not selected: {_why_not(draft.rating or 0, current)}"
        never = (draft.rating or 0) < 0
        draft.step(recording, event, why, ClockState.REJECTED if never else ClockState.REGISTERED)


def _quality(recording: Recording, event: Event) -> int | None:
    return signed(recording.number(event, "tc_quality"))


def _registered(recording: Recording, event: Event, quality: int | None) -> str:
    mask = recording.number(event, "tc_counter_mask")
    set_flags = flags(recording.number(event, "tc_flags") or 0, _COUNTER_FLAGS)
    parts = ["registered"]
    parts += [f"quality {quality}"] if quality is not None else []
    parts += [f"{mask.bit_length()} bits"] if mask else []
    return ", ".join(parts + ([set_flags] if set_flags else []))


def _why_not(quality: int, current: str) -> str:
    """tc_init (sys/kern/kern_tc.c): never one of negative quality, else the better one."""
    if quality < 0:
        return f"its quality {quality} is negative"
    return f"{current} is better, or was chosen by kern.timecounter.hardware"


def _timers(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> None:
    """Every et_register."""
    for event in entries(recording, "et_register"):
        name = recording.text(event, "et_name")
        draft = _draft(drafts, name, ClockRole.EVENTS) if name else None
        if draft is None:
            continue
        draft.rating = signed(recording.number(event, "et_quality"))
        draft.frequency_hz = recording.number(event, "et_frequency") or None
        able = flags(recording.number(event, "et_flags") or 0, _TIMER_FLAGS)
        what = f"registered, quality {draft.rating}" + (f", {able}" if able else "")
        draft.step(recording, event, what, ClockState.REGISTERED, backtrace(recording, event))


def _from_console(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> None:
    for known, line, match in matches(recording):
        if known.name in ("timecounter", "insufficient"):
            draft = _draft(drafts, match[1])
            quality = int(match[3]) if known.name == "timecounter" else -2000
        elif known.name == "event timer":
            draft = _draft(drafts, match[1], ClockRole.EVENTS)
            quality = int(match[3])
        else:
            continue
        if draft:
            draft.rating = quality
            draft.frequency_hz = int(match[2]) if match[2] else None
            draft.step(recording, line, f"registered, quality {quality}", ClockState.REGISTERED)


def _from_look(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> None:
    """What the kernel's lists say at the end: the last word on frequency and quality."""
    for key, role in (("timecounters", ClockRole.SOURCE), ("eventtimers", ClockRole.EVENTS)):
        listed = recording.looked.get(key)
        rows = listed.get("rows", ()) if isinstance(listed, dict) else ()
        for row in rows if isinstance(rows, list) else ():
            _amend(drafts, row, role)


def _amend(drafts: dict[tuple[str, ClockRole], Draft], row: Any, role: ClockRole) -> None:
    if not isinstance(row, dict):
        return
    name, hz, quality = (row.get(k) for k in ("name", "frequency", "quality"))
    if not isinstance(name, str) or not isinstance(hz, int) or not isinstance(quality, int):
        return
    new = (name, role) not in drafts
    draft = _draft(drafts, name, role)
    if draft is None:
        return
    if new:
        draft.state = ClockState.REGISTERED
    draft.frequency_hz, draft.rating = hz or draft.frequency_hz, quality


def looked_name(recording: Recording, key: str) -> str | None:
    """The name of what ``timecounter`` or ``timer`` pointed to at the end."""
    row = recording.looked.get(key)
    name = row.get("name") if isinstance(row, dict) else None
    return name if isinstance(name, str) else None


def _select(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> str | None:
    """The timecounter in use at the end: by its variable, by tc_init's last, by the rule."""
    current = [
        name
        for event in recording.events
        if recording.function(event) == "tc_init" and (name := recording.text(event, "current"))
    ]
    selected = looked_name(recording, "timecounter") or next(reversed(current), None)
    selected = selected or _best(drafts, ClockRole.SOURCE)
    if selected is None:
        return None
    for draft in drafts.values():
        if draft.role is ClockRole.SOURCE and draft.state is ClockState.SELECTED:
            draft.state = ClockState.REGISTERED
    if chosen := _draft(drafts, selected):
        chosen.state = ClockState.SELECTED
        if selected == DUMMY:
            chosen.frequency_hz, chosen.rating = _DUMMY_HZ, _DUMMY_QUALITY
            chosen.how = "moves by one each time it is read"
    return selected


def _best(drafts: dict[tuple[str, ClockRole], Draft], role: ClockRole) -> str | None:
    """By tc_init's rule: the best quality that is not negative, and the latest among equals."""
    able = [d for d in drafts.values() if d.role is role and (d.rating or 0) >= 0]
    if not able:
        return None
    return max(enumerate(able), key=lambda pair: (pair[1].rating or 0, pair[0]))[1].name


def _select_timer(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> str | None:
    """The event timer in use: ``timer``, which cpu_initclocks_bsp sets."""
    name = looked_name(recording, "eventtimer")
    if name is None and not recording.looked:
        started = any(known.name == "tick" for known, _, _ in matches(recording))
        name = _best(drafts, ClockRole.EVENTS) if started else None
    draft = _draft(drafts, name, ClockRole.EVENTS) if name else None
    if draft:
        event = next(entries(recording, "cpu_initclocks_bsp"), None)
        if event:
            draft.step(recording, event, "selected by its quality", ClockState.SELECTED)
        draft.state = ClockState.SELECTED
    return name


def _unregistered_tsc(
    recording: Recording,
    drafts: dict[tuple[str, ClockRole], Draft],
    calibrations: tuple[Calibration, ...],
) -> None:
    """A TSC that was looked at and never given to tc_init, and why."""
    if any((name, ClockRole.SOURCE) in drafts for name in TSC_NAMES):
        return
    tries = [c for c in calibrations if c.of == "tsc"]
    if not tries or (draft := _draft(drafts, "TSC")) is None:
        return
    draft.state = ClockState.CALIBRATED if tries[-1].result_hz else ClockState.PROBED
    draft.frequency_hz = tries[-1].result_hz
    if SWITCHED_OFF in tries[-1].detail or _number(recording, "tsc_disabled"):
        draft.state = ClockState.REJECTED


def _unreached_pvclock(recording: Recording, drafts: dict[tuple[str, ClockRole], Draft]) -> None:
    """kvmclock in the kernel file and not among the timecounters, and why (kvm_clock.c)."""
    compiled = recording.header.kernel.clock_functions
    if (PVCLOCK, ClockRole.SOURCE) in drafts or not watched(recording):
        return
    if not any("pvclock" in name or "kvm_clock" in name for name in compiled):
        return
    if draft := _draft(drafts, PVCLOCK):
        draft.state, draft.how = ClockState.OFFERED, _why_unreached(recording, compiled)
        for event in entries(recording, "kvm_clock_identify", "kvm_clock_probe"):
            name = recording.function(event) or ""
            draft.step(recording, event, f"{name} looked for it", ClockState.PROBED)


def _why_unreached(recording: Recording, compiled: tuple[str, ...]) -> str:
    """kvm_clock_identify adds the device when the hypervisor is KVM and has the feature."""
    if not any(name.startswith("kvm_clock") for name in compiled):
        return "the device kvm_clock is not in the kernel's configuration"
    guest = _number(recording, "vm_guest")
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


def _number(recording: Recording, name: str) -> int | None:
    variables = recording.looked.get("variables")
    value = variables.get(name) if isinstance(variables, dict) else None
    return value if isinstance(value, int) else None


def _tell_how(
    drafts: dict[tuple[str, ClockRole], Draft], calibrations: tuple[Calibration, ...]
) -> None:
    """How each frequency was found."""
    for (name, role), draft in drafts.items():
        of = "tsc" if name in TSC_NAMES else "lapic" if name == "LAPIC" else None
        tries = [c for c in calibrations if c.of == of]
        if of:
            draft.steps += [_step_of(c) for c in tries]
            draft.how = _how(tries) or draft.how
        elif role is ClockRole.SOURCE or name in ("i8254", "HPET"):
            draft.how = draft.how or _HOW.get(name, "")


def _step_of(calibration: Calibration) -> Step:
    result = f"{calibration.result_hz:,} Hz" if calibration.result_hz else "nothing"
    what = f"{calibration.method} against {calibration.against}: {result} ({calibration.detail})"
    return Step(calibration.end_ns, what, calibration.evidence)


def _how(tries: list[Calibration]) -> str:
    good = [c for c in tries if c.result_hz]
    if not good:
        return "; ".join(dict.fromkeys(c.detail for c in tries))
    return f"{good[-1].method} against {good[-1].against}"
