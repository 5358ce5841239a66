from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from freebsd_recordings import FreeBsdTape, dummy_boot, healthy_freebsd, microvm, watched
from recordings import Tape, healthy_boot, jiffies_boot
from timehands import prove as module
from timehands.boot import Booted, Request, open_recording
from timehands.errors import QemuFailed, RecordingDamaged
from timehands.findings.model import (
    Evidence,
    Finding,
    Fix,
    FixKind,
    Proof,
    Severity,
    Trial,
    Verdict,
)
from timehands.guests.freebsd import ATTIMER_HINTS, EARLY_DELAY_PATCH
from timehands.machines.machine import Machine
from timehands.prove import (
    MOST_FIXES,
    MOST_ROUNDS,
    PROOF_FILE,
    applicable,
    apply,
    judge,
    load_proof,
    prove,
)

KHZ = Fix(FixKind.KERNEL_ARGUMENT, "tsc_early_khz=2500000", "told")
PIT = Fix(FixKind.DEVICE, "pit=on", "there")
FLAG = Fix(FixKind.CPU_FLAG, "+invtsc", "shown")
ADVICE = Fix(FixKind.ADVICE, "patch it", "by hand")


def _finding(code: str, severity: Severity = Severity.ERROR, *fixes: Fix) -> Finding:
    return Finding(code, code, severity, "cause", (Evidence("seen"),), fixes)


def _booted(tape: Tape, folder: Path, *findings: Finding) -> Booted:
    tape.write(folder)
    booted = open_recording(folder)
    return replace(booted, report=replace(booted.report, findings=findings))


def _stuck() -> Tape:
    tape = Tape()
    tape.begins()
    tape.ends("hung", ms=3000)
    return tape


def _with_init(ms: float) -> Tape:
    tape = Tape()
    tape.begins()
    tape.init(ms=ms)
    tape.ends("guest-reset", ms=ms + 10)
    return tape


TH101 = _finding("TH101", Severity.ERROR, KHZ)
TH102 = _finding("TH102")
TH401 = _finding("TH401", Severity.WARNING, KHZ)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((_with_init(2000), [TH101]), (_with_init(2000), []), Verdict.MENDED),
        ((_with_init(2000), [TH401]), (_with_init(2000), []), Verdict.MENDED),
        ((_with_init(2000), [TH101]), (_with_init(2000), [TH101]), Verdict.UNCHANGED),
        ((_with_init(2000), [TH101]), (_with_init(1000), [TH101]), Verdict.BETTER),
        ((_with_init(2000), [TH101]), (_with_init(3000), [TH101]), Verdict.WORSE),
        ((_with_init(2000), [TH101]), (_with_init(2010), [TH101]), Verdict.UNCHANGED),
        ((_with_init(2000), [TH101]), (_with_init(2000), [TH102]), Verdict.WORSE),
        ((_with_init(2000), [TH101]), (_stuck(), []), Verdict.WORSE),
        ((_stuck(), [TH101]), (_with_init(2000), []), Verdict.MENDED),
        ((_stuck(), [TH101]), (_with_init(2000), [TH101]), Verdict.BETTER),
        ((_stuck(), [TH101]), (_stuck(), []), Verdict.UNCHANGED),
    ],
)
def test_a_trial_is_judged_by_outcome_then_errors_then_findings_then_time(
    tmp_path: Path,
    before: tuple[Tape, list[Finding]],
    after: tuple[Tape, list[Finding]],
    verdict: Verdict,
) -> None:
    old = _booted(before[0], tmp_path / "before", *before[1])
    new = _booted(after[0], tmp_path / "after", *after[1])
    assert judge(old, new, (KHZ,)).verdict is verdict


