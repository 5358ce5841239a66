"""The forms of a judgement, read by what reads them: XML by a parser, TAP by its rules."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from conform_logs import Machine, one
from timehands.conform.judge import Judgement, judge
from timehands.conform.log import Line, read_log
from timehands.conform.report import junit, table, tap, to_json


def wrong() -> Judgement:
    machine = Machine()
    machine.cases["tsc.across"].update(one(warps=3, worst=100))
    machine.cases["i8254.gate_holds"].update(one(later=0x8000))
    return judge(machine.log(), "a VMM")


def test_the_table_says_the_verdict_first_and_what_failed_in_full() -> None:
    lines = list(table(wrong()))
    text = "\n".join(lines)
    assert lines[0].startswith("✗ a VMM does not conform: ")
    assert "✗ across                800 reads in turn by 2 vCPUs, 3 warps, worst 38 ns" in text
    assert "matters to: Linux marks the TSC unstable" in text
    assert "see: Intel SDM vol. 3, 17.17" in text
    assert max(map(len, lines)) <= 100


def test_the_table_of_an_area_of_which_nothing_is_there_is_one_line() -> None:
    log = read_log([Line(None, "timehands-conform 1"), Line(None, "E 0")])
    lines = list(table(judge(log, "x")))
    assert [line for line in lines if line.startswith("  – all 8")]


def test_tap_counts_all_and_marks_what_was_skipped() -> None:
    lines = list(tap(wrong()))
    numbers = [line.split(" - ")[0].split()[-1] for line in lines if " - " in line.split("#")[0]]
    assert lines[0] == "TAP version 13"
    assert lines[1] == f"1..{len(numbers)}"
    assert numbers == [str(n + 1) for n in range(len(numbers))]
    assert [line for line in lines if line.startswith("not ok") and line.endswith("tsc.across")]
    assert [line for line in lines if "host.snapshot_told # SKIP the log does not have it" in line]


def test_tap_bails_out_of_a_guest_that_did_not_end() -> None:
    assert list(tap(judge(read_log([]), "x")))[-1].startswith("Bail out! no word")


def test_junit_is_xml_with_a_suite_for_each_area() -> None:
    root = ElementTree.fromstring(junit(wrong()))
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    failed = suites["tsc"].findall("testcase/failure")
    assert suites["tsc"].get("failures") == "2"
    assert [each.get("message") for each in failed] == [
        "800 reads in turn by 2 vCPUs, 3 warps, worst 38 ns",
        "claimed, and yet tsc.across failed",
    ]
    assert suites["host"].get("skipped") == "6"


def test_junit_of_a_run_that_went_wrong_has_an_error() -> None:
    root = ElementTree.fromstring(junit(judge(read_log([]), "x")))
    assert root.find("testsuite[@name='run']/testcase/error") is not None


def test_json_has_every_case() -> None:
    judgement = wrong()
    data = json.loads(json.dumps(to_json(judgement)))
    assert data["schema"] == 1
    assert data["conforms"] is False
    assert data["counts"]["note"] == 1
    assert len(data["cases"]) == len(judgement.cases)
    assert sum(data["counts"].values()) == len(judgement.cases)
