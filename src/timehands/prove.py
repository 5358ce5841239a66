"""The proof: the same boot again with the fixes of its findings, one at a time, then together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from timehands.boot import Booted, Prepared, Progress, Request, boot, prepare, with_proof
from timehands.errors import RecordingDamaged, TimehandsError
from timehands.findings.model import (
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
from timehands.story.model import ClockRole, OutcomeKind, Story
from timehands.watch.recording import Recording

PROOF_FILE = "proof.json"
MOST_FIXES = 6
#: Two boots of the same thing differ by less than this share (or time): no gain, no loss.
NOISE_SHARE = 0.05
NOISE_NS = 30_000_000
_MAX_BYTES = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


async def prove(
    booted: Booted, prepared: Prepared, progress: Progress = lambda _text: None
) -> Booted:
    """Try the fixes of the findings and put what came out beside the first boot.

    The trials are recorded below the first boot's folder. What was tried before an interruption
    stays in ``proof.json``.
    """
    trials: list[Trial] = []
    fixes = applicable(booted.report.findings)
    for number, fix in enumerate(fixes[:MOST_FIXES], 1):
        progress(f"proving fix {number} of {len(fixes)}: {fix}")
        trials.append(await _try(booted, prepared, (fix,), number))
        _save(booted, trials)
    together = _compatible(trial.fixes[0] for trial in trials if _helped(trial))
    if len(together) > 1:
        progress("proving the fixes together")
        trials.append(await _try(booted, prepared, together, len(trials) + 1))
        _save(booted, trials)
    return with_proof(booted, Proof(tuple(trials)))


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
    chosen: dict[tuple[FixKind, str], Fix] = {}
    for fix in fixes:
        chosen.setdefault((fix.kind, fix.value.lstrip("+-").split("=", 1)[0]), fix)
    return tuple(chosen.values())


async def _try(booted: Booted, prepared: Prepared, fixes: tuple[Fix, ...], number: int) -> Trial:
    slug = _UNSAFE.sub("-", "-and-".join(fix.value for fix in fixes))[:60]
    folder = booted.recording.folder / "proof" / f"{number:02}-{slug}"
    request = apply(replace(prepared.request, folder=folder), fixes)
    same = request.machine == prepared.request.machine
    surveyed: Survey | None = booted.report.survey if same else None
    try:
        after = await boot(prepare(request), surveyed=surveyed)
    except TimehandsError as error:
        return Trial(
            fixes, Verdict.FAILED, "did not start", None, None, None, None, error=str(error)
        )
    return judge(booted, after, fixes)


def apply(request: Request, fixes: Iterable[Fix]) -> Request:
    """The request with these fixes in it."""
    for fix in fixes:
        if fix.kind is FixKind.KERNEL_ARGUMENT:
            request = replace(request, arguments=(*request.arguments, fix.value))
        else:
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
        _verdict(old.story, new.story, aimed & set(gone), gained, _new_errors(before, after)),
        new.story.outcome.kind.value,
        new.story.selected,
        _selected_hz(new.story),
        new.story.boot_ns,
        gained,
        gone,
        codes(new.findings),
        str(after.recording.folder),
    )


def _verdict(
    old: Story, new: Story, mended: set[str], gained_ns: int | None, new_errors: bool
) -> Verdict:
    before, after = (s.outcome.kind is OutcomeKind.INIT_REACHED for s in (old, new))
    if before and not after:
        return Verdict.WORSE
    if after and not before:
        return Verdict.BETTER if new_errors else Verdict.MENDED
    if new_errors:
        return Verdict.WORSE
    if mended:
        return Verdict.MENDED
    if gained_ns is None or abs(gained_ns) <= max(NOISE_NS, NOISE_SHARE * (old.boot_ns or 0)):
        return Verdict.UNCHANGED
    return Verdict.BETTER if gained_ns > 0 else Verdict.WORSE


def _new_errors(before: Booted, after: Booted) -> bool:
    old = set(codes(before.report.findings))
    return any(f.severity is Severity.ERROR and f.code not in old for f in after.report.findings)


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
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordingDamaged(
            f"{PROOF_FILE} makes no sense: {error}", path=recording.folder
        ) from error


def _trial(row: Mapping[str, Any]) -> Trial:
    fixes = tuple(Fix(FixKind(f["kind"]), str(f["value"]), str(f["why"])) for f in row["fixes"])
    known = {
        **row,
        "fixes": fixes,
        "verdict": Verdict(row["verdict"]),
        "mended": tuple(row["mended"]),
        "left": tuple(row["left"]),
    }
    return Trial(**known)
