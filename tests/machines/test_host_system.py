"""What the host's system says, and the commands made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from timehands.machines import host_system
from timehands.machines.host_system import System, survey_system

APT = Path("/usr/bin/apt-get")


def system(codename: str, *, apt: Path | None = APT, backports: bool = False) -> System:
    return System("Debian", "debian", codename, "6.1.0", apt, backports)


def test_bookworm_takes_qemu_from_its_backports() -> None:
    mend = system("bookworm", backports=True).install_qemu()
    assert mend == ("apt-get install --no-install-recommends -t bookworm-backports qemu-system-x86")


def test_bookworm_without_backports_points_to_set_up() -> None:
    assert system("bookworm").install_qemu().startswith("scripts/setup.sh")


def test_trixie_takes_qemu_from_the_release() -> None:
    assert system("trixie").install_qemu() == (
        "apt-get install --no-install-recommends qemu-system-x86"
    )


def test_without_apt_no_apt_command_is_given() -> None:
    mend = system("", apt=None).install("gcc", "libc6-dev")
    assert "apt-get" not in mend
    assert "gcc, libc6-dev" in mend


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.list", "deb http://mirror.invalid/debian bookworm-backports main\n", True),
        ("a.list", "deb [signed-by=/k.gpg] http://m.invalid/d bookworm-backports main\n", True),
        ("a.list", "# deb http://mirror.invalid/debian bookworm-backports main\n", False),
        ("a.list", "deb http://mirror.invalid/debian bookworm-backports-sloppy main\n", False),
        ("a.sources", "Types: deb\nSuites: bookworm bookworm-backports\n", True),
        ("a.sources", "Types: deb\nSuites: bookworm-backports-sloppy\n", False),
        ("a.disabled", "deb http://mirror.invalid/debian bookworm-backports main\n", False),
    ],
)
def test_configured_backports_are_seen_in_both_formats_of_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, found: bool
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / name).write_text(text)
    release = tmp_path / "os-release"
    release.write_text('PRETTY_NAME="A Debian"\nID=debian\nVERSION_CODENAME=bookworm\n')
    monkeypatch.setattr(host_system, "_SOURCES", tmp_path)
    monkeypatch.setattr(host_system, "_OS_RELEASE", (tmp_path / "missing", release))
    surveyed = survey_system()
    assert (surveyed.name, surveyed.id, surveyed.codename) == ("A Debian", "debian", "bookworm")
    assert surveyed.backports is found


def test_a_system_that_says_nothing_is_still_a_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_system, "_OS_RELEASE", (tmp_path / "missing",))
    monkeypatch.setattr(host_system, "_SOURCES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    surveyed = survey_system()
    assert (surveyed.codename, surveyed.apt, surveyed.backports) == ("", None, False)
