from __future__ import annotations

from pathlib import Path

from findings.cases import case, survey
from recordings import UNKNOWN, Tape, healthy_boot, jiffies_boot
from timehands.findings.catalogue import CATALOGUE
from timehands.findings.model import Severity
from timehands.findings.rules import RULES, find


def test_a_healthy_boot_has_no_errors_and_no_warnings(tmp_path: Path) -> None:
    found = find(case(healthy_boot(), tmp_path, survey()))
    assert {f.severity for f in found} <= {Severity.NOTE}


def test_errors_come_first_and_notes_last(tmp_path: Path) -> None:
    found = find(case(jiffies_boot(), tmp_path, survey(gate=False)))
    order = [list(Severity).index(f.severity) for f in found]
    assert order == sorted(order)
    assert {f.severity for f in found} == set(Severity)


def test_every_finding_has_a_page_a_cause_and_evidence(tmp_path: Path) -> None:
    for at, tape in enumerate((jiffies_boot(), healthy_boot(khz=2_900_000, guest_ppm=9_000))):
        for finding in find(case(tape, tmp_path / str(at), survey(gate=False, hpet=True))):
            assert finding.code in CATALOGUE
            assert finding.cause.strip() and finding.evidence


def test_no_rule_says_anything_of_a_recording_of_nothing(tmp_path: Path) -> None:
    for kernel in (Tape().kernel, UNKNOWN):
        assert find(case(Tape(kernel=kernel), tmp_path / kernel.os)) == ()


def test_every_rule_is_there_once() -> None:
    assert len(set(RULES)) == len(RULES)
