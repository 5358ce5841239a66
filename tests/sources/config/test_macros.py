from __future__ import annotations

from pathlib import Path

import pytest

from timehands.sources.config import resolve
from timehands.sources.config.compiled import Compiled
from timehands.sources.config.macros import ConfiguredMacros, macros
from timehands.sources.tree import SourceTree

FREEBSD = {
    "sys/conf/newvers.sh": 'TYPE="FreeBSD"\n',
    "sys/conf/options": "SMP opt_global.h\nHZ opt_global.h\nXENHVM opt_global.h\n",
    "sys/conf/files": "kern/kern_tc.c standard\nx86/xen/pv.c optional xenhvm\n",
    "sys/conf/files.amd64": "",
    "sys/amd64/conf/DEFAULTS": "machine amd64\ncpu HAMMER\n",
    "sys/amd64/conf/SMALL": "options SMP\noptions HZ=100\ndevice isa\noptions NO\nnooptions NO\n",
    "sys/kern/kern_tc.c": "",
    "sys/x86/xen/pv.c": "",
}
NETBSD = {
    "sys/sys/param.h": "#define __NetBSD_Version__ 1099001200\n",
    "sys/conf/files": "defflag MULTIPROCESSOR\ndefine lapic\ndevice cpu: lapic\n"
    "attach cpu at root\nfile kern/kern_tc.c\nfile arch/lapic.c lapic needs-flag\n"
    "device hpet\nattach hpet at root\nfile dev/hpet.c hpet needs-flag\n",
    "sys/arch/amd64/conf/std.amd64": "machine amd64\n",
    "sys/arch/amd64/conf/files.amd64": 'include "conf/files"\n',
    "sys/arch/amd64/conf/SMALL": 'include "arch/amd64/conf/std.amd64"\noptions MULTIPROCESSOR\n'
    "options HZ=100\ncpu* at root\n",
    "sys/kern/kern_tc.c": "",
}


def made(folder: Path, files: dict[str, str]) -> SourceTree:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return SourceTree.open(folder)


def told(known: ConfiguredMacros, words: str) -> list[bool | None]:
    return [known.defined(word) for word in words.split()]


def test_freebsd(tmp_path: Path) -> None:
    tree = made(tmp_path, FREEBSD)
    known = macros(resolve(tree, "SMALL"))
    assert told(known, "SMP HAMMER DEV_ISA _KERNEL __amd64__ __FreeBSD__") == [True] * 6
    assert told(known, "DEV_ACPI __i386__ KLD_MODULE _STANDALONE") == [False] * 4
    assert told(known, "NO XENHVM whatever") == [None] * 3, "the tree may define them"
    assert (known.value("HZ"), known.value("__i386__"), known.value("XENHVM")) == (100, 0, None)


def test_what_a_configuration_compiles(tmp_path: Path) -> None:
    tree = made(tmp_path, FREEBSD)
    compiled = Compiled(tree, resolve(tree, "SMALL"))
    files = ("sys/kern/kern_tc.c", "sys/x86/xen/pv.c", "sys/sys/systm.h")
    assert [compiled.listed(file) for file in files] == [True, False, None]
    assert [compiled.compiled(file) for file in files] == [True, False, None]
    assert compiled.refusal("sys/x86/xen/pv.c") == "xenhvm (sys/conf/files:2)"
    assert compiled.condition("sys/kern/kern_tc.c") == ""


def test_netbsd(tmp_path: Path) -> None:
    known = macros(resolve(made(tmp_path, NETBSD), "SMALL"))
    assert told(known, "MULTIPROCESSOR _KERNEL __NetBSD__ __x86_64__") == [True] * 4
    assert [known.value(name) for name in ("NLAPIC", "NHPET", "HZ")] == [1, 0, 100]


def test_openbsd(tmp_path: Path) -> None:
    openbsd = {
        "sys/conf/newvers.sh": 'ost="OpenBSD"\n',
        "sys/arch/amd64/conf/files.amd64": "file kern/kern_tc.c\n",
        "sys/arch/amd64/conf/SMALL": "machine amd64\noption MULTIPROCESSOR\noption HZ=100\n",
        "sys/kern/kern_tc.c": "",
    }
    known = macros(resolve(made(tmp_path, openbsd), "SMALL"))
    assert told(known, "MULTIPROCESSOR __OpenBSD__ __NetBSD__ DDB") == [True, True, False, None]
    assert known.value("HZ") == 100


def test_linux(tmp_path: Path) -> None:
    files = {
        "Kconfig": "config SMP\n\tbool\nconfig NET\n\ttristate\nconfig HZ\n\tint\n",
        "Makefile": "VERSION = 6\nobj-y += kernel/\n",
        "Kbuild": "",
        "kernel/Makefile": "obj-y += panic.o\n",
        "kernel/panic.c": "",
        ".config": "CONFIG_SMP=y\nCONFIG_NET=m\nCONFIG_HZ=250\n# CONFIG_XEN is not set\n",
    }
    tree = made(tmp_path, files)
    if tree.kind != "linux":
        pytest.fail("this should look like Linux")
    known = macros(resolve(tree, ".config"))
    assert told(known, "CONFIG_SMP CONFIG_NET_MODULE __KERNEL__") == [True] * 3
    assert told(known, "CONFIG_NET CONFIG_XEN CONFIG_NEW MODULE") == [False] * 4
    assert known.value("CONFIG_HZ") == 250
    asked = [("IS_ENABLED", 1), ("IS_BUILTIN", 0), ("IS_MODULE", 1)]
    for name, value in asked:
        assert known.called(name, "CONFIG_NET") == value
    assert known.called("IS_ENABLED", "CONFIG_XEN") == 0
    assert known.called("strlen", "CONFIG_NET") is None
