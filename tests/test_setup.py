"""Setting a machine up, and the two commands, on a machine made of fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fake_machine import (
    FAKE_CC,
    FAKE_PYTHON,
    GOOD_QEMU,
    MIRROR,
    OLD_QEMU,
    ROOT,
    TRIXIE,
    UBUNTU,
    FakeMachine,
    make_machine,
    tree,
)

SCRIPTS = (
    "demo", "test", ".ci/run", "scripts/setup.sh", "scripts/fetch-sample-kernel.sh",
    "scripts/oracles.sh",
)  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """Debian 12 as a plain user without sudo; Python is there, QEMU and a compiler are not."""
    return make_machine(tmp_path)


@pytest.fixture
def equipped(machine: FakeMachine) -> FakeMachine:
    """A machine that lacks nothing but the virtual environment."""
    machine.program("qemu-system-x86_64", GOOD_QEMU)
    machine.program("cc", FAKE_CC)
    return machine


# --- the plan --------------------------------------------------------------------------------


def test_a_user_without_root_is_told_exactly_what_to_install(machine: FakeMachine) -> None:
    before = tree(machine.checkout)
    result = machine.run("scripts/setup.sh")
    assert result.returncode == 1
    lines = [line.strip() for line in result.stderr.splitlines()]
    assert "apt-get update" in lines
    assert "apt-get install --no-install-recommends -t bookworm-backports qemu-system-x86" in lines
    assert "apt-get install --no-install-recommends gcc libc6-dev" in lines
    assert tree(machine.checkout) == before
    assert not [call for call in machine.calls if "install" in call or call.endswith("update")]


def test_the_printed_backports_line_writes_the_source_it_should(
    machine: FakeMachine, tmp_path: Path
) -> None:
    result = machine.run("scripts/setup.sh")
    (line,) = (line for line in result.stderr.splitlines() if "printf" in line)
    command, target = line.strip().rsplit(" >", 1)
    assert target == "/etc/apt/sources.list.d/timehands-backports.sources"
    written = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    fields = dict(field.split(": ") for field in written.splitlines())
    assert fields.pop("Signed-By", "/usr/share/keyrings/").startswith("/usr/share/keyrings/")
    assert fields == {
        "Types": "deb",
        "URIs": MIRROR,
        "Suites": "bookworm-backports",
        "Components": "main",
    }


@pytest.mark.parametrize("configured", ["bookworm-backports", "oldstable-backports"])
def test_configured_backports_are_not_added_again(machine: FakeMachine, configured: str) -> None:
    machine.apt("bookworm", configured, candidate="1:7.2+dfsg-7")
    result = machine.run("scripts/setup.sh", "--dry-run")
    assert "sources.list.d" not in result.stderr
    assert "-t bookworm-backports qemu-system-x86" in result.stderr


@pytest.mark.parametrize("candidate", ["1:10.0.2+ds-2", ""])
def test_a_release_with_a_good_qemu_needs_no_backports(
    machine: FakeMachine, candidate: str
) -> None:
    machine.release(TRIXIE)
    machine.apt("trixie", candidate=candidate)
    result = machine.run("scripts/setup.sh", "--dry-run")
    assert "apt-get install --no-install-recommends qemu-system-x86\n" in result.stderr
    assert "backports" not in result.stderr


def test_a_fresh_debian_12_without_package_lists_is_known_to_need_backports(
    machine: FakeMachine,
) -> None:
    machine.apt("bookworm")
    result = machine.run("scripts/setup.sh", "--dry-run")
    assert "-t bookworm-backports qemu-system-x86" in result.stderr


def test_another_system_with_an_old_qemu_is_told_what_is_needed(machine: FakeMachine) -> None:
    machine.release(UBUNTU)
    machine.apt("noble", candidate="1:8.2.2+ds-0")
    result = machine.run("scripts/setup.sh", "--dry-run")
    assert result.returncode == 1
    assert "1:8.2.2+ds-0" in result.stderr
    assert "TIMEHANDS_QEMU" in result.stderr


def test_an_old_qemu_counts_as_missing(machine: FakeMachine) -> None:
    machine.program("qemu-system-x86_64", OLD_QEMU)
    assert "qemu-system-x86" in machine.run("scripts/setup.sh", "--dry-run").stderr


def test_a_compiler_that_cannot_compile_counts_as_missing(equipped: FakeMachine) -> None:
    assert "gcc libc6-dev" not in equipped.run("scripts/setup.sh", "--dry-run").stderr
    equipped.program("cc", "#!/bin/sh\nexit 1\n")
    assert "gcc libc6-dev" in equipped.run("scripts/setup.sh", "--dry-run").stderr


@pytest.mark.parametrize(("number", "through"), [(0, "(as root):"), (1000, "through sudo")])
def test_a_dry_run_that_could_install_changes_nothing(
    machine: FakeMachine, number: int, through: str
) -> None:
    machine.user(number)
    machine.logging("sudo")
    before = tree(machine.folder) | {"log"}
    result = machine.run("scripts/setup.sh", "--dry-run")
    assert result.returncode == 0
    assert through in result.stderr
    assert "nothing was changed" in result.stderr
    assert tree(machine.folder) <= before
    allowed = ("--print-uris", "sudo -n true", "python -c")
    assert all(any(word in call for word in allowed) for call in machine.calls)


def test_sudo_that_refuses_is_no_sudo(machine: FakeMachine) -> None:
    machine.program("sudo", "#!/bin/sh\nexit 1\n")
    result = machine.run("scripts/setup.sh")
    assert result.returncode == 1
    assert "Run this as root" in result.stderr


def test_the_plan_is_printed_before_anything_is_installed(machine: FakeMachine) -> None:
    # As root: apt-get fails at once, so all that was printed came before the change.
    machine.user(0)
    machine.apt("bookworm", "bookworm-backports", candidate="1:7.2+dfsg-7")
    machine.logging("apt-get", 'case "$*" in *--print-uris*) ;; *) exit 100;; esac')
    machine.release(TRIXIE)
    machine.program("apt-cache", '#!/bin/sh\necho "  Candidate: 1:10.0.2"\n')
    result = machine.run("scripts/setup.sh")
    assert result.returncode == 1
    plan, _, after = result.stderr.partition("Installing packages")
    assert "apt-get install --no-install-recommends qemu-system-x86" in plan
    assert "apt-get update failed" in after
    assert not (machine.checkout / ".venv").exists()


def test_without_apt_the_missing_things_are_named(machine: FakeMachine) -> None:
    for name in ("apt-get", "apt-cache"):
        (machine.folder / "bin" / name).unlink()
    result = machine.run("scripts/setup.sh")
    assert result.returncode == 1
    assert "no apt-get" in result.stderr
    assert "C compiler" in result.stderr


def test_an_unknown_argument_is_refused(machine: FakeMachine) -> None:
    result = machine.run("scripts/setup.sh", "--nonsense")
    assert result.returncode == 1
    assert "--nonsense" in result.stderr


# --- the virtual environment -----------------------------------------------------------------


def made_environments(machine: FakeMachine) -> int:
    return sum("-m venv" in call for call in machine.calls)


def test_set_up_makes_the_environment_with_the_pinned_versions(equipped: FakeMachine) -> None:
    result = equipped.run("scripts/setup.sh")
    assert result.returncode == 0, result.stderr
    assert made_environments(equipped) == 1
    installs = [call for call in equipped.calls if "-m pip" in call and "install" in call]
    assert installs
    assert all(f"--constraint {equipped.checkout}/constraints.txt" in call for call in installs)
    assert f"-e {equipped.checkout}[dev]" in installs[-1]
    assert f"{equipped.checkout}/.venv/bin/timehands" in result.stderr


def test_a_second_run_does_nothing_and_says_nothing(equipped: FakeMachine) -> None:
    equipped.run("scripts/setup.sh")
    equipped.forget_calls()
    result = equipped.run("scripts/setup.sh")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert equipped.calls == []


def test_a_second_run_costs_less_than_a_tenth_of_a_second(equipped: FakeMachine) -> None:
    equipped.run("scripts/setup.sh")

    def seconds() -> float:
        began = time.monotonic()
        equipped.run("scripts/setup.sh")
        return time.monotonic() - began

    assert min(seconds() for _ in range(5)) < 0.1


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt", "scripts/setup.sh"])
def test_a_changed_file_brings_the_environment_up_to_date(
    equipped: FakeMachine, changed: str
) -> None:
    equipped.run("scripts/setup.sh")
    equipped.forget_calls()
    with (equipped.checkout / changed).open("a") as file:
        file.write("\n# changed\n")
    assert equipped.run("scripts/setup.sh").returncode == 0
    assert made_environments(equipped) == 0
    assert any("-m pip" in call for call in equipped.calls)


def test_an_interrupted_set_up_is_made_afresh(equipped: FakeMachine) -> None:
    (equipped.folder / "log.pip-fails").touch()
    failed = equipped.run("scripts/setup.sh")
    assert failed.returncode == 1
    assert "pip could not install" in failed.stderr
    (equipped.folder / "log.pip-fails").unlink()
    equipped.forget_calls()
    assert equipped.run("scripts/setup.sh").returncode == 0
    assert made_environments(equipped) == 1
    equipped.forget_calls()
    assert equipped.run("scripts/setup.sh").returncode == 0
    assert equipped.calls == []


def test_a_qemu_that_is_taken_away_is_noticed(equipped: FakeMachine) -> None:
    equipped.run("scripts/setup.sh")
    (equipped.folder / "bin" / "qemu-system-x86_64").unlink()
    result = equipped.run("scripts/setup.sh")
    assert result.returncode == 1
    assert "qemu-system-x86" in result.stderr


def test_two_set_ups_at_once_make_one_environment(equipped: FakeMachine) -> None:
    slow = FAKE_PYTHON.replace('"-m pip")', '"-m pip") sleep 0.3;')
    equipped.program("python3", slow)
    (equipped.folder / "bin" / "sleep").symlink_to(shutil.which("sleep") or "/bin/sleep")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: equipped.run("scripts/setup.sh"), range(2)))
    assert [result.returncode for result in results] == [0, 0]
    assert made_environments(equipped) == 1


# --- the two commands ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo", "test"])
def test_help_changes_nothing(machine: FakeMachine, name: str) -> None:
    before = tree(machine.folder)
    result = machine.run(name, "--help")
    assert result.returncode == 0
    assert f"usage: ./{name}" in result.stdout
    assert tree(machine.folder) == before


@pytest.mark.parametrize("status", [0, 3])
def test_the_demo_boots_the_sample_and_ends_with_the_path_of_the_report(
    equipped: FakeMachine, status: int
) -> None:
    assert equipped.run("scripts/setup.sh").returncode == 0
    kernel = equipped.sample / "boot/vmlinuz-6"
    kernel.parent.mkdir(parents=True)
    kernel.touch()
    # Stands in for the command: notes its arguments and writes the file after --html.
    (equipped.checkout / ".venv/bin/timehands").write_text(
        '#!/bin/sh\necho "timehands $*" >>"$FAKES_LOG"\n'
        f'while [ "$1" != --html ]; do shift; done; : >"$2"; exit {status}\n'
    )
    result = equipped.run("demo", "--timeout", "9")
    assert result.returncode == status
    assert Path(result.stdout.splitlines()[-1]).is_file()
    (call,) = (call for call in equipped.calls if call.startswith("timehands"))
    assert call.startswith(f"timehands boot {kernel} ")
    assert "--prove" in call
    assert call.endswith("--timeout 9")


def test_set_up_that_fails_stops_both_commands(machine: FakeMachine) -> None:
    for name in ("demo", "test"):
        result = machine.run(name)
        assert result.returncode == 1
        assert "Run this as root" in result.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run_and_shellcheck_finds_nothing(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    shellcheck = shutil.which("shellcheck") or pytest.skip("no shellcheck")
    result = subprocess.run(
        [shellcheck, "-x", "-P", ROOT, name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout


def test_no_script_names_a_registry_or_a_mirror() -> None:
    files = [*(ROOT / name for name in SCRIPTS), ROOT / "scripts/lib.sh", ROOT / "constraints.txt"]
    assert not [path.name for path in files if "://" in path.read_text()]
