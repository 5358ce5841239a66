"""The JSON report, against its schema (by the jsonschema library) and the values it is made of."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.build import hang_report, jiffies_report, survey
from reports.build_bsd import ALL_REPORTS
from timehands.findings.model import FixKind, Severity, Verdict
from timehands.reports.json_report import SCHEMA, to_json, without_host_times
from timehands.reports.model import Report
from timehands.reports.schema import load_schema
from timehands.story.model import ClockRole, ClockState, Mark, OutcomeKind, SpanKind, Story
from timehands.watch.recording import Watching

VALIDATOR = jsonschema.Draft202012Validator(load_schema())


def through_json(report: Report) -> Any:
    """What a program on the other side of a pipe has."""
    return json.loads(json.dumps(to_json(report)))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema())


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_every_report_follows_the_schema(name: str) -> None:
    VALIDATOR.validate(through_json(ALL_REPORTS[name]()))


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_it_is_json_types_before_it_is_text(name: str) -> None:
    data = to_json(ALL_REPORTS[name]())
    assert data == json.loads(json.dumps(data))


def test_a_report_with_a_survey_follows_the_schema() -> None:
    data = through_json(replace(jiffies_report(), survey=survey()))
    VALIDATOR.validate(data)
    assert [offer["clock"] for offer in data["survey"]["offers"]] == ["tsc", "i8254", "rtc"]


def test_the_keys_that_are_promised_are_there() -> None:
    data = through_json(jiffies_report())
    promised = [
        "kernel",
        "machine",
        "outcome",
        "boundaries",
        "clocks",
        "selected",
        "findings",
        "watching",
        "proof",
    ]
    assert set(promised) <= data.keys()
    assert data["schema"] == SCHEMA
    assert data["clocks"][1] == {
        "name": "refined-jiffies",
        "role": "source",
        "state": "selected",
        "frequency_hz": 250,
        "how": "timer ticks",
        "rating": 2,
        "steps": [],
        "evidence": [],
    }
    finding = data["findings"][0]
    assert (finding["code"], finding["severity"]) == ("TH101", "error")
    assert finding["fixes"][0]["value"] == "tsc_early_khz=2500000"
    assert data["watching"]["overhead"] == {"percent_of_cpu": 3.89}
    assert data["proof"]["best"] == 0


@pytest.mark.parametrize("model", [Story, Watching])
def test_nothing_of_a_story_or_the_watching_is_left_out(model: type) -> None:
    data = to_json(jiffies_report())
    where = data["watching"] if model is Watching else data
    assert {field.name for field in fields(model)} <= where.keys()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (("fix", "kind"), FixKind),
        (("finding", "severity"), Severity),
        (("trial", "verdict"), Verdict),
        (("clock", "state"), ClockState),
        (("clock", "role"), ClockRole),
        (("boundary", "name"), Mark),
        (("span", "kind"), SpanKind),
    ],
)
def test_the_schema_knows_all_words_of_the_model_and_no_other(
    where: tuple[str, str], words: type[StrEnum]
) -> None:
    definition, key = where
    schema = load_schema()
    assert schema["$defs"][definition]["properties"][key]["enum"] == [str(w) for w in words]


def test_the_schema_knows_all_outcomes() -> None:
    kinds = load_schema()["properties"]["outcome"]["properties"]["kind"]["enum"]
    assert kinds == [str(kind) for kind in OutcomeKind]


def test_the_schema_refuses_what_is_no_report() -> None:
    data = through_json(jiffies_report())
    for broken in (
        data | {"schema": "timehands-report/2"},
        data | {"clocks": [data["clocks"][0] | {"frequency_hz": 2.5}]},
        data | {"a key that nobody described": 1},
        {key: value for key, value in data.items() if key != "findings"},
    ):
        assert not VALIDATOR.is_valid(broken)


def test_a_boot_at_other_times_is_the_same_without_host_times() -> None:
    report = jiffies_report()
    later = replace(
        report,
        recording="/elsewhere",
        watching=replace(report.watching, events=7, qemu_cpu_ns=5),
        story=replace(
            report.story,
            rate=None,
            wall=None,
            boundaries=tuple(
                replace(b, at_ns=None if b.at_ns is None else b.at_ns + 12345)
                for b in report.story.boundaries
            ),
            spans=tuple(
                replace(s, start_ns=s.start_ns + 5, end_ns=s.end_ns + 9) for s in report.story.spans
            ),
        ),
    )
    assert to_json(later) != to_json(report)
    assert without_host_times(to_json(later)) == without_host_times(to_json(report))


def test_another_story_stays_another_without_host_times() -> None:
    one, other = (without_host_times(to_json(r)) for r in (jiffies_report(), hang_report()))
    assert one["selected"] != other["selected"]
    seen = [[b["seen"] for b in data["boundaries"]] for data in (one, other)]
    assert seen[0] != seen[1]


def test_another_event_is_a_difference_and_so_is_another_console_line() -> None:
    assert without_host_times(["e12", "c3"]) != without_host_times(["e13", "c3"])
    assert without_host_times(["e12", "c3"]) != without_host_times(["e12", "c4"])
    assert without_host_times(["e12"]) != without_host_times(["e12", "e13"])


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "at_ns", "boot_ms", "rate", "name"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_host_time_is_left_at_any_depth(data: Any) -> None:
    text = json.dumps(without_host_times(data))
    assert not any(f'"{key}":' in text for key in ("at_ns", "boot_ms", "rate"))
