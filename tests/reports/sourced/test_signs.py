"""What shows that a function ran, and where functions are without debug information."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from config_trees import LINUX as LINUX_TREE
from config_trees import planted
from recordings import LINUX, Tape, jiffies_boot
from timehands.boot import open_recording
from timehands.guests.tslog import Record, Tslog, What
from timehands.reports.sourced.join import Asked, join
from timehands.reports.sourced.places import Places
from timehands.reports.sourced.reached import Ran, names_reached, reached
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where
from timehands.watch.interventions import Stopped
from timehands.watch.recording import Recording


def tree(
    folder: Path, version: str = "VERSION = 6\nPATCHLEVEL = 1\n", code: str = "\n" * 99
) -> SourceTree:
    folder.mkdir()
    (folder / "Makefile").write_text(version)
    (folder / "Kconfig").write_text("")
    (folder / "kernel").mkdir()
    (folder / "kernel" / "clock.c").write_text(code)
    return SourceTree.open(folder)


def recorded(folder: Path) -> Recording:
    """A boot in which functions show themselves by a stop, a backtrace, and the kernel's log."""
    tape = Tape()
    tape.begins()
    tape.call("watched_and_came", ms=1, until_ms=2)
    tape.functions["watched_only"] = []
    tape.ends("guest-reset", ms=10)
    tape.write(folder)
    stop = Stopped(0, 5, 6, 0, 0, "tc_init", "stopped_at+0x4", None, ("caller at a.c:3",))
    (folder / "stops.jsonl").write_text(json.dumps(stop.to_json()) + "\n")
    log = Tslog((Record(1, What.ENTER, 1, "logged"), Record(1, What.EVENT, 2, "an_event")), 2)
    (folder / "looked.json").write_text(json.dumps({"tslog": log.to_json()}))
    return Recording.open(folder)


def test_each_sign_that_a_function_ran_counts(tmp_path: Path) -> None:
    names = ("watched_and_came", "watched_only", "stopped_at", "caller", "logged", "an_event")
    names = (*names, "printer")
    code = "".join(f"int {name}(void)\n{{\n}}\n" for name in names)
    recording, source = recorded(tmp_path / "boot"), tree(tmp_path / "src", code=code)
    places = Places(recording, source, None)
    found = reached(recording, places, source, "kernel/clock.c", printed={"printer": "c7"})
    assert {one.function: one.ran for one in found.functions} == {
        "watched_and_came": Ran.REACHED,
        "watched_only": Ran.NEVER,
        "stopped_at": Ran.REACHED,
        "caller": Ran.REACHED,
        "logged": Ran.REACHED,
        "an_event": Ran.NOT_WATCHED,
        "printer": Ran.REACHED,
    }
    assert [one.where.line for one in found.functions if one.where] == [1, 4, 7, 10, 13, 16, 19]
    assert "only names" in found.complaints[0]


def test_the_names_of_all_that_ran(tmp_path: Path) -> None:
    ran, never = names_reached(recorded(tmp_path / "boot"), {"printer": "c7"})
    assert {"watched_and_came", "stopped_at", "caller", "logged", "printer"} <= ran
    assert "an_event" not in ran
    assert "watched_only" in never
    assert not ran & never


def test_of_an_unwatched_boot_nothing_is_claimed(tmp_path: Path) -> None:
    tape = Tape()
    tape.line("hello", ms=1)
    recording = tape.write(tmp_path / "boot")
    source = tree(tmp_path / "src", code="void f(void)\n{\n}\n")
    found = reached(recording, Places(recording, source, None), source, "kernel/clock.c")
    assert [one.ran for one in found.functions] == [Ran.NOT_WATCHED]
    assert any("nothing was watched" in text for text in found.complaints)
    assert any("was not closed" in text for text in found.complaints)


def test_without_debug_information_the_cross_reference_is_asked(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.symbols = {1: "native_calibrate_cpu_early+0x1"}
    tape.write(tmp_path / "boot")
    booted = open_recording(tmp_path / "boot")
    places = {"native_calibrate_cpu_early": [Where("kernel/clock.c", 7)]}
    asked = Asked(tree(tmp_path / "src"), definitions=lambda name: places.get(name, []))
    sourced = join(booted.report, booted.recording, asked)
    item = sourced.item("finding", 0)
    assert item is not None
    assert [(one.function, one.where, one.exact) for one in item.frames] == [
        ("native_calibrate_cpu_early", Where("kernel/clock.c", 7), False)
    ]
    twice = [Where("kernel/clock.c", 7), Where("kernel/other.c", 9)]
    asked = Asked(tree(tmp_path / "src2"), definitions=lambda _name: twice)
    sourced = join(booted.report, booted.recording, asked)
    item = sourced.item("finding", 0)
    assert item is not None
    assert [one.where for one in item.frames] == [None]


def test_without_debug_information_the_compiled_files_are_read(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.symbols = {1: "native_calibrate_cpu_early+0x1"}
    tape.write(tmp_path / "boot")
    booted = open_recording(tmp_path / "boot")
    code = "\nunsigned long native_calibrate_cpu_early(void)\n{\n\treturn 0;\n}\n"
    files = {"kernel/time.c": code, "arch/x86/kernel/jailhouse.c": "\n" + code}
    asked = Asked(planted(tmp_path / "src", LINUX_TREE, files), config="config")
    sourced = join(booted.report, booted.recording, asked)
    item = sourced.item("finding", 0)
    assert item is not None
    # The other one is not compiled.
    assert [one.where for one in item.frames] == [Where("kernel/time.c", 2)]


def test_the_console_may_tell_the_version_of_the_tree(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.line("Linux version 6.1.0-9-cloud (x) #1 Debian 6.1.192-2", ms=1)
    tape.write(tmp_path / "boot")
    booted = open_recording(tmp_path / "boot")
    makefile = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = "
    for level, alike in (("192\n", True), ("19\n", False), ("191\n", False)):
        asked = Asked(tree(tmp_path / level.strip(), makefile + level))
        told = join(booted.report, booted.recording, asked).complaints
        assert any("lines may be others" in one for one in told) is not alike


def test_a_tree_of_another_system_or_version_is_told(tmp_path: Path) -> None:
    tape = jiffies_boot()
    tape.write(tmp_path / "boot")
    booted = open_recording(tmp_path / "boot")
    same = join(booted.report, booted.recording, Asked(tree(tmp_path / "same")))
    assert not any("lines may be others" in text for text in same.complaints)
    older = tree(tmp_path / "older", "VERSION = 5\nPATCHLEVEL = 10\n")
    told = join(booted.report, booted.recording, Asked(older)).complaints
    assert "the kernel is of 6.1.0-test, the tree of Linux 5.10: lines may be others" in told
    tape = jiffies_boot()
    tape.kernel = replace(LINUX, os="netbsd")
    booted = replace(booted, recording=tape.write(tmp_path / "other"))
    told = join(booted.report, booted.recording, Asked(tree(tmp_path / "src"))).complaints
    assert "its places mean nothing" in told[0]
