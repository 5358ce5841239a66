"""Everything that a report shows: one value, made by `timehands.boot`."""

from __future__ import annotations

from dataclasses import dataclass

from timehands.findings.model import Finding, Proof
from timehands.machines.machine import Load, Machine
from timehands.machines.survey_values import Survey
from timehands.reports.sourced.model import Sourced
from timehands.story.model import Story
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.recording import KernelIdentity, Watching


@dataclass(frozen=True, slots=True)
class Report:
    """One boot, told: what was booted on what, what it did, what is wrong, what helped."""

    kernel: KernelIdentity
    machine: Machine
    load: Load
    story: Story
    findings: tuple[Finding, ...]
    watching: Watching
    qemu_version: str
    survey: Survey | None = None
    proof: Proof | None = None
    recording: str | None = None
    started_ns: int = 0
    stops: tuple[Stopped, ...] = ()
    interventions: tuple[Intervention, ...] = ()
    sources: Sourced | None = None
