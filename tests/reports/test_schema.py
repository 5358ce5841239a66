"""The documentation of the JSON report is whole and current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.build import hostile_report, jiffies_report
from timehands.reports.json_report import to_json
from timehands.reports.schema import keys, load_schema, markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "schema.md"


def paths(data: Any, prefix: str = "") -> set[str]:
    """The paths of all keys in a report, as the documentation spells them."""
    if isinstance(data, list):
        return {path for item in data for path in paths(item, prefix.removesuffix(".") + "[].")}
    if not isinstance(data, dict):
        return set()
    found = {prefix + key for key in data}
    return found.union(*(paths(value, f"{prefix}{key}.") for key, value in data.items()))


def test_the_page_in_docs_is_the_one_that_the_schema_makes() -> None:
    assert DOCUMENT.read_text() == markdown(load_schema())


def test_every_key_of_real_reports_is_documented() -> None:
    documented = {key.path for key in keys(load_schema())}
    real = paths(to_json(jiffies_report())) | paths(to_json(hostile_report()))
    free = ("machine.devices.", "stops[].values.")
    assert {path for path in real if not path.startswith(free)} <= documented


def test_every_key_has_a_type_and_a_meaning() -> None:
    assert all(key.type and key.meaning for key in keys(load_schema()))
