"""``timehands source TREE why`` and ``config``, as people call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config_trees import FREEBSD, LINUX, NETBSD, planted
from timehands.cli import source_config, source_why
from timehands.cli.main import main


@pytest.fixture
def freebsd(tmp_path: Path) -> str:
    return str(planted(tmp_path / "freebsd", FREEBSD).root)


def test_why_a_file_is_compiled(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "why", "x86/x86/pvclock.c", "--config", "SMALL"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sys/x86/x86/pvclock.c is compiled into SMALL (FreeBSD, amd64)",
        '  sys/conf/files.amd64:1  include "conf/files.x86"',
        "  sys/conf/files.x86:1    x86/x86/pvclock.c optional kvm_clock | xenhvm",
        "  sys/amd64/conf/SMALL:8  device kvm_clock",
    ]


def test_why_not(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "why", "ddb/db_main.c", "--config", "SMALL"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "sys/ddb/db_main.c is not compiled into SMALL (FreeBSD, amd64)",
        "  sys/conf/files:7  ddb/db_main.c optional ddb",
        "                    nothing sets ddb",
        "It would be, with:",
        "  options DDB (sys/conf/options:8)",
    ]


def test_a_folder_is_a_table(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "why", "dev/kvm_clock", "--config", "XEN"]) == 0
    out = capsys.readouterr().out
    assert "0 of 2 files are compiled into XEN" in out
    assert "sys/conf/files.x86:2" in out


def test_json_has_it_all(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["source", freebsd, "why", "x86/x86/pvclock.c", "--config", "XEN", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["kernel"]["name"] == "XEN"
    (file,) = found["files"]
    assert file["compiled"]
    assert file["rules"][0]["condition"] == "kvm_clock | xenhvm"
    assert file["rules"][0]["chain"][-1] == {
        "where": {"file": "sys/amd64/conf/XEN", "line": 4},
        "words": "options XENHVM",
    }


def test_a_configuration(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "config", "SMALLER"]) == 0
    out = capsys.readouterr().out
    assert "SMALLER (FreeBSD, amd64): " in out
    assert "HZ=1000" in out
    assert "options  4, and 1 that are off" in out


def test_a_setting_with_what_depends_on_it(
    freebsd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["source", freebsd, "config", "SMALL", "kvm_clock"]) == 0
    out = capsys.readouterr().out
    assert "depends on device kvm_clock  2" in out
    assert "sys/conf/files.x86:2  dev/kvm_clock/kvm_clock.c optional kvm_clock" in out
    assert main(["source", freebsd, "config", "SMALL", "nosuch"]) == 0
    assert "No setting has nosuch in its name." in capsys.readouterr().out


def test_a_comparison(freebsd: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "config", "SMALL", "--diff", "SMALLER"]) == 0
    out = capsys.readouterr().out
    assert "4 settings differ, 7 are the same" in out
    assert "removed: " in out
    netbsd = str(planted(tmp_path / "netbsd", NETBSD).root)
    other = ["--diff", "LARGE", "--diff-tree", netbsd]
    assert main(["source", freebsd, "config", "SMALL", *other]) == 0
    out = capsys.readouterr().out
    assert "by what their settings mean" in out
    assert "virtio* at pci?" in out
    assert main(["source", freebsd, "config", "SMALL", *other, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["what"]: one["b"]["on"] for one in found["meanings"]}["virtio over PCI"]


def test_linux(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    linux = str(planted(tmp_path / "linux", LINUX).root)
    assert main(["source", linux, "config", "config", "KVM_GUEST"]) == 0
    assert "KVM_GUEST=y  set" in capsys.readouterr().out


def test_what_cannot_be_answered(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "config", "NOSUCH"]) == 2
    assert "Known are: DEFAULTS, SMALL, SMALLER, XEN" in capsys.readouterr().err
    assert main(["source", freebsd, "config", "SMALL", "--diff-tree", "x"]) == 2
    assert "Give --diff NAME" in capsys.readouterr().err
    assert main(["source", f"{freebsd}/sys/x86", "config", "SMALL"]) == 2
    assert "no configuration language that is known" in capsys.readouterr().err


def test_complaints_are_shown(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(freebsd) / "sys/amd64/conf/ODD").write_text("include SMALL\nfrobnicate all\n")
    assert main(["source", freebsd, "why", "kern/kern_tc.c", "--config", "ODD"]) == 0
    assert "sys/amd64/conf/ODD:2  unknown directive 'frobnicate'" in capsys.readouterr().out


def test_the_modules_are_subverbs() -> None:
    assert source_why.add.__doc__ and source_config.add.__doc__


def test_a_name_like_one_that_is_there_is_offered(
    freebsd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["source", freebsd, "config", "smalest"]) == 2
    assert "Perhaps SMALLER or SMALL. Known are: DEFAULTS" in capsys.readouterr().err


def test_a_long_story_is_cut_in_a_table_of_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = LINUX["config"].replace("CONFIG_KVM_GUEST=y", "# CONFIG_KVM_GUEST is not set")
    tree = planted(tmp_path, LINUX, {"other": other})
    assert main(["source", str(tree.root), "config", "config", "--diff", "other"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "symbol KVM_GUEST" in one]
    assert line.split()[2:] == [
        "y", "config:9", "...", "arch/x86/Kconfig:21",
        "unset:", "other:9", "...", "arch/x86/Kconfig:19",
    ]  # fmt: skip


def test_a_difference_takes_no_words(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["source", freebsd, "config", "SMALL", "HZ", "--diff", "SMALL"]) == 2
    assert "HZ: a difference is shown whole" in capsys.readouterr().err


def test_words_are_not_told_as_missing(freebsd: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["source", freebsd, "config"])
    assert capsys.readouterr().err.endswith("arguments are required: NAME\n")
