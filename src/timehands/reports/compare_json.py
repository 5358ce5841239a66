"""A comparison as JSON types, for programs; docs/compare.md describes every key."""

from __future__ import annotations

from typing import Any

import timehands
from timehands.reports.compare import Comparison, Row, Side
from timehands.reports.compare_values import Cell

SCHEMA = "timehands-compare/1"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison, ready for ``json.dumps``. Numbers are integers of the unit beside them."""
    names = (comparison.a, comparison.b)
    sides = zip(names, comparison.sides, strict=True)
    return {
        "schema": SCHEMA,
        "timehands": timehands.__version__,
        "sides": [_side(name, side) for name, side in sides],
        "sections": [
            {"title": section.title, "rows": [_row(row) for row in section.rows]}
            for section in comparison.sections
        ],
    }


def _side(name: str, side: Side) -> dict[str, Any]:
    kernel = side.report.kernel
    return {
        "name": name,
        "os": kernel.os,
        "version": kernel.version,
        "kernel": kernel.path,
        "sha256": kernel.sha256,
        "recording": side.report.recording,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "subject": row.subject,
        "a": _cell(row.a),
        "b": _cell(row.b),
        "same": row.same,
        "measured": row.measured,
        "differs": row.differs,
        "difference": row.difference,
    }


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {
        "text": cell.text,
        "value": cell.value,
        "unit": cell.unit,
        "evidence": list(cell.references),
    }