def test_a_trial_says_what_it_gained_and_which_findings_are_gone(tmp_path: Path) -> None:
    old = _booted(jiffies_boot(), tmp_path / "old", TH101, TH401)
    new = _booted(healthy_boot(), tmp_path / "new", TH401)
    trial = judge(old, new, (KHZ,))
    assert (trial.mended, trial.left) == (("TH101",), ("TH401",))
    assert (trial.selected, trial.frequency_hz) == ("tsc", 2_500_000_000)
    assert (trial.gained_ns, trial.boot_ns) == (0, 995_000_000)
    assert trial.recording == str(tmp_path / "new")


def test_boots_that_did_not_both_reach_init_gained_nothing(tmp_path: Path) -> None:
    old = _booted(_stuck(), tmp_path / "old", TH101)
    new = _booted(healthy_boot(), tmp_path / "new")
    assert judge(old, new, (KHZ,)).gained_ns is None


def test_only_what_can_be_applied_is_tried_each_once() -> None:
    again = replace(KHZ, why="for another reason")
    findings = (
        _finding("TH101", Severity.ERROR, KHZ, ADVICE),
        _finding("TH201", Severity.ERROR, again, PIT),
    )
    assert applicable(findings) == (KHZ, PIT)


def test_fixes_change_arguments_or_machine() -> None:
    request = apply(Request(Path("k"), arguments=("quiet",)), (KHZ, PIT, FLAG, ADVICE))
    assert request.arguments == ("quiet", "tsc_early_khz=2500000")
    assert request.machine == Machine(cpu_flags=("+invtsc",), devices=(("pit", True),))


Boots = Callable[[Request], Tape]


def _boots(monkeypatch: pytest.MonkeyPatch, boots: Boots) -> list[Request]:
    """Boots that end as told, instead of real ones."""
    requests: list[Request] = []

    async def boot(prepared: Any, **_options: Any) -> Booted:
        request = prepared.request
        requests.append(request)
        boots(request).write(request.folder)
        return open_recording(request.folder)

    monkeypatch.setattr(module, "boot", boot)
    monkeypatch.setattr(module, "prepare", lambda request: SimpleNamespace(request=request))
    return requests


def _proved(booted: Booted, folder: Path) -> Booted:
    prepared = SimpleNamespace(request=Request(Path("kernel"), folder=folder))
    return asyncio.run(prove(booted, prepared))  # type: ignore[arg-type]


def _prove(booted: Booted, folder: Path) -> Proof:
    proof = _proved(booted, folder).report.proof
    assert proof is not None
    return proof


def test_each_fix_is_tried_alone_then_those_that_helped_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helps = ("tsc_early_khz=2500000", "quiet=1")
    quiet = Fix(FixKind.KERNEL_ARGUMENT, "quiet=1", "helps too")
    useless = Fix(FixKind.KERNEL_ARGUMENT, "useless=1", "does nothing")

    def boots(request: Request) -> Tape:
        helped = any(argument in helps for argument in request.arguments)
        return healthy_boot() if helped else jiffies_boot()

    requests = _boots(monkeypatch, boots)
    finding = _finding("TH101", Severity.ERROR, KHZ, useless, quiet)
    before = _booted(jiffies_boot(), tmp_path / "first", finding)
    proof = _prove(before, tmp_path / "first")
    assert [request.arguments for request in requests] == [
        ("tsc_early_khz=2500000",),
        ("useless=1",),
        ("quiet=1",),
        ("tsc_early_khz=2500000", "quiet=1"),
    ]
    verdicts = [trial.verdict for trial in proof.trials]
    assert verdicts[0] is verdicts[2] is verdicts[3] is Verdict.MENDED
    assert verdicts[1] is not Verdict.MENDED
    assert proof.best == proof.trials[0]
    assert load_proof(before.recording) == proof
    assert all(r.folder and r.folder.parent.name == "proof" for r in requests)


