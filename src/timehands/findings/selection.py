"""TH2xx: a worse clock in use than the machine offers, or than the kernel could use."""

from __future__ import annotations

from collections.abc import Iterable

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.guests.telling import NOT_INVARIANT
from timehands.story.model import Clock, ClockRole, ClockState, Mark, OutcomeKind


def slow_fallback(case: Case) -> Iterable[Finding]:
    """TH201: a clock of last resort is read though the machine offers better."""
    name, fallbacks = case.story.selected, case.knowledge.names.fallbacks
    better = [clock for clock in ("pvclock", "tsc", "hpet") if case.offers(clock)]
    if name is None or name not in fallbacks or not better or not _chosen(case, name):
        return
    selected = case.story.clock(name)
    rejected = _better_but_rejected(case)
    yield Finding(
        "TH201",
        f"slow fallback clock selected: {name}",
        Severity.ERROR,
        f"{name} {fallbacks[name]}. The machine offers {_offered(case, better)}. "
        + " ".join(_why_rejected(c) for c in rejected),
        tuple(_selection_evidence(case, selected, rejected)),
        _selection_fixes(case, rejected),
    )


def _offered(case: Case, names: list[str]) -> str:
    """Clocks, and what the survey says against them: ``tsc (not invariant) and hpet``."""
    offers = [case.survey.offer(name) if case.survey else None for name in names]
    doubts = [NOT_INVARIANT if o and o.detail == NOT_INVARIANT else "" for o in offers]
    told = (f"{n} ({d})" if d else n for n, d in zip(names, doubts, strict=True))
    return " and ".join(told)


def _better_but_rejected(case: Case) -> list[Clock]:
    """The sources of time that the kernel does not take; without fallbacks, and without timers
    whose count it can read too.
    """
    worse = {*case.knowledge.names.fallbacks}
    worse |= {clock.name for clock in case.story.clocks if clock.role is ClockRole.EVENTS}
    return [
        clock
        for clock in case.story.clocks
        if clock.role is ClockRole.SOURCE
        and clock.state is ClockState.REJECTED
        and clock.name not in worse
    ]


def _selection_fixes(case: Case, rejected: list[Clock]) -> tuple[Fix, ...]:
    """Words that make the kernel trust the clock; a CPU that says itself that it may."""
    if not rejected:
        return ()
    words = case.arguments_for(_need(case), case.tsc_hz)
    doubted = any(NOT_INVARIANT in step.what for clock in rejected for step in clock.steps)
    if not doubted:
        return words
    why = "the CPU then says that its TSC is invariant, as the kernel asks"
    if case.machine.accelerator == "kvm":
        return (*words, Fix(FixKind.CPU_FLAG, "+invtsc", why))
    return (*words, Fix(FixKind.ADVICE, "--accel kvm with the CPU flag +invtsc", why))


def _need(case: Case) -> Need:
    """A TSC of known frequency was thrown out by a watchdog; one of unknown frequency has none."""
    known = case.story.boundary_ns(Mark.CLOCK_KNOWN) is not None
    return Need.TRUST_TSC if known else Need.TSC_FREQUENCY


def _chosen(case: Case, name: str) -> bool:
    """Whether the boot came as far as choosing: before that every kernel runs on its fallback."""
    clock = case.story.clock(name)
    switched = clock is not None and any(step.what == "selected" for step in clock.steps)
    return switched or case.story.outcome.kind is OutcomeKind.INIT_REACHED


def _why_rejected(clock: Clock) -> str:
    """The cause that the kernel saw, and what it decided; else the last that was seen of it."""
    causes = [step.what for step in clock.steps if NOT_INVARIANT in step.what]
    decided = [step.what for step in clock.steps if step.what.startswith("not selected")]
    said = [*causes[:1], *decided[-1:]] or [step.what for step in clock.steps[-1:]]
    return f"{clock.name} was rejected ({'; '.join(said) or 'why was not seen'})."


def _selection_evidence(
    case: Case, selected: Clock | None, rejected: list[Clock]
) -> Iterable[Evidence]:
    if selected:
        word = case.knowledge.names.ranking
        rating = f", {word} {selected.rating}" if selected.rating is not None else ""
        yield Evidence(f"{selected.name} is in use{rating}", selected.evidence)
    for clock in rejected:
        yield Evidence(f"{clock.name} was rejected", clock.evidence)


