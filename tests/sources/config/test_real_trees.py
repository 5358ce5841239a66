"""Real trees against real kernels: by hand, with the environment naming them.

- ``TIMEHANDS_FREEBSD=TREE:CONFIG:KERNEL``, ``TIMEHANDS_NETBSD`` alike: a kernel with
  DWARF, built from that tree; its build folder, which DWARF names, must still be there.
- ``TIMEHANDS_OPENBSD=TREE:MADE``, ``TIMEHANDS_NETBSD_CONFIG`` and ``TIMEHANDS_FREEBSD_CONFIG``
  alike: what the system's own config made of configurations of that tree, each in
  MADE/MACHINE/CONFIG/Makefile.
- ``TIMEHANDS_LINUX=TREE:CONFIG:MODULES``: MODULES is the folder of an installed kernel's modules.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from timehands.sources.config import Configuration, resolve
from timehands.sources.tree import SourceTree


def named(variable: str) -> tuple[SourceTree, Configuration, Path]:
    """The tree, the configuration and the kernel that a variable names."""
    value = os.environ.get(variable, "")
    if value.count(":") != 2:
        pytest.skip(f"no {variable}=TREE:CONFIG:KERNEL")
    root, config, kernel = value.split(":")
    tree = SourceTree.open(root)
    return tree, resolve(tree, config), Path(kernel)


def units(kernel: Path) -> Iterator[tuple[str, str]]:
    """The compilation units of a kernel: the file, and the folder that it was compiled in."""
    with kernel.open("rb") as opened:
        for unit in ELFFile(opened).get_dwarf_info().iter_CUs():
            found = unit.get_top_DIE().attributes
            folder = found["DW_AT_comp_dir"].value.decode()
            name = found["DW_AT_name"].value.decode()
            yield posixpath.normpath(posixpath.join(folder, name)), folder


def has_dwarf(file: Path) -> bool:
    with file.open("rb") as opened:
        return bool(ELFFile(opened).has_dwarf_info())


def test_freebsd_s_units_are_the_files() -> None:
    tree, kernel, image = named("TIMEHANDS_FREEBSD")
    found = dict(units(image))
    folder = Path(next(iter(found.values())))
    compiled = {name.removeprefix(f"{tree.root}/").removeprefix(f"{folder}/") for name in found}
    ours = set()
    for file, reason in kernel.files.items():
        made = [note[6:] for note in reason.rule.notes if note.startswith("makes ")]
        ours.add(made[0] if made and made[0].endswith(".c") else file)
    assert compiled <= ours
    for file in sorted(ours - compiled):
        base = posixpath.splitext(posixpath.basename(file))[0]
        # Assembled without DWARF, linked in as data, or with nothing left after #ifdef.
        assert file.endswith((".S", ".o")) or not has_dwarf(folder / f"{base}.o"), file


def test_netbsd_s_units_are_the_files() -> None:
    tree, kernel, image = named("TIMEHANDS_NETBSD")
    found = {
        name.removeprefix(f"{tree.root}/").removeprefix(f"{folder}/")
        for name, folder in units(image)
    }
    assert set(kernel.files) - {"vers.c"} <= found
    # What is left are the libraries that the makefile links in: libkern, and what it takes in.
    left = [name for name in found - set(kernel.files) if name.startswith("sys/")]
    assert [name for name in left if not name.startswith(("sys/lib/", "sys/external/"))] == []


def made(variable: str) -> Iterator[tuple[Configuration, str]]:
    """Each configuration of which the system's own config made a makefile, and that makefile."""
    value = os.environ.get(variable, "")
    if value.count(":") != 1:
        pytest.skip(f"no {variable}=TREE:MADE")
    root, folder = value.split(":")
    tree = SourceTree.open(root)
    for makefile in sorted(Path(folder).glob("*/*/Makefile")):
        kernel = resolve(tree, makefile.parent.name, makefile.parent.parent.name)
        yield kernel, makefile.read_text().replace("\\\n", " ")


def words(makefile: str, name: str) -> list[str]:
    """The words of a variable."""
    found = re.search(rf"^{name}\s*=(.*)$", makefile, re.MULTILINE)
    return found[1].replace("$S/", "sys/").split() if found else []


def test_openbsd_s_config_names_the_same_files() -> None:
    for kernel, makefile in made("TIMEHANDS_OPENBSD"):
        theirs = {*words(makefile, "CFILES"), *words(makefile, "SFILES")}
        theirs |= {word for word in words(makefile, "OBJS") if "/" in word}
        # What config makes itself, and what the makefile that it fills in compiles by name.
        swap = {"sys/conf/swapgeneric.c"} if "conf/swapgeneric.c" in makefile else {"swapbsd.c"}
        theirs |= {"ioconf.c", "vers.c", "sys/conf/param.c", *swap}
        start = posixpath.splitext(words(makefile, "SYSTEM_HEAD")[0])[0]
        (first,) = (file for file in kernel.files if Path(file).stem == start)
        ours = set(kernel.files) - {first}
        assert (ours, kernel.complaints) == (theirs, ()), (kernel.arch, kernel.name)


def test_netbsd_s_config_names_the_same_files() -> None:
    for kernel, makefile in made("TIMEHANDS_NETBSD_CONFIG"):
        theirs = {
            posixpath.normpath(f"sys/{word}") if "/" in word else word
            for word in words(makefile, "ALLFILES")
        }
        assert (set(kernel.files), kernel.complaints) == (theirs, ()), (kernel.arch, kernel.name)


def object_of(file: str, kernel: Configuration) -> str:
    """The object that a file of FreeBSD's makes."""
    noted = [note[6:] for note in kernel.files[file].rule.notes if note.startswith("makes ")]
    stem, ending = posixpath.splitext(posixpath.basename(noted[0] if noted else file))
    return f"{stem}{ending if ending == '.fwo' else '.o'}"


def test_freebsd_s_config_names_the_same_files() -> None:
    linked = {"config.o", "env.o", "hints.o", "locore.o", "vers.o", "vnode_if.o"}
    for kernel, makefile in made("TIMEHANDS_FREEBSD_CONFIG"):
        listed = {word for kind in "CSM" for word in words(makefile, f"{kind}FILES")}
        assert listed <= set(kernel.files), (kernel.arch, kernel.name)
        theirs = {posixpath.basename(word) for word in words(makefile, "OBJS")}
        theirs = {word.replace("$M", kernel.arch) for word in theirs}
        ours = {object_of(file, kernel) for file in kernel.files}
        assert (ours - linked, kernel.complaints) == (theirs, ()), (kernel.arch, kernel.name)


def test_linux_s_modules_are_those_that_are_built() -> None:
    _tree, kernel, installed = named("TIMEHANDS_LINUX")
    assert kernel.files
    objects = kernel.explainer._objects  # type: ignore[attr-defined]
    modules, builtin = set[str](), set[str]()
    for file in objects.compiled():
        for one in objects.ways(file):
            name = f"kernel/{one.line.folder}/{one.module}.ko"
            reached = objects.built_level(one)
            (modules if reached == 1 else builtin if reached else set()).add(name)
    listed = {
        line.split(":")[0].removesuffix(".xz")
        for line in (installed / "modules.order").read_text().splitlines()
        if line
    }
    assert modules == listed
    assert set((installed / "modules.builtin").read_text().split()) <= builtin
