"""The JSON of simulations is what its schema and the document say."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from reports.build_simulation import extreme, good, hostile, outcome
from timehands.cli.main import main
from timehands.reports.schema import keys, load_schema, simulation_rows
from timehands.simulate.outcome import Outcome
from timehands.simulate.scenario_file import shipped_names

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulate.md"
SCHEMA = load_schema("simulation_schema")


@pytest.mark.parametrize("one", [outcome(), good(), hostile(), extreme()])
def test_outcomes_are_as_the_schema_says(one: Outcome) -> None:
    jsonschema.validate(json.loads(json.dumps(one.to_json())), SCHEMA)


def test_what_the_command_prints_is_as_the_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pvclock", "simulate", "restore-untold", "--json"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), SCHEMA)


def test_the_schema_refuses_what_it_does_not_know() -> None:
    for wrong in ({"more": 1}, {"seed": "0"}, {"schema": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(json.dumps(good().to_json())) | wrong, SCHEMA)


def test_every_key_has_a_type_and_a_meaning() -> None:
    assert all(key.type and key.meaning for key in keys(SCHEMA))


def test_the_table_in_docs_is_the_one_that_the_schema_makes() -> None:
    assert simulation_rows() in DOCUMENT.read_text()


def test_every_shipped_scenario_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in shipped_names() if f"| `{name}` |" not in text] == []
