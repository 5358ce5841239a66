"""TH1xx: frequencies that are unknown, wrong, or not to be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity, Trial
from timehands.guests.base import Need
from timehands.guests.telling import SWITCHED_OFF, TAKEN_AS_EXACT
from timehands.story.model import Calibration, Mark, Story

#: Two measures of one frequency that differ by more than this do not agree.
TOLERANCE_PPM = 500
_MILLION = 1_000_000
TIMING_LEAF = 0x40000010
#: Less than this is no frequency of that clock.
_LOWEST_HZ = {"tsc": 100 * _MILLION, "lapic": _MILLION}
_HARM = {
    "tsc": "Time will run at the wrong rate, and differently after each boot.",
    "lapic": "Timers will fire too early or too late, and differently after each boot.",
}


def tsc_frequency_unknown(case: Case) -> Iterable[Finding]:
    """TH101: every way to the TSC's frequency was tried, and none gave it."""
    tries = [c for c in case.story.calibrations if c.of == "tsc"]
    if not tries or case.story.boundary_ns(Mark.CLOCK_KNOWN) is not None or _tsc_registered(case):
        return
    if any(SWITCHED_OFF in c.detail for c in tries):  # TH104 says why
        return
    yield Finding(
        "TH101",
        "TSC frequency unknown",
        Severity.ERROR,
        _why_unknown(case, tries),
        tuple(_as_evidence(c) for c in tries),
        _frequency_fixes(case),
        sum(c.duration_ns for c in tries),
    )


def _tsc_registered(case: Case) -> bool:
    names = case.knowledge.names.tsc
    return any(clock.frequency_hz for clock in case.story.clocks if clock.name in names)


def _why_unknown(case: Case, tries: list[Calibration]) -> str:
    doubt = case.survey.facts.doubt(TIMING_LEAF) if case.survey else ""
    told = f"CPUID does not tell it ({doubt})" if doubt else "no CPUID leaf gave it"
    measured = [c for c in tries if not c.told]
    ways = ", then ".join(f"{c.method} against {c.against}" for c in measured)
    failed = f", and measuring failed: {ways}" if ways else ""
    return f"{told}{failed}. Without it the kernel cannot use its TSC{after_unknown(case)}."


def after_unknown(case: Case) -> str:
    """What a kernel made of a TSC frequency of 0, when that ended its boot."""
    assertion = "TSC not initialized" in case.story.outcome.text
    return ", and an assertion ended the boot (TSC not initialized)" if assertion else ""


def _as_evidence(calibration: Calibration) -> Evidence:
    return Evidence(f"{calibration.method}: {calibration.detail}", calibration.evidence)


def _frequency_fixes(case: Case) -> tuple[Fix, ...]:
    """Tell the frequency; or give the kernel back what it measures against."""
    fixes = list(case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz))
    fixes += case.arguments_for(Need.TSC_CALIBRATION)
    if not case.machine.has("pit") and case.lacks("i8254"):
        fixes.append(Fix(FixKind.DEVICE, "pit=on", "the kernel measures its TSC against the i8254"))
    return (*fixes, *case.leaf_fixes)


def calibration_unreliable(case: Case) -> Iterable[Finding]:
    """TH102: what the kernel measured differs from what the survey measured."""
    survey = case.survey
    if survey is None or survey.tsc is None or survey.ruler != "host":
        return
    for calibration in case.story.calibrations:
        rate = survey.tsc if calibration.of == "tsc" else survey.lapic.rate
        if calibration.of not in ("tsc", "lapic") or not calibration.result_hz or rate is None:
            continue
        hz = calibration.result_hz
        if not _used(case, calibration.of, hz):
            continue
        if calibration.against in case.knowledge.names.dummies:  # TH105 says why
            continue
        off = _outside_ppm(hz, rate.low_hz, rate.high_hz)
        if abs(off) <= TOLERANCE_PPM:
            continue
        measured = f"{rate.low_hz:,} to {rate.high_hz:,} Hz"
        yield Finding(
            "TH102",
            f"{calibration.of.upper()} calibration off by {off:+,} ppm",
            Severity.WARNING if abs(off) < 10 * TOLERANCE_PPM else Severity.ERROR,
            f"{calibration.method} found {hz:,} Hz against {calibration.against}; the survey of "
            f"the same machine measured {measured} against the host's clock. "
            + _HARM[calibration.of],
            (_as_evidence(calibration),),
            _calibration_fixes(case, calibration),
        )


def frequency_believed_is_wrong(case: Case) -> Iterable[Finding]:
    """TH102: of a boot whose functions nobody watched: the kernel's own variable is off."""
    survey = case.survey
    if survey is None or survey.tsc is None or survey.ruler != "host":
        return
    if any(c.of == "tsc" and c.result_hz for c in case.story.calibrations):
        return  # how it came to that is known, and judged
    units = case.knowledge.names.tsc_facts
    for fact in case.story.facts:
        if fact.name not in units or not isinstance(fact.value, int) or fact.value <= 0:
            continue
        hz, rate = fact.value * units[fact.name], survey.tsc
        off = _outside_ppm(hz, rate.low_hz, rate.high_hz)
        if abs(off) <= TOLERANCE_PPM:
            continue
        yield Finding(
            "TH102",
            f"TSC believed to have {hz:,} Hz: off by {off:+,} ppm",
            Severity.WARNING if abs(off) < 10 * TOLERANCE_PPM else Severity.ERROR,
            f"When the boot ended {fact.name} was {fact.value:,}; the survey of the same machine "
            f"measured {rate.low_hz:,} to {rate.high_hz:,} Hz against the host's clock. "
            + _HARM["tsc"],
            (Evidence(f"{fact.name}, a variable of the kernel, at the end"),),
            case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz),
        )
        return


