"""The proof: the same boot again with the fixes of its findings, one at a time, then together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from timehands.boot import Booted, Prepared, Progress, Request, boot, prepare, with_proof
from timehands.errors import RecordingDamaged, TimehandsError
from timehands.findings.frequency import measured_hz
from timehands.findings.model import (
    Evidence,
    Finding,
    Fix,
    FixKind,
    Proof,
    Severity,
    Trial,
    Verdict,
    codes,
)
from timehands.machines.cache import write_atomically
from timehands.machines.survey import Survey
from timehands.reports.model import Report
from timehands.story.model import ClockRole, Mark, OutcomeKind, Story
from timehands.watch.recording import Recording

PROOF_FILE = "proof.json"
MOST_FIXES = 6
#: How often fixes that a trial calls for are added to those it had.
MOST_ROUNDS = 5
#: Two boots of the same thing differ by less than this share (or time): no gain, no loss.
NOISE_SHARE = 0.05
NOISE_NS = 30_000_000
#: Findings that a busy host makes by itself: with the same clock they say nothing of a fix.
HANG_ON_LOAD = frozenset({"TH502"})
_MAX_BYTES = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


async def prove(
    booted: Booted, prepared: Prepared, progress: Progress = lambda _text: None
) -> Booted:
    """Try the fixes of the findings and put what came out beside the first boot.

    Each fix of the first boot alone; then all that helped together with those that the best trial
    still calls for, and again with what that trial calls for, as causes come to light one after
    another; then what was found on the way, alone. The trials are recorded below the first boot's
    folder. What was tried before an interruption stays in ``proof.json``.
    """
    attempts = _Attempts(booted, prepared)
    singles = applicable(booted.report.findings)[:MOST_FIXES]
    for number, fix in enumerate(singles, 1):
        progress(f"proving fix {number} of {len(singles)}: {fix}")
        await attempts.make((fix,))
    together = attempts.together()
    for _ in range(MOST_ROUNDS):
        if len(together) < 2 or attempts.made(together):
            break
        progress("proving together: " + ", ".join(fix.value for fix in together))
        trial = await attempts.make(together)
        together = _compatible((*together, *attempts.called_for(trial)))
    for fix in attempts.found_later()[:MOST_FIXES]:
        progress(f"proving alone: {fix}")
        await attempts.make((fix,))
    return with_proof(booted, Proof(tuple(attempts.trials)), attempts.findings())


class _Attempts:
    """The trials of a proof so far, with what each one's boot showed."""

    def __init__(self, booted: Booted, prepared: Prepared) -> None:
        self.booted, self.prepared = booted, prepared
        self.trials: list[Trial] = []
        self._found: list[tuple[Finding, ...]] = []

    async def make(self, fixes: tuple[Fix, ...]) -> Trial:
        """Boot with these fixes; the proof so far is kept."""
        number = len(self.trials) + 1
        trial, findings = await _try(self.booted, self.prepared, fixes, number)
        self.trials.append(trial)
        self._found.append(findings)
        _save(self.booted, self.trials)
        return trial

    def made(self, fixes: tuple[Fix, ...]) -> bool:
        """Whether these fixes were tried together, in whatever order."""
        wanted = {(fix.kind, fix.value) for fix in fixes}
        return any({(f.kind, f.value) for f in t.fixes} == wanted for t in self.trials)

    def called_for(self, trial: Trial) -> tuple[Fix, ...]:
        """The fixes that a trial's own errors and warnings call for."""
        found = self._found[next(n for n, one in enumerate(self.trials) if one is trial)]
        return applicable(f for f in found if f.severity is not Severity.NOTE)

    def together(self) -> tuple[Fix, ...]:
        """The best single fix, what its boot still calls for, and every other that helped."""
        best = Proof(tuple(self.trials)).best
        if best is None:
            return ()
        helped = (trial.fixes[0] for trial in self.trials if _helped(trial))
        return _compatible((*best.fixes, *self.called_for(best), *helped))

    def found_later(self) -> tuple[Fix, ...]:
        """Fixes that were only tried with others."""
        tried = (fix for trial in self.trials for fix in trial.fixes)
        return tuple(fix for fix in dict.fromkeys(tried) if not self.made((fix,)))

    def findings(self) -> tuple[Finding, ...]:
        """Causes that only trials brought to light: errors that something can be done about."""
        known = set(codes(self.booted.report.findings))
        later: list[Finding] = []
        for trial, found in zip(self.trials, self._found, strict=True):
            for finding in found:
                new = finding.code not in known and finding.severity is Severity.ERROR
                further = trial.verdict in (Verdict.BETTER, Verdict.UNCHANGED)
                if new and further and applicable((finding,)):
                    known.add(finding.code)
                    later.append(_with_origin(finding, trial))
        return tuple(later)


