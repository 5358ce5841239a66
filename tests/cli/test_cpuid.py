"""The verb ``cpuid``: its page, its JSON, its dump, and what it refuses."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from clocks.cpuid.tables import ALL, INTEL, KVM_INVTSC, TCG_MAX, table
from machines.test_survey_values import survey as canned_survey
from timehands.cli import cpuid
from timehands.clocks.cpuid.dump import format_dump, format_table, parse_dump, parse_table
from timehands.clocks.cpuid.host import host_table
from timehands.errors import CpuidDumpDamaged, UsageError
from timehands.machines import host_qemu, survey
from timehands.machines.machine import Machine
from timehands.machines.survey_values import Survey


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cpuid.add_parser(parser.add_subparsers())
    return parser.parse_args(["cpuid", *words])


def run(*words: str) -> int:
    args = parse(*words)
    return int(args.run(args))


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "tcg.txt"
    path.write_text(format_table(table(TCG_MAX)))
    return path


@pytest.fixture
def surveyed(monkeypatch: pytest.MonkeyPatch) -> list[Machine]:
    """Surveys give a canned answer; the machines that were asked for."""
    machines: list[Machine] = []

    async def canned(machine: Machine, qemu: str) -> Survey:
        machines.append(machine)
        return canned_survey(table(KVM_INVTSC))

    found = host_qemu.Qemu(Path("/qemu"), "10.0.2", 4, ("microvm",), ("tcg",), True)
    monkeypatch.setattr(survey, "survey", canned)
    monkeypatch.setattr(host_qemu, "find_qemu", lambda *_, **__: found)
    return machines


@pytest.mark.parametrize("name", ALL)
def test_no_line_is_longer_than_a_hundred_columns(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dump"
    path.write_text(format_table(table(ALL[name])))
    assert run(str(path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= 100


def test_a_leaf_that_must_not_be_believed_is_shown_with_the_reason(
    dump: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(str(dump))
    text = " ".join(capsys.readouterr().out.split())
    assert "0x40000010 ✗ not to be believed: above the range's limit 0x40000001" in text
    assert "the answer is the data of leaf 0xd (eax=0x0000021f" in text
    assert "0x00000015 – tells nothing: above the basic range's limit 0xd" in text
    assert "543" not in text


def test_the_host_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "this host" in capsys.readouterr().out


def test_the_raw_host_dump_is_what_the_tool_cpuid_reads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if shutil.which("cpuid") is None:
        pytest.skip("the tool cpuid is not installed (apt-get install cpuid)")
    run("--raw", "--host")
    text = capsys.readouterr().out
    done = subprocess.run(
        ["cpuid", "-1", "-r", "-f", "/dev/stdin"], input=text, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert parse_table(done.stdout) == parse_table(text)
    assert parse_table(text)[0, 0] == host_table()[0, 0]


def test_a_raw_dump_of_many_cpus_keeps_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cpus = tmp_path / "dump", {0: table(INTEL), 1: table(KVM_INVTSC)}
    path.write_text(format_dump(cpus))
    run(str(path), "--raw")
    assert parse_dump(capsys.readouterr().out) == cpus
    run(str(path))
    assert "the first of 2 CPUs" in " ".join(capsys.readouterr().out.split())


def test_json_has_the_facts_and_the_leaves(dump: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(dump), "--json")
    data = json.loads(capsys.readouterr().out)
    assert (data["schema"], data["source"]) == (1, "file")
    assert data["facts"]["vendor"] == "AuthenticAMD"
    assert data["facts"]["tsc_hz"] is None
    garbage = next(leaf for leaf in data["leaves"] if leaf["leaf"] == "0x40000010")
    assert garbage["believed"] is False
    assert garbage["registers"]["eax"] == 0x21F


def test_an_option_of_a_machine_asks_for_a_survey(
    surveyed: list[Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--cpu", "qemu64") == 0
    assert [machine.cpu for machine in surveyed] == ["qemu64"]
    text = " ".join(capsys.readouterr().out.split())
    assert "offers tsc (invariant), tsc_frequency (leaf 0x40000010), pvclock (stable)" in text
    assert "measured against the host's clock: TSC 2,500,000,000 Hz ± 0 ppm" in text
    assert "not as it is told (-37,029 ppm)" in text


def test_naming_the_default_machine_asks_for_a_survey_too(surveyed: list[Machine]) -> None:
    run("--machine", "microvm")
    assert surveyed == [Machine()]


def test_a_surveys_json_has_the_machine_and_what_it_offers(
    surveyed: list[Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--machine", "q35", "--json")
    data = json.loads(capsys.readouterr().out)
    assert Machine.from_json(data["machine"]) == surveyed[0] == Machine(type="q35")
    assert Survey.from_json(data["survey"]) == canned_survey(table(KVM_INVTSC))


@pytest.mark.parametrize(
    "words", [("--host", "dump"), ("dump", "--cpu", "max"), ("--host", "--cpu", "max")]
)
def test_two_subjects_at_once_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="at once"):
        run(*words)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        run(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="directory"):
        run(str(tmp_path))


def test_a_file_that_is_no_dump_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(b"\x7fELF\xff\x00")
    with pytest.raises(CpuidDumpDamaged, match="line 1"):
        run(str(path))
