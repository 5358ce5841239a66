"""Two configurations beside each other, of one system and of two."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_trees import FREEBSD, LINUX, NETBSD, OPENBSD, planted
from timehands.sources.config import compare, pages, resolve
from timehands.sources.config.equivalents import Meant, meaning, subjects
from timehands.sources.config.subjects import SUBJECTS
from timehands.sources.document import Words
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where


def test_two_of_one_system(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    difference = compare(resolve(tree, "SMALL"), resolve(tree, "SMALLER"))
    assert {(pair.kind, pair.name, pair.where) for pair in difference.pairs} == {
        ("cpu", "HAMMER", "a"),
        ("makeoptions", "DEBUG", "a"),
        ("options", "HZ", "both"),
        ("options", "INVARIANTS", "a"),
    }
    assert (difference.only_a, difference.only_b) == (("sys/x86/x86/hammer.c",), ())
    assert difference.same == 7
    assert not difference.across


def test_a_configuration_does_not_differ_from_itself(tmp_path: Path) -> None:
    tree = planted(tmp_path, NETBSD)
    difference = compare(resolve(tree, "SMALL"), resolve(tree, "SMALL"))
    assert (difference.pairs, difference.only_a, difference.only_b) == ((), (), ())


def test_two_systems_by_what_settings_mean(tmp_path: Path) -> None:
    one = resolve(planted(tmp_path / "f", FREEBSD), "SMALL")
    other = resolve(planted(tmp_path / "n", NETBSD), "LARGE")
    difference = compare(one, other)
    assert difference.across
    found = {subject: (a, b) for subject, a, b in difference.meanings}
    clock, nothing = found["KVM clock (pvclock)"]
    assert (clock.on, clock.words) == (True, "device kvm_clock")
    assert clock.chain[-1].where == Where("sys/amd64/conf/SMALL", 8)
    assert (nothing.on, nothing.known) == (False, False)
    no, virtio = found["virtio over PCI"]
    assert (no.on, no.known, no.words) == (False, True, "device virtio_pci")
    assert (virtio.on, virtio.words) == (True, "device virtio* at pci?")
    assert found["TSC"][1].words == "sys/arch/x86/x86/tsc.c"
    assert (found["ticks a second"][0].value, found["ticks a second"][1].value) == ("100", "1000")
    assert not found["kernel debugger"][1].on


def test_linux_and_openbsd(tmp_path: Path) -> None:
    linux = resolve(planted(tmp_path / "l", LINUX), "config")
    openbsd = resolve(planted(tmp_path / "o", OPENBSD), "GENERIC")
    assert meaning(linux, "KVM clock (pvclock)").words == "symbol KVM_GUEST"
    assert meaning(openbsd, "KVM clock (pvclock)").words == "device pvclock* at pvbus?"
    assert meaning(openbsd, "kernel debugger").words == "option DDB"
    assert not meaning(openbsd, "consistency checks").on
    assert meaning(linux, "ticks a second").value == "250"
    assert all(meaning(linux, subject) for subject in subjects())


@pytest.mark.parametrize(
    ("line", "symbols"),
    [
        ("", Meant(True, True, "-g: sys/arch/amd64/conf/Makefile.amd64")),
        ('makeoptions DEBUG=""\n', None),
        ('makeoptions DEBUG="-g3"\n', "-g3"),
    ],
)
def test_what_holds_without_a_line(tmp_path: Path, line: str, symbols: Meant | str | None) -> None:
    conf = "sys/arch/amd64/conf/GENERIC"
    tree = planted(tmp_path, OPENBSD, {conf: OPENBSD[conf] + line})
    found = meaning(resolve(tree, "GENERIC"), "debugging symbols")
    if isinstance(symbols, Meant):
        assert found == symbols
    else:
        assert (found.on, found.value or None) == (symbols is not None, symbols)


def test_a_device_s_locators_are_no_value(tmp_path: Path) -> None:
    found = meaning(resolve(planted(tmp_path, NETBSD), "SMALL"), "serial console")
    assert (found.words, found.value) == ("device com0 at isa?", None)


def test_a_tree_that_is_the_kernel_alone(tmp_path: Path) -> None:
    planted(tmp_path, NETBSD)
    alone = resolve(SourceTree.open(tmp_path / "sys"), "SMALL")
    whole = resolve(SourceTree.open(tmp_path), "SMALL")
    for subject in subjects():
        assert meaning(alone, subject).on == meaning(whole, subject).on, subject
    assert meaning(alone, "TSC").on


def test_two_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one = resolve(planted(tmp_path / "o", OPENBSD), "GENERIC")
    more = {"sys/arch/amd64/conf/GENERIC": 'include "arch/amd64/conf/SMALL"\n'}
    other = resolve(planted(tmp_path / "n", NETBSD, more), "GENERIC")
    page = pages.difference_page(compare(one, other))
    told = [str(block) for block in page.blocks if isinstance(block, Words)]
    assert any("OpenBSD GENERIC  yes  option DDB" in line for line in told)
    assert any("NetBSD GENERIC   has nothing of the kind" in line for line in told)


def test_every_row_is_of_systems_that_are_known() -> None:
    systems = {"FreeBSD", "NetBSD", "OpenBSD", "Linux"}
    for subject, row in SUBJECTS.items():
        assert row.keys() <= systems, subject
        assert all(candidates[0][:5] != "else " for candidates in row.values()), subject
        assert all(isinstance(candidates, tuple) for candidates in row.values()), subject