def _with_origin(finding: Finding, trial: Trial) -> Finding:
    """A finding of a trial's boot as one of the first boot's: its evidence is in its recording."""
    by = " and ".join(fix.value for fix in trial.fixes)
    evidence = tuple(Evidence(f"{e.text} (in that boot)") for e in finding.evidence)
    cause = f"Seen when booted with {by}: {finding.cause}"
    return replace(finding, cause=cause, evidence=evidence, cost_ns=None)


def applicable(findings: Iterable[Finding]) -> tuple[Fix, ...]:
    """The fixes that can be applied from outside, each once, in the order of the findings."""
    unique: dict[tuple[FixKind, str], Fix] = {}
    for finding in findings:
        for fix in finding.fixes:
            if fix.applies:
                unique.setdefault((fix.kind, fix.value), fix)
    return tuple(unique.values())


def _helped(trial: Trial) -> bool:
    return trial.verdict in (Verdict.MENDED, Verdict.BETTER)


def _compatible(fixes: Iterable[Fix]) -> tuple[Fix, ...]:
    """Fixes that do not set the same thing twice; the first one wins."""
    chosen: list[Fix] = []
    taken: set[tuple[FixKind, str]] = set()
    for fix in fixes:
        sets = {(fix.kind, name) for name, _ in fix.settings}
        if not sets & taken:
            chosen.append(fix)
            taken |= sets
    return tuple(chosen)


async def _try(
    booted: Booted, prepared: Prepared, fixes: tuple[Fix, ...], number: int
) -> tuple[Trial, tuple[Finding, ...]]:
    """A trial, and what was found in its boot."""
    slug = _UNSAFE.sub("-", "-and-".join(fix.value for fix in fixes))[:60]
    folder = booted.recording.folder / "proof" / f"{number:02}-{slug}"
    request = apply(replace(prepared.request, folder=folder), fixes)
    same = request.machine == prepared.request.machine
    surveyed: Survey | None = booted.report.survey if same else None
    try:
        after = await boot(prepare(request), surveyed=surveyed)
    except TimehandsError as error:
        failed = Trial(
            fixes, Verdict.FAILED, "did not start", None, None, None, None, error=str(error)
        )
        return failed, ()
    return judge(booted, after, fixes), after.report.findings


def apply(request: Request, fixes: Iterable[Fix]) -> Request:
    """The request with these fixes in it."""
    for fix in fixes:
        match fix.kind:
            case FixKind.KERNEL_ARGUMENT:
                words = tuple(fix.value.split())
                request = replace(request, arguments=(*request.arguments, *words))
            case FixKind.PATCH:
                request = replace(request, patches=(*request.patches, fix.value))
            case _:
                request = replace(request, machine=fix.applied_to(request.machine))
    return request


