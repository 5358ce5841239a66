"""The verb ``doctor``: its page, its JSON and its exit status."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from timehands.cli import doctor
from timehands.machines import host as host_room
from timehands.machines.host import Compiler, Cpu, Folder, Host
from timehands.machines.host_kvm import KVM_CAPABILITIES, Kvm
from timehands.machines.host_qemu import Qemu
from timehands.machines.host_system import System

QEMU = Qemu(Path("/usr/bin/qemu-system-x86_64"), "10.0.2", 4, ("microvm",), ("tcg",), True)
WHOLE = Host(
    system=System("Debian GNU/Linux 13", "debian", "trixie", "6.12.0", Path("/apt-get"), False),
    qemus=(QEMU,),
    kvm=Kvm(True, True, "", 12, tuple((name, 2031619) for name in KVM_CAPABILITIES)),
    compiler=Compiler(Path("/usr/bin/cc"), "cc 14", True, True),
    cpu=Cpu("A CPU", 2, True, True, "tsc", ("tsc", "hpet")),
    cache=Folder(Path("/home/a/.cache/timehands"), True, 1 << 40),
    temporary=Folder(Path("/tmp"), True, 1 << 40),
)
BARE = replace(
    WHOLE,
    qemus=(),
    compiler=None,
    kvm=Kvm(False, False, "No such file or directory", None, ()),
    cpu=Cpu("", 1, False, False, "", ()),
    temporary=Folder(Path("/tmp"), False, None),
)


def run_doctor(monkeypatch: pytest.MonkeyPatch, host: Host, *words: str) -> int:
    monkeypatch.setattr(host_room, "survey_host", lambda: host)
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", *words])
    status: int = args.run(args)
    return status


def test_a_ready_host_gets_status_0_and_no_lacks_that_are_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(monkeypatch, WHOLE) == 0
    out = capsys.readouterr().out
    assert out.startswith("Ready")
    assert "✗" not in out
    assert "✓ QEMU 10.0.2" in out


def test_a_bare_host_gets_status_1_and_a_command_for_each_lack(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(monkeypatch, BARE) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Not ready: 3 things are lacking")
    commands = [line.split("mend: ")[1] for line in lines if "mend: " in line]
    assert commands == [lack.mend_command for lack in BARE.lacks()]


@pytest.mark.parametrize("host", [WHOLE, BARE])
def test_the_page_fits_100_columns(host: Host) -> None:
    long = replace(host, cache=Folder(Path("/very-long-name" * 20), True, 1 << 60))
    wide = [line for line in doctor.page(long) if len(line) > 100]
    # A path or a command is kept whole, so that it can be copied.
    assert all("/very-long-name" in line for line in wide)
    assert not [line for line in doctor.page(host) if len(line) > 100]


def test_colour_adds_nothing_but_escapes() -> None:
    plain = list(doctor.page(BARE))
    coloured = [re.sub(r"\x1b\[\d+m", "", line) for line in doctor.page(BARE, colour=True)]
    assert coloured == plain
    assert any("\x1b[" in line for line in doctor.page(BARE, colour=True))


@pytest.mark.parametrize("host", [WHOLE, BARE])
def test_json_says_what_the_page_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: Host
) -> None:
    status = run_doctor(monkeypatch, host, "--json")
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["schema"] == 1
    assert said["ready"] is (status == 0)
    assert [lack["mend_command"] for lack in said["lacks"]] == [
        lack.mend_command for lack in host.lacks()
    ]
    assert said["kvm"]["capabilities"] == dict(host.kvm.capabilities)
    assert len(said["qemus"]) == len(host.qemus)


def test_the_real_host_is_surveyed(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", "--json"])
    status = args.run(args)
    said = json.loads(capsys.readouterr().out)
    assert said["ready"] is (status == 0)
    assert said["cpu"]["cores"] >= 1
