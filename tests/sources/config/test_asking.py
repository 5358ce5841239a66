"""Questions about files as people put them."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_trees import FREEBSD, NETBSD, planted
from timehands.sources.config import asking, resolve


@pytest.mark.parametrize(
    "asked",
    ["sys/x86/x86/pvclock.c", "x86/x86/pvclock.c", "./sys/x86/../x86/x86/pvclock.c", "pvclock.c"],
)
def test_a_path_in_any_form(tmp_path: Path, asked: str) -> None:
    tree = planted(tmp_path, FREEBSD)
    kernel = resolve(tree, "SMALL")
    for one in (asked, f"{tree.root}/sys/x86/x86/pvclock.c"):
        file, (answer,) = asking.why(tree, kernel, one)
        assert (file, answer.compiled) == ("sys/x86/x86/pvclock.c", True)


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    file, answers = asking.why(tree, resolve(tree, "SMALL"), "dev/kvm_clock/")
    assert file == "sys/dev/kvm_clock"
    assert [(one.file, one.compiled, one.note) for one in answers] == [
        ("sys/dev/kvm_clock/kvm_clock.c", True, ""),
        ("sys/dev/kvm_clock/unused.c", False, "no line that is read for this kernel names it"),
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("sys/sys/timetc.h", "a header is not compiled by itself"),
        ("sys/nowhere.c", "the tree has no such file"),
        ("../../etc/passwd", "the tree has no such file"),
        ("sys/dev/kvm_clock/unused.c", "it may be included by another file, or unused"),
        ("sys/arm64/arm64/gic.c", "but sys/conf/files.arm64:2 does"),
        ("sys/modules/linux/linux_time.c", "sys/modules/linux/Makefile:1 does"),
    ],
)
def test_what_is_known_of_a_file_that_no_line_names(tmp_path: Path, asked: str, words: str) -> None:
    tree = planted(tmp_path, FREEBSD)
    _, (answer,) = asking.why(tree, resolve(tree, "SMALL"), asked)
    assert not answer.compiled
    assert words in answer.note


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("sys/x86/x86/pvclok.c", "sys/x86/x86/pvclock.c"),
        ("pvclocks.c", "sys/x86/x86/pvclock.c"),
        ("sys/dev/nowhere/pvclock.c", "sys/x86/x86/pvclock.c"),
        ("sys/x86/x86/quite_another.c", None),
    ],
)
def test_a_misspelled_file_is_told_what_may_be_meant(
    tmp_path: Path, asked: str, meant: str | None
) -> None:
    tree = planted(tmp_path, FREEBSD)
    _, (answer,) = asking.why(tree, resolve(tree, "SMALL"), asked)
    words = f"; perhaps {meant}" if meant else ""
    assert answer.note.endswith(f"the tree has no such file{words}")


def test_only_what_no_rule_decides_is_unknown(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    kernel = resolve(tree, "SMALL")
    known = {
        asked: asking.one(tree, kernel, asked).known
        for asked in (
            "sys/sys/timetc.h",
            "sys/nowhere.c",
            "sys/arm64/arm64/gic.c",
            "sys/ddb/db_main.c",
        )
    }
    assert known == {
        "sys/sys/timetc.h": False,
        "sys/nowhere.c": True,
        "sys/arm64/arm64/gic.c": True,
        "sys/ddb/db_main.c": True,
    }


def test_a_library_s_makefile_is_named(tmp_path: Path) -> None:
    tree = planted(tmp_path, NETBSD)
    _, (answer,) = asking.why(tree, resolve(tree, "SMALL"), "lib/libkern/strlen.c")
    assert "sys/lib/libkern/Makefile.libkern:1 does" in answer.note
    assert not answer.known
