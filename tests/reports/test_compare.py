"""Two boots side by side: what is aligned, what is said to differ, and hostile input."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from reports.build import HOSTILE, jiffies_report, survey
from reports.build_bsd import ALL_REPORTS, freebsd_report, netbsd_report
from reports.recorded import recording
from reports.test_html import Document
from timehands.guests.base import ClockNames
from timehands.reports import compare_html, compare_json, compare_terminal
from timehands.reports.compare import Comparison, Row, Side, compare, family_of
from timehands.reports.compare_values import parts_per_million
from timehands.reports.model import Report
from timehands.story.model import Fact

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def compared(a: Report, b: Report) -> Comparison:
    return compare(Side(a), Side(b))


def rows(comparison: Comparison) -> dict[str, Row]:
    return {row.subject: row for section in comparison.sections for row in section.rows}


def text(row: Row) -> tuple[str | None, str | None]:
    return row.a.text if row.a else None, row.b.text if row.b else None


BSDS = compared(freebsd_report(), netbsd_report())


def test_clocks_are_aligned_by_what_they_are() -> None:
    a, b = text(rows(BSDS)["TSC frequency"])
    assert (a, b) == ("2.499998 GHz", "2.4967 GHz")
    section = next(s for s in BSDS.sections if s.title.startswith("Clocks"))
    assert [row.subject for row in section.rows if row.a and row.b] == [
        "i8254", "TSC", "LAPIC (timers)",
    ]  # fmt: skip
    tsc = next(row for row in section.rows if row.subject == "TSC")
    a, b = text(tsc)
    assert a is not None and a.startswith("2. TSC-low selected, 1.249999 GHz, quality 800, from ")
    assert b is not None and b.startswith("4. TSC selected, 2.4967 GHz")
    assert "tsc_tc_init < cpu_boot_secondary_processors < configure2 < main" in b


def test_what_only_one_side_has_has_nothing_on_the_other() -> None:
    found = rows(BSDS)
    assert text(found["TH102"]) == (None, "warning: TSC frequency off by 1,300 ppm")
    assert text(found["i8254 (timers)"])[1] is None
    assert found["TH102"].differs


def test_a_frequency_is_held_against_the_machines_own() -> None:
    a, b = (replace(report(), survey=survey()) for report in (freebsd_report, netbsd_report))
    assert text(rows(compared(a, b))["TSC frequency, against the true"]) == (
        "-1 ppm of 2.500 GHz",
        "-1,320 ppm of 2.500 GHz",
    )


def test_the_difference_of_two_frequencies_is_in_ppm() -> None:
    assert rows(BSDS)["TSC frequency"].difference == "-1,319 ppm"
    assert rows(BSDS)["LAPIC frequency"].difference == ""


@given(st.integers(1, 10**12), st.integers(-(10**6), 10**6))
def test_parts_per_million_are_rounded_to_the_nearest(reference: int, ppm: int) -> None:
    value = parts_per_million(reference * 10**6 + reference * ppm, reference * 10**6)
    assert value == ppm


def test_a_boot_beside_itself_differs_in_nothing() -> None:
    for make in ALL_REPORTS.values():
        comparison = compared(make(), make())
        assert not [row for row in rows(comparison).values() if row.differs]
        shown = compare_terminal.render(comparison, color=False)
        assert "nothing differs" in shown


def test_times_that_change_from_boot_to_boot_are_no_difference() -> None:
    story = freebsd_report().story
    shorter = replace(story, calibrations=story.calibrations[1:2])
    found = rows(compared(freebsd_report(), replace(freebsd_report(), story=shorter)))
    assert found["calibrating clocks"].difference == "-104 ms"
    assert not found["calibrating clocks"].differs


def test_two_boots_of_one_kernel_are_called_a_and_b() -> None:
    same = compared(freebsd_report(), freebsd_report())
    assert (same.a, same.b) == ("A: FreeBSD 14.2-BETA1", "B: FreeBSD 14.2-BETA1")
    assert (BSDS.a, BSDS.b) == ("FreeBSD", "NetBSD")


def test_a_stop_inside_a_calibration_is_said_here_too() -> None:
    how = text(rows(BSDS)["TSC frequency, found by"])[0]
    assert how is not None and "(s1): may be off" in how
    assert text(rows(BSDS)["we changed"])[1] is None


def test_the_hypervisor_is_what_the_kernel_found(tmp_path: Path) -> None:
    recorded = recording(tmp_path)
    found = rows(compare(Side(freebsd_report(), recorded), Side(netbsd_report(), recorded)))
    assert text(found["hypervisor"])[0] == "a hypervisor that it does not know"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("TSC-low", "TSC"),
        ("pit", "i8254"),
        ("attimer0", "i8254"),
        ("hpet0", "HPET"),
        ("ACPI-fast", "ACPI PM timer"),
        ("acpi_pm", "ACPI PM timer"),
        ("kvm-clock", "pvclock"),
        ("lapic-deadline", "LAPIC"),
        ("jiffies", "timer ticks"),
        ("sp804", "sp804"),
    ],
)
def test_a_clock_is_what_it_is_whatever_it_is_called(name: str, family: str) -> None:
    names = ClockNames(pvclock=frozenset({"kvm-clock"}), ticks=frozenset({"jiffies"}))
    assert family_of(name, names) == family


@pytest.mark.parametrize("width", [40, 69, 70, 100])
@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("name", ALL_REPORTS)
def test_no_line_is_wider_than_asked_for(name: str, color: bool, width: int) -> None:
    for pair in ((name, "freebsd"), ("hostile", name)):
        comparison = compared(*(ALL_REPORTS[one]() for one in pair))
        shown = compare_terminal.render(comparison, width=width, color=color)
        lines = COLOURS.sub("", shown).split("\n")
        assert max(map(cell_len, lines)) <= width
        assert all(line.isprintable() for line in lines)


def test_the_terminal_marks_what_differs() -> None:
    shown = compare_terminal.render(BSDS, color=False)
    assert re.search(r"^time is read from +TSC-low +\* +TSC$", shown, re.MULTILINE)
    assert re.search(r"^command line .* the same$", shown, re.MULTILINE)
    assert "subjects differ (*)" in shown.split("\n")[0]
    assert compare_terminal.render(BSDS, color=False, unicode=False).isascii()


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "timehands", "sides", "sections"],
    "properties": {
        "schema": {"const": "timehands-compare/1"},
        "timehands": {"type": "string"},
        "sides": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "required": ["name", "os", "version", "kernel", "sha256", "recording"],
                "additionalProperties": {"type": ["string", "null"]},
            },
        },
        "sections": {
            "type": "array",
            "items": {
                "required": ["title", "rows"],
                "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/row"}}},
            },
        },
    },
    "$defs": {
        "row": {
            "required": ["subject", "a", "b", "same", "measured", "differs", "difference"],
            "properties": {
                "a": {"$ref": "#/$defs/cell"},
                "b": {"$ref": "#/$defs/cell"},
                "same": {"type": "boolean"},
            },
        },
        "cell": {
            "type": ["object", "null"],
            "required": ["text", "value", "unit", "evidence"],
            "properties": {
                "text": {"type": "string"},
                "value": {"type": ["integer", "null"]},
                "unit": {"enum": ["hz", "ns", "ppm", None]},
                "evidence": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}
KEYS = re.compile(r'"([a-z]+)":')


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_json_follows_its_schema(name: str) -> None:
    data = compare_json.to_json(compared(ALL_REPORTS[name](), freebsd_report()))
    assert data == json.loads(json.dumps(data))
    jsonschema.validate(data, SCHEMA)


def test_every_key_of_the_json_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    keys = set(KEYS.findall(json.dumps(compare_json.to_json(BSDS))))
    assert keys and not [key for key in keys if f"`{key}`" not in page]


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_the_page_is_closed_loads_nothing_and_runs_nothing(name: str) -> None:
    shown = compare_html.render(compared(ALL_REPORTS[name](), freebsd_report()))
    document = Document(shown)
    assert document.open == []
    assert document.all("src") == []
    assert "script" not in {tag for tag, _ in document.tags}
    assert HOSTILE not in shown


def test_linux_stands_beside_freebsd() -> None:
    found = rows(compared(jiffies_report(), freebsd_report()))
    a, _ = text(found["TSC frequency, found by"])
    assert a is not None and a.startswith("pit_calibrate_tsc against i8254: failed, then ")
    assert text(found["TSC frequency"])[0] == "unknown"


@pytest.mark.parametrize(
    ("system", "variable"),
    [("freebsd", "tsc_freq"), ("netbsd", "tsc_freq"), ("openbsd", "tsc_frequency")],
)
def test_what_a_kernel_believes_of_its_tsc_is_its_own_variable(system: str, variable: str) -> None:
    report = netbsd_report()
    story = replace(report.story, facts=(Fact(variable, 2_345_678_000),))
    other = replace(report, kernel=replace(report.kernel, os=system), story=story)
    assert text(rows(compared(other, report))["TSC frequency"])[0] == "2.345678 GHz"
