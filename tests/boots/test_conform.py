"""The conformance guest on QEMU's emulation, by name and by a command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu
from timehands.cli.main import main

pytestmark = pytest.mark.boot

#: What QEMU's emulation does not have.
LACKS = {"pvclock.rate", "tsc.deadline", "tsc.adjust", "discovery.timing"}


def judged(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """The verdict of each case; nothing failed."""
    status = main(["conform", *words, "--json"])
    data = json.loads(capsys.readouterr().out)
    failed = [each for each in data["cases"] if each["verdict"] == "fail"]
    assert (status, data["trouble"], failed) == (0, "", [])
    return {each["case"]: each["verdict"] for each in data["cases"]}


def test_qemus_emulation_conforms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plugin_qemu()
    log = tmp_path / "log"
    verdicts = judged(capsys, "qemu-tcg", "--log", str(log))
    for case in ("tsc.rate", "tsc.across", "lapic.periodic", "i8254.rate", "sleeping.tsc"):
        assert verdicts[case] == "pass", case
    assert {verdicts[case] for case in LACKS} == {"skip"}
    assert verdicts["discovery.limits"] == "note"  # -cpu max: CLOCKS 0.5
    assert judged(capsys, "--read", str(log)) == verdicts


def test_a_vmm_by_its_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    qemu = plugin_qemu()
    command = (
        f"{qemu} -M pc -cpu max -smp 1 -m 64 -nodefaults -display none -serial stdio -no-reboot "
        "-kernel {guest}"
    )
    verdicts = judged(capsys, "--vmm-command", command)
    assert verdicts["i8254.mode_0"] == "pass"  # it has port 0x61
    assert verdicts["tsc.across"] == "skip"
    assert verdicts["host.pause_policy"] == "skip"


def test_a_vmm_that_says_nothing_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--vmm-command", "sleep 60 {guest}", "--timeout", "1"]) == 1
    assert "no word of the conformance guest" in capsys.readouterr().out