def _on_freebsd(request: Request) -> FreeBsdTape:
    """FIRECRACKER's kernel, whose three faults come to light one after another."""
    calibrates = "machdep.disable_tsc_calibration=0" in request.arguments
    if not request.patches:
        tape = microvm() if not calibrates else watched(FreeBsdTape())
        tape.delay(10, ms=35, callers=("start_TSC" if calibrates else "ns8250_bus_attach",))
        caller = "start_TSC" if calibrates else "ns8250_bus_attach"
        tape.fault("pvclock_get_timecount", "xen_delay", caller, ms=50)
    elif "hint.attimer.0.at=isa" in request.arguments and calibrates:
        tape = healthy_freebsd()
    else:
        tape = dummy_boot() if calibrates else microvm()
        tape.prompt(ms=2000)
    tape.arguments = ("boot_verbose=1", *request.arguments)
    words = [word for patch in request.patches for word in patch.split(",")]
    tape.patches = tuple(f"{word.split('=')[0]} = new (was old)" for word in words)
    return tape


def test_causes_that_come_to_light_one_after_another_are_all_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = _boots(monkeypatch, _on_freebsd)
    _on_freebsd(Request(Path("kernel"))).write(tmp_path)
    proved = _proved(open_recording(tmp_path), tmp_path)
    proof = proved.report.proof
    assert proof is not None and proof.best is not None
    calibrate, hints = "machdep.disable_tsc_calibration=0", ATTIMER_HINTS
    tried = [{fix.value for fix in trial.fixes} for trial in proof.trials]
    assert {EARLY_DELAY_PATCH} in tried and {calibrate} in tried
    assert {fix.value for fix in proof.best.fixes} == {EARLY_DELAY_PATCH, calibrate, hints}
    assert proof.best.verdict is Verdict.MENDED
    assert (proof.best.measured_hz, proof.best.lapic_hz) == (2_500_000_000, 1_000_000_000)
    assert tried[-1] == {hints}, "what was found later is tried alone in the end"
    assert len({frozenset(one) for one in tried}) == len(tried), "nothing is tried twice"
    assert {"TH104", "TH105", "TH306"} <= {f.code for f in proved.report.findings}
    later = next(f for f in proved.report.findings if f.code == "TH105")
    assert later.cause.startswith("Seen when booted with ")
    assert not any(e.references for e in later.evidence), "they are of another recording"
    assert len(requests) == len(proof.trials)
    assert load_proof(proved.recording) == proof


def test_rounds_end_when_each_trial_calls_for_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boots(_request: Request) -> Tape:
        return healthy_boot()

    requests = _boots(monkeypatch, boots)
    counted = itertools.count()

    def report(*_args: Any) -> Any:
        fix = Fix(FixKind.KERNEL_ARGUMENT, f"more{next(counted)}=1", "again")
        return (_finding("TH102", Severity.ERROR, fix),)

    monkeypatch.setattr("timehands.boot.find", report)
    before = _booted(jiffies_boot(), tmp_path, _finding("TH101", Severity.ERROR, KHZ))
    proof = _prove(before, tmp_path)
    assert len(proof.trials) == len(requests) <= 1 + MOST_ROUNDS + MOST_FIXES


def test_a_fix_of_several_words_and_a_patch_are_applied() -> None:
    hints = Fix(FixKind.KERNEL_ARGUMENT, ATTIMER_HINTS, "attached")
    patch = Fix(FixKind.PATCH, EARLY_DELAY_PATCH, "patched")
    request = apply(Request(Path("k"), arguments=("quiet",)), (hints, patch))
    assert request.arguments == ("quiet", *ATTIMER_HINTS.split())
    assert request.patches == (EARLY_DELAY_PATCH,)
    assert request.machine == Machine()
    assert [name for name, _ in hints.settings] == [w.split("=")[0] for w in ATTIMER_HINTS.split()]
    assert [name for name, _ in patch.settings] == ["xen_pvh_init_ops+8", "xen_pvh_init_ops+16"]


