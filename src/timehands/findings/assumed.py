"""TH306 and TH307: a hypervisor's clock, or a ramdisk, that the kernel takes for what it is not."""

from __future__ import annotations

from collections.abc import Iterable

from timehands.findings.case import Case
from timehands.findings.model import Evidence, Finding, Fix, FixKind, Severity
from timehands.guests.base import Need
from timehands.guests.telling import XEN_CLOCK
from timehands.story.model import OutcomeKind

#: Functions that read Xen's clock for a busy wait, by their names in the BSDs.
_READERS = ("xen_delay", "pvclock_get_timecount")
_FAILED = (OutcomeKind.PANICKED, OutcomeKind.RESET, OutcomeKind.HUNG, OutcomeKind.HALTED)


def xen_delay_off_xen(case: Case) -> Iterable[Finding]:
    """TH306: busy waits read the page of Xen's clock, and there is no Xen."""
    outcome, steps = case.story.outcome, case.story.delay
    where = f"{outcome.where or ''} {outcome.text}"
    died_there = outcome.kind in _FAILED and any(name in where for name in _READERS)
    routed = [step for step in steps if step.what.startswith(XEN_CLOCK)]
    if case.offers("xen") or not (died_there or routed):
        return
    callers = next((step.backtrace for step in reversed(routed) if step.backtrace), ())
    first = f" The first wait came from {callers[0]}." if callers else ""
    yield Finding(
        "TH306",
        "early busy waits read Xen's clock, and there is no Xen",
        Severity.ERROR if died_there else Severity.WARNING,
        "A kernel that is entered through PVH takes itself for a Xen guest: until it has a clock "
        "of its own its busy waits (DELAY) read Xen's shared page, which only Xen provides. "
        + ("The pointer to it is null, and the read is a fault." if died_there else "")
        + first,
        (
            Evidence(outcome.text, outcome.evidence),
            *(Evidence(f"busy waits by {step.what}", step.evidence) for step in routed),
        ),
        (
            *case.arguments_for(Need.EARLY_DELAY),
            Fix(
                FixKind.ADVICE,
                "an invariant TSC whose frequency a CPUID leaf tells",
                "busy waits then use the TSC from the start (KVM with +invtsc)",
            ),
        ),
    )


def ramdisk_not_taken(case: Case) -> Iterable[Finding]:
    """TH307: the ramdisk that was given is none for this kernel."""
    note = case.recording.header.ramdisk_note
    if not note:
        return
    ended = case.story.outcome.kind in (OutcomeKind.RESET, OutcomeKind.PANICKED)
    yield Finding(
        "TH307",
        "the ramdisk is not what this kernel takes for one",
        Severity.ERROR if ended else Severity.WARNING,
        f"{note[0].upper()}{note[1:]}.",
        (Evidence(f"given: {case.recording.header.load.initrd}", case.story.outcome.evidence),),
        (Fix(FixKind.ADVICE, "boot it without --initrd, or with --disk", "as this kernel does"),),
    )