def judge(before: Booted, after: Booted, fixes: tuple[Fix, ...]) -> Trial:
    """What a trial showed against the first boot."""
    old, new = before.report, after.report
    gone = tuple(code for code in codes(old.findings) if code not in codes(new.findings))
    aimed = {f.code for f in old.findings if any(fix in f.fixes for fix in fixes)}
    gained = _gained_ns(old.story, new.story)
    return Trial(
        fixes,
        _verdict(old, new, aimed & set(gone), gained),
        new.story.outcome.kind.value,
        new.story.selected,
        _selected_hz(new.story),
        new.story.boot_ns,
        gained,
        gone,
        codes(new.findings),
        str(after.recording.folder),
        measured_hz=measured_hz(new.story),
        lapic_hz=measured_hz(new.story, "lapic"),
        reached=next((b.how for b in new.story.boundaries if b.name is Mark.INIT and b.at_ns), ""),
    )


def _verdict(old: Report, new: Report, mended: set[str], gained_ns: int | None) -> Verdict:
    reached = OutcomeKind.INIT_REACHED
    before, after = (report.story.outcome.kind is reached for report in (old, new))
    errors = _errors(new)
    if not after:
        if before:
            return Verdict.WORSE
        further = mended and new.story.outcome.text != old.story.outcome.text
        return Verdict.BETTER if further else Verdict.UNCHANGED
    if not before:
        return Verdict.BETTER if errors else Verdict.MENDED
    if new.story.selected == old.story.selected:
        errors -= HANG_ON_LOAD
    if errors - _errors(old):
        return Verdict.WORSE
    if mended:
        return Verdict.MENDED
    if gained_ns is None or abs(gained_ns) <= max(NOISE_NS, NOISE_SHARE * (old.story.boot_ns or 0)):
        return Verdict.UNCHANGED
    return Verdict.BETTER if gained_ns > 0 else Verdict.WORSE


def _errors(report: Report) -> set[str]:
    return {f.code for f in report.findings if f.severity is Severity.ERROR}


def _gained_ns(old: Story, new: Story) -> int | None:
    """How much shorter the boot was; None when they did not both come to init."""
    reached = OutcomeKind.INIT_REACHED
    if old.outcome.kind is not reached or new.outcome.kind is not reached:
        return None
    return old.boot_ns - new.boot_ns if old.boot_ns and new.boot_ns else None


def _selected_hz(story: Story) -> int | None:
    clock = story.clock(story.selected, ClockRole.SOURCE) if story.selected else None
    return clock.frequency_hz if clock else None


def _save(booted: Booted, trials: list[Trial]) -> None:
    text = json.dumps([asdict(trial) for trial in trials], indent=1)
    write_atomically(booted.recording.folder / PROOF_FILE, text.encode(), mode=0o644)


def load_proof(recording: Recording) -> Proof | None:
    """The proof that was kept with a recording; None: none. Raises `RecordingDamaged`."""
    path = recording.folder / PROOF_FILE
    try:
        with path.open("rb") as file:
            rows = json.loads(file.read(_MAX_BYTES))
        return Proof(tuple(_trial(row) for row in rows))
    except FileNotFoundError:
        return None
    except (OSError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise RecordingDamaged(
            f"{PROOF_FILE} makes no sense: {error}", path=recording.folder
        ) from error


def _trial(row: Mapping[str, Any]) -> Trial:
    fixes = tuple(Fix(FixKind(f["kind"]), str(f["value"]), str(f["why"])) for f in row["fixes"])
    return Trial(
        fixes,
        Verdict(row["verdict"]),
        str(row["outcome"]),
        selected=_text(row["selected"]),
        frequency_hz=_whole(row["frequency_hz"]),
        boot_ns=_whole(row["boot_ns"]),
        gained_ns=_whole(row["gained_ns"]),
        mended=tuple(map(str, row["mended"])),
        left=tuple(map(str, row["left"])),
        recording=_text(row["recording"]),
        error=_text(row["error"]),
        measured_hz=_whole(row.get("measured_hz")),
        lapic_hz=_whole(row.get("lapic_hz")),
        reached=str(row.get("reached") or ""),
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