def test_another_failure_without_the_finding_is_further(tmp_path: Path) -> None:
    old = _booted(_on_freebsd(Request(Path("k"))), tmp_path / "old", TH101)
    tape = microvm()
    tape.line("panic: somewhere else", ms=90)
    tape.ends("boundary", ms=91)
    new = _booted(tape, tmp_path / "new")
    assert judge(old, new, (KHZ,)).verdict is Verdict.BETTER


def test_a_machine_that_does_not_start_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boots(_request: Request) -> Tape:
        raise QemuFailed("QEMU knows no such flag")

    _boots(monkeypatch, boots)
    before = _booted(jiffies_boot(), tmp_path, _finding("TH101", Severity.ERROR, FLAG))
    (trial,) = _prove(before, tmp_path).trials
    assert trial.verdict is Verdict.FAILED
    assert trial.error == "QEMU knows no such flag"


def test_what_was_tried_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boots(request: Request) -> Tape:
        if request.arguments != ("tsc_early_khz=2500000",):
            raise KeyboardInterrupt
        return healthy_boot()

    _boots(monkeypatch, boots)
    before = _booted(jiffies_boot(), tmp_path, _finding("TH101", Severity.ERROR, KHZ, PIT))
    with pytest.raises(KeyboardInterrupt):
        _prove(before, tmp_path)
    kept = load_proof(before.recording)
    assert kept is not None and [trial.fixes for trial in kept.trials] == [(KHZ,)]


def test_without_fixes_there_are_no_trials(tmp_path: Path) -> None:
    before = _booted(jiffies_boot(), tmp_path, _finding("TH101", Severity.ERROR, ADVICE))
    assert _prove(before, tmp_path) == Proof(())
    assert load_proof(before.recording) is None


def _saved(tmp_path: Path, text: str) -> Booted:
    booted = _booted(jiffies_boot(), tmp_path)
    (tmp_path / PROOF_FILE).write_text(text)
    return booted


ROW: dict[str, Any] = {
    "fixes": [{"kind": "kernel argument", "value": "a=1", "why": "w"}],
    "verdict": "better",
    "outcome": "init reached",
    "selected": "tsc",
    "frequency_hz": 5,
    "boot_ns": None,
    "gained_ns": -3,
    "mended": ["TH101"],
    "left": [],
    "recording": None,
    "error": None,
}


def test_a_proof_that_was_kept_opens(tmp_path: Path) -> None:
    proof = load_proof(_saved(tmp_path, json.dumps([ROW])).recording)
    fix = Fix(FixKind.KERNEL_ARGUMENT, "a=1", "w")
    trial = Trial((fix,), Verdict.BETTER, "init reached", "tsc", 5, None, -3, ("TH101",))
    assert proof == Proof((trial,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "5",
        "[5]",
        "[[]]",
        "[" * 100_000,
        json.dumps([{**ROW, "verdict": "splendid"}]),
        json.dumps([{**ROW, "fixes": 5}]),
        json.dumps([{**ROW, "fixes": [{"kind": "magic", "value": "", "why": ""}]}]),
        json.dumps([{**ROW, "gained_ns": "much"}]),
        json.dumps([{**ROW, "boot_ns": [1]}]),
        json.dumps([ROW]).replace(": 5", ": 1e999"),
        json.dumps([{**ROW, "left": None}]),
        json.dumps([{k: v for k, v in ROW.items() if k != "outcome"}]),
        json.dumps({"fixes": []}),
    ],
)
def test_a_damaged_proof_is_damage_and_nothing_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingDamaged, match=PROOF_FILE):
        load_proof(_saved(tmp_path, text).recording)


def test_a_proof_that_cannot_be_read_is_damage_too(tmp_path: Path) -> None:
    booted = _booted(jiffies_boot(), tmp_path)
    (tmp_path / PROOF_FILE).mkdir()
    with pytest.raises(RecordingDamaged):
        load_proof(booted.recording)
