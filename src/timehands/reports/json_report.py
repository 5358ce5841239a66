"""The report as JSON types: everything that the other reports show, for programs.

The shape is described by ``schema.json`` beside this file (JSON Schema 2020-12) and in
docs/schema.md. It only grows within ``timehands-report/1``: a key is never removed or given another
meaning. Numbers are exact integers with their unit in the key (``_ns``, ``_hz``, ``_ppm``).
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import timehands
from timehands.findings.model import Finding, Fix, Proof, Trial
from timehands.reports.model import Report
from timehands.reports.verdict import verdict
from timehands.story.model import Boundary, Story
from timehands.watch.interventions import Intervention, Stopped
from timehands.watch.recording import Watching

SCHEMA = "timehands-report/1"
#: Keys whose values depend on the host's time or place, beside those that end in _ns and _ms.
_HOST_KEYS = frozenset({"rate", "wall", "watching", "recording", "survey", "spans"})
_HOST_ENDINGS = ("_ns", "_ms")


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON types, ready for ``json.dumps``."""
    story = report.story
    told = verdict(story, report.findings)
    return {
        "schema": SCHEMA,
        "timehands": timehands.__version__,
        "verdict": {"mood": told.mood.value, "sentence": told.sentence, "ending": told.ending},
        "kernel": _plain(report.kernel),
        "machine": {**_plain(report.machine.to_json()), "qemu_version": report.qemu_version},
        "load": _plain(report.load.to_json()),
        "survey": _plain(report.survey.to_json()) if report.survey is not None else None,
        **_story(story),
        "stops": [_since(report, stop) for stop in report.stops],
        "interventions": [_since(report, done) for done in report.interventions],
        "findings": [_finding(finding) for finding in report.findings],
        "watching": _watching(report.watching),
        "proof": _proof(report.proof) if report.proof is not None else None,
        "recording": report.recording,
        "source": report.sources.to_json() if report.sources is not None else None,
    }


def without_host_times(data: Any) -> Any:
    """The same without whatever depends on the host's time or place.

    Two boots of a deterministic machine must then be the same. What goes, at any depth: keys that
    end in ``_ns`` or ``_ms``, the rate, the wall clock, the spans (only those that took long enough
    are told), the survey (it measures), what watching cost, the recording's folder. Events keep
    their numbers: what a deterministic guest streams is chosen by counts alone.
    """
    if isinstance(data, dict):
        return {key: without_host_times(value) for key, value in data.items() if not _host(key)}
    if isinstance(data, list):
        return [without_host_times(value) for value in data]
    return data


def _host(key: str) -> bool:
    return key in _HOST_KEYS or key == "ending" or key.endswith(_HOST_ENDINGS)


def _story(story: Story) -> dict[str, Any]:
    return {
        "os": story.os,
        "outcome": _plain(story.outcome),
        "boundaries": [_boundary(boundary) for boundary in story.boundaries],
        "boot_ns": story.boot_ns,
        "clocks": [_plain(clock) for clock in story.clocks],
        "selected": story.selected,
        "selected_timer": story.selected_timer,
        "calibrations": [_plain(c) | {"duration_ns": c.duration_ns} for c in story.calibrations],
        "spans": [_plain(span) for span in story.spans],
        "rate": _plain(story.rate),
        "wall": _plain(story.wall),
        "unknown": list(story.unknown),
        "delay": [_plain(step) for step in story.delay],
        "facts": [_plain(fact) for fact in story.facts],
        "messages": [_plain(message) for message in story.messages],
        "tslog": [_plain(span) for span in story.tslog],
    }


def _since(report: Report, done: Stopped | Intervention) -> dict[str, Any]:
    """A row of what we did, with its host times counted from QEMU's start."""
    row = _plain(done)
    at_ns = row.pop("host_ns") - report.started_ns
    row["at_ns"] = at_ns if at_ns >= 0 else None
    if row.get("resumed_ns") is not None:
        row["resumed_ns"] -= report.started_ns
    return dict(row)


def _boundary(boundary: Boundary) -> dict[str, Any]:
    return {**_plain(boundary), "seen": boundary.at_ns is not None}


def _finding(finding: Finding) -> dict[str, Any]:
    return {**_plain(finding), "fixes": [_fix(fix) for fix in finding.fixes]}


def _fix(fix: Fix) -> dict[str, Any]:
    return {**_plain(fix), "applies": fix.applies}


def _watching(watching: Watching) -> dict[str, Any]:
    share = watching.overhead_percent
    overhead = {"percent_of_cpu": None if share is None else round(share, 2)}
    return {**_plain(watching), "overhead": overhead}


def _proof(proof: Proof) -> dict[str, Any]:
    best = proof.best
    return {
        "trials": [_trial(trial) for trial in proof.trials],
        "best": None if best is None else proof.trials.index(best),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {**_plain(trial), "fixes": [_fix(fix) for fix in trial.fixes]}


def _plain(value: Any) -> Any:
    """A value of ours as JSON types: enums as their values, tuples as lists, paths as strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
