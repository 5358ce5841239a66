"""A real trouble, and the proof of its fix."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu, sample_kernel
from boots.test_linux import QUICKLY
from timehands.boot import Request, boot, prepare, ready_payloads
from timehands.findings.model import Verdict
from timehands.machines.machine import Machine
from timehands.prove import load_proof, prove
from timehands.story.model import OutcomeKind

pytestmark = pytest.mark.boot


def test_a_hang_without_a_pit_is_found_and_mended(tmp_path: Path) -> None:
    plugin_qemu()
    machine = Machine(devices=(("pit", False),))
    request = Request(
        sample_kernel(), machine, arguments=(QUICKLY,), folder=tmp_path / "r", timeout_s=30
    )
    prepared = prepare(request)
    ready_payloads(prepared)

    async def first_then_proof() -> None:
        booted = await boot(prepared)
        story = booted.report.story
        assert story.outcome.kind is OutcomeKind.HUNG
        assert story.outcome.where == "calibrate_delay"
        assert {"TH601", "TH101", "TH301"} <= {f.code for f in booted.report.findings}
        proved = await prove(booted, prepared)
        proof = proved.report.proof
        assert proof is not None and proof.best is not None
        by_fix = {trial.fixes[0].value: trial for trial in proof.trials if len(trial.fixes) == 1}
        given = by_fix["pit=on"]
        assert given.outcome == "init reached"
        assert given.verdict in (Verdict.MENDED, Verdict.BETTER)
        assert "TH601" in given.mended
        assert proof.best.outcome == "init reached"
        assert load_proof(booted.recording) == proof

    asyncio.run(first_then_proof())