def measured_hz(story: Story, of: str = "tsc") -> int | None:
    """The frequency that the kernel measured last, against whatever; None: it measured none."""
    measured = (
        c.result_hz
        for c in reversed(story.calibrations)
        if c.of == of and c.result_hz and not c.told
    )
    return next(measured, None)


def calibration_varies(case: Case, trials: Sequence[Trial]) -> Iterable[Finding]:
    """TH102: boots of one kernel on this host measured frequencies that do not agree."""
    true = (trial for trial in trials if "TH105" not in trial.left)  # TH105: no reference at all
    first = None if _against_dummy(case) else measured_hz(case.story)
    found = [first, *(trial.measured_hz for trial in true)]
    known = sorted(hz for hz in found if hz)
    if len(known) < 2 or case.machine.deterministic:
        return
    apart = _outside_ppm(known[-1], known[0], known[0])
    if apart <= TOLERANCE_PPM:
        return
    yield Finding(
        "TH102",
        f"TSC calibration differs by {apart:,} ppm between boots",
        Severity.WARNING,
        f"{len(known)} boots on this host measured {known[0]:,} to {known[-1]:,} Hz for one TSC. "
        + _HARM["tsc"],
        (Evidence("the first boot and the trials of the proof"),),
        case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz),
    )


def _against_dummy(case: Case) -> bool:
    dummies = case.knowledge.names.dummies
    return any(c.against in dummies for c in case.story.calibrations)


def _used(case: Case, of: str, hz: int) -> bool:
    """Whether the kernel goes by it: its LAPIC may be rejected, its TSC's rate told or refined."""
    if of == "lapic":
        return "lapic" in (case.story.selected_timer or "").lower()
    names = case.knowledge.names
    clocks = (c for c in case.story.clocks if c.name in names.tsc)
    registered = [c.frequency_hz for c in clocks if c.frequency_hz]
    return not registered or any(hz >> n in registered for n in range(names.tsc_shift + 1))


def _outside_ppm(hz: int, low_hz: int, high_hz: int) -> int:
    """How far outside the bounds, in ppm: negative below, positive above, 0 within."""
    if low_hz <= hz <= high_hz:
        return 0
    bound = low_hz if hz < low_hz else high_hz
    return (hz - bound) * _MILLION // bound


def _calibration_fixes(case: Case, calibration: Calibration) -> tuple[Fix, ...]:
    if calibration.of == "tsc":
        return case.arguments_for(Need.TSC_FREQUENCY, case.tsc_hz)
    return ()


def frequency_leaf_not_believable(case: Case) -> Iterable[Finding]:
    """TH103: leaf 0x40000010 answers, but its range does not reach there, or it is absurd."""
    believed = [c for c in case.story.calibrations if _is_absurd(c)]
    if believed:
        yield _absurd_leaf(case, believed)
        return
    if case.survey is None:
        return
    doubt = case.survey.facts.doubt(TIMING_LEAF)
    answer = case.survey.cpuid.get((TIMING_LEAF, 0))
    asked = [
        e for e in case.recording.events if e.kind.name == "CPUID" and e.leaf[0] == TIMING_LEAF
    ]
    if not doubt or answer is None or not any(answer) or not asked:
        return
    yield Finding(
        "TH103",
        "CPUID leaf 0x40000010 answers with another leaf's data",
        Severity.WARNING,
        f"It reads eax {answer.eax:#x}, ebx {answer.ebx:#x}, which would be a TSC of "
        f"{answer.eax:,} kHz and an APIC bus of {answer.ebx:,} kHz: {doubt}. A kernel that does "
        f"not check the range's limit believes it; this one asked for it.",
        (Evidence("seen by the survey"), *(Evidence("asked for", (e.reference,)) for e in asked)),
        (
            Fix(
                FixKind.ADVICE,
                "check CPUID 0x40000000 eax before the leaf is read",
                "in the kernel",
            ),
        ),
    )


def _is_absurd(calibration: Calibration) -> bool:
    """Whether a leaf was believed that no clock can have: a TSC below 100 MHz, a bus below 1."""
    lowest = _LOWEST_HZ.get(calibration.of)
    told = calibration.against.startswith("CPUID leaf")
    found = calibration.result_hz or (0 if TAKEN_AS_EXACT in calibration.detail else None)
    return bool(told and lowest and found is not None and found < lowest)


def _absurd_leaf(case: Case, believed: Sequence[Calibration]) -> Finding:
    first = believed[0]
    doubt = case.survey.facts.doubt(TIMING_LEAF) if case.survey else ""
    return Finding(
        "TH103",
        f"{first.against} was believed, and makes no sense",
        Severity.ERROR,
        f"{first.method} took {first.result_hz or 0:,} Hz for the {first.of.upper()}: no processor "
        f"of today has that{f' ({doubt})' if doubt else ''}. A leaf counts as exact: what is "
        "derived from it is wrong by the same factor, and nothing refines it later.",
        tuple(_as_evidence(c) for c in believed),
        (Fix(FixKind.ADVICE, "in the VMM, give the leaf true values or leave it out", "0 too"),),
    )