def pvclock_not_used(case: Case) -> Iterable[Finding]:
    """TH202: the machine offers pvclock and the kernel does not read time from it."""
    selected = case.story.selected
    names = case.knowledge.names
    if not case.offers("pvclock") or selected is None or selected in names.pvclock:
        return
    if not _chosen(case, selected):
        return
    touched = case.touched.get("pvclock")
    able = (ClockState.REGISTERED, ClockState.SELECTED, ClockState.REJECTED)
    registered = [c for c in case.story.clocks if c.name in names.pvclock and c.state in able]
    if selected in names.tsc and registered:
        return
    supports = _supports_pvclock(case)
    why = (
        "The kernel has a driver for it, but did not choose it."
        if supports
        else "The kernel has no driver for it."
    )
    yield Finding(
        "TH202",
        "pvclock offered and not used",
        Severity.WARNING,
        f"{why} It gives time without calibration, and across migration and snapshots.",
        (
            Evidence("CPUID offers pvclock (survey)"),
            *(
                [Evidence("its MSRs were written", (touched.first[0].reference,))]
                if touched
                else []
            ),
        ),
        case.arguments_for(Need.PVCLOCK)
        if registered
        else (Fix(FixKind.ADVICE, "build the kernel with its pvclock driver", "it is offered"),),
    )


def pvclock_not_offered(case: Case) -> Iterable[Finding]:
    """TH203: the kernel could use pvclock, and the machine does not offer it."""
    if not case.lacks("pvclock") or not _supports_pvclock(case) or _unreached(case):
        return
    yield Finding(
        "TH203",
        "pvclock supported by the kernel and not offered",
        Severity.NOTE,
        "With pvclock the kernel knows its TSC frequency without measuring, and its time survives "
        "migration and snapshots. This machine does not offer it.",
        (Evidence("CPUID offers no pvclock (survey); the kernel file has its driver"),),
        _pvclock_fixes(case),
    )


def _unreached(case: Case) -> list[Clock]:
    """A pvclock that the kernel file has and that came no further than being looked for."""
    early = (ClockState.OFFERED, ClockState.PROBED)
    names = case.knowledge.names.pvclock
    return [c for c in case.story.clocks if c.name in names and c.state in early]


def pvclock_never_reached(case: Case) -> Iterable[Finding]:
    """TH205: the kernel has a pvclock driver, and why nothing of it ran."""
    for clock in _unreached(case):
        offered = case.offers("pvclock")
        yield Finding(
            "TH205",
            f"{clock.name} compiled in and never reached",
            Severity.WARNING if offered else Severity.NOTE,
            f"The driver is in the kernel and was not used: {clock.how}. With it time needs no "
            "calibration and holds across migration and snapshots.",
            (Evidence(clock.how, clock.evidence),),
            () if offered else _pvclock_fixes(case),
        )


def _pvclock_fixes(case: Case) -> tuple[Fix, ...]:
    if case.on_monitor:
        return (Fix(FixKind.CLOCK, "pvclock=ours", "the monitor then offers it"),)
    if case.machine.accelerator == "kvm":
        return (Fix(FixKind.CPU_FLAG, "+kvmclock", "KVM then offers its clock"),)
    why = "the TCG emulator has no pvclock"
    return (Fix(FixKind.ADVICE, "run it with KVM (--accel kvm)", why),)


def lapic_timer_not_used(case: Case) -> Iterable[Finding]:
    """TH204: the tick comes from an older timer though the machine has a LAPIC."""
    timer = case.story.selected_timer
    if timer is None or "lapic" in timer.lower() or not case.offers("lapic"):
        return
    lapics = [c for c in case.story.clocks if "lapic" in c.name.lower() and c.steps]
    if any(clock.state is not ClockState.REJECTED for clock in lapics):
        return
    clock = case.story.clock(timer, ClockRole.EVENTS)
    ticks = timer not in ("pit", "i8254") or case.offers("i8254")
    yield Finding(
        "TH204",
        f"LAPIC timer offered and not used: the tick comes from {timer}",
        Severity.NOTE if ticks else Severity.ERROR,
        f"{_why_no_lapic(lapics)} {timer} "
        + ("needs an exit to the VMM for each programming." if ticks else "does not tick here."),
        (
            Evidence(f"{timer} was set up as the tick", clock.evidence if clock else ()),
            *(Evidence(f"lapic: {c.steps[-1].what}", c.evidence) for c in lapics),
        ),
        case.arguments_for(_need(case), case.tsc_hz) if lapics else case.acpi_fixes,
    )


def _why_no_lapic(rejected: list[Clock]) -> str:
    if rejected:
        return (
            "The kernel found its LAPIC, calibrated it, and did not trust the result "
            f"({rejected[-1].steps[-1].what}). It measures the LAPIC against its TSC, or against "
            "the tick where the TSC's frequency is not known."
        )
    return (
        "A kernel uses its LAPIC when ACPI or an MP table tells of it, and neither told this one: "
        "the machine has no ACPI tables, or the kernel reads no MP table."
    )


def _supports_pvclock(case: Case) -> bool:
    return any("kvmclock" in name or "pvclock" in name for name in case.kernel.clock_functions)
