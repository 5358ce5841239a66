"""The verb ``conform``: what it reads and writes, its exit statuses, and what it refuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from conform_logs import Machine, one
from timehands.cli.conform import VMMS
from timehands.cli.main import main
from timehands.conform.runners import RUNNERS
from timehands.errors import CompilerMissing
from timehands.kernels.kernel import Kernel
from timehands.machines.build import compiler


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.log"
    path.write_text("".join(f"{line}\n" for line in Machine().lines()))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    machine = Machine()
    machine.cases["tsc.across"].update(one(warps=3))
    path = tmp_path / "bad.log"
    path.write_text("".join(f"{line}\n" for line in machine.lines()))
    return path


def test_the_names_in_the_help_are_those_of_the_runners() -> None:
    assert set(VMMS) == set(RUNNERS)


def test_a_log_is_judged(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--read", str(good)]) == 0
    assert " conforms: " in capsys.readouterr().out
    assert main(["conform", "--read", str(bad)]) == 1
    assert "✗ across" in capsys.readouterr().out


def test_a_log_on_standard_input(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(good.read_bytes())))
    assert main(["conform", "--read", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conforms"] is True


@pytest.mark.parametrize(
    ("form", "first"), [("--tap", "TAP version 13"), ("--junit", "<?xml"), ("--json", "{")]
)
def test_each_form(form: str, first: str, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--read", str(bad), form]) == 1
    assert capsys.readouterr().out.startswith(first)


def test_a_file_that_is_no_log_is_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "noise"
    path.write_bytes(bytes(range(256)) * 40)
    assert main(["conform", "--read", str(path)]) == 1
    assert "no word of the conformance guest" in capsys.readouterr().out


def test_the_guest_is_written_as_a_kernel(tmp_path: Path) -> None:
    try:
        compiler()
    except CompilerMissing as error:
        pytest.skip(error.message)
    path = tmp_path / "guest"
    assert main(["conform", "--emit", str(path)]) == 0
    data = path.read_bytes()
    assert Kernel.open(path).pvh_entry is not None
    assert b"\x02\xb0\xad\x1b" in data[:8192]
    assert len(data) < 64 << 10


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("qemu-tcg", "--read", "x"),
        ("--vmm-command", "true"),
        ("--vmm-command", "'{guest}"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conform", *words]) == 2
    assert capsys.readouterr().err.startswith("timehands: ")


def test_a_vmm_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert main(["conform", "firecracker"]) == 2
    assert "no firecracker is installed" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--vmm-command", "no-such-vmm {guest}", "--log", str(tmp_path / "none" / "log"))
    assert main(["conform", *words]) == 2
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--vcpus=0", "--vcpus=9", "--timeout=0", "--timeout=nan"])
def test_numbers_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(SystemExit):
        main(["conform", "qemu-tcg", option])
