"""Answers about configurations as plain values for JSON.

A place is ``{"file", "line"}``; a step of a chain is ``{"where", "words"}``, its place null where
no line says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timehands.sources.config.comparing import Difference
from timehands.sources.config.equivalents import Meant
from timehands.sources.config.model import (
    Chain,
    Complaint,
    Configuration,
    Setting,
    Step,
    Verdict,
    Why,
)
from timehands.sources.where import Where

JSON_SCHEMA = 1


def place(where: Where | None) -> dict[str, Any] | None:
    """A place, or null."""
    return {"file": where.file, "line": where.line} if where else None


def step(one: Step) -> dict[str, Any]:
    """A step of a chain."""
    return {"where": place(one.where), "words": one.words}


def chain(steps: Chain) -> list[dict[str, Any]]:
    """A chain."""
    return [step(one) for one in steps]


def kernel(configuration: Configuration) -> dict[str, Any]:
    """Which configuration it is."""
    return {
        "name": configuration.name,
        "system": configuration.system,
        "arch": configuration.arch,
        "source": configuration.source,
    }


def complaints(found: Iterable[Complaint]) -> list[dict[str, Any]]:
    """What was not understood."""
    return [{"where": place(one.where), "text": one.text} for one in found]


def why(configuration: Configuration, answers: Iterable[Why]) -> dict[str, Any]:
    """Why files are compiled, or not."""
    return {
        "schema": JSON_SCHEMA,
        "kernel": kernel(configuration),
        "files": [
            {
                "file": one.file,
                "compiled": one.compiled if one.known else None,
                "note": one.note,
                "rules": [_verdict(verdict) for verdict in one.verdicts],
                "modules": chain(one.modules),
            }
            for one in answers
        ],
        "complaints": complaints(configuration.complaints),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "where": place(verdict.rule.where),
        "text": verdict.rule.text,
        "condition": str(verdict.rule.condition),
        "holds": verdict.holds,
        "chain": chain(verdict.chain),
        "changes": [chain(change.steps) for change in verdict.changes],
    }


def setting(one: Setting | None) -> dict[str, Any] | None:
    """A setting, or null."""
    if one is None:
        return None
    return {
        "kind": one.kind,
        "name": one.name,
        "value": one.value,
        "state": str(one.state),
        "on": one.on,
        "chain": chain(one.chain),
    }


def configuration(one: Configuration, settings: Iterable[Setting]) -> dict[str, Any]:
    """A configuration with these of its settings."""
    return {
        "schema": JSON_SCHEMA,
        "kernel": kernel(one),
        "settings": [setting(found) for found in settings],
        "files": len(one.files),
        "complaints": complaints(one.complaints),
    }


def difference(found: Difference) -> dict[str, Any]:
    """How two configurations differ."""
    return {
        "schema": JSON_SCHEMA,
        "a": kernel(found.a),
        "b": kernel(found.b),
        "settings": [
            {"kind": pair.kind, "name": pair.name, "a": setting(pair.a), "b": setting(pair.b)}
            for pair in found.pairs
        ],
        "same": found.same,
        "meanings": [
            {"what": subject, "a": _meant(one), "b": _meant(other)}
            for subject, one, other in found.meanings
        ],
        "files_only_a": list(found.only_a),
        "files_only_b": list(found.only_b),
        "complaints": complaints((*found.a.complaints, *found.b.complaints)),
    }


def _meant(meant: Meant) -> dict[str, Any]:
    return {
        "known": meant.known,
        "on": meant.on,
        "by": meant.words,
        "value": meant.value,
        "chain": chain(meant.chain),
    }
