"""OpenBSD's configurations: what its config(8) does in its own way, on a small tree of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_trees import OPENBSD, planted
from timehands.sources.config import Configuration, State, resolve
from timehands.sources.config.resolving import configurations

CONF = "sys/arch/amd64/conf"
MAKEFILE = (
    "S!=\tcd ../../../..; pwd\n_machdir?=\t$S/arch/${_mach}\n"
    "SYSTEM_HEAD=\tlocore0.o gap.o\nSYSTEM_OBJ=\t${SYSTEM_HEAD} ${OBJS} param.o ioconf.o\n"
    "param.c: $S/conf/param.c\n\tcp $S/conf/param.c .\nparam.o: param.c Makefile\n"
    "mcount.o: $S/lib/libkern/mcount.c Makefile\nlocore.o: assym.h\n"
    "vers.o: ${SYSTEM_DEP:Ngap.o}\n\tsh $S/conf/newvers.sh\n"
    "locore0.o: ${_machdir}/${_mach}/locore0.S assym.h\n"
)
LISTS = (
    "define mainbus {}\ndevice mainbus: mainbus\nattach mainbus at root\n"
    "attach pvbus at mainbus\n"
    "define acpi {}\ndevice acpi\nattach acpi at mainbus\n"
    "device acpitimer\nattach acpitimer at acpi\n"
    "file dev/acpi/acpitimer.c acpitimer\n"
    "file lib/arch/${MACHINE_ARCH}/max.S | lib/max.c\n"
    "file lib/arch/${MACHINE}/min.S | lib/min.c\tpvbus | acpi\n"
)


def kernel(folder: Path, more: str = "", files: dict[str, str] | None = None) -> Configuration:
    """The small kernel with more lines, and more files."""
    conf = OPENBSD[f"{CONF}/GENERIC"] + more
    changed = {f"{CONF}/files.amd64": LISTS, f"{CONF}/X": conf, **(files or {})}
    return resolve(planted(folder, OPENBSD, changed), "X")


def test_the_makefile_s_own_files_are_compiled(tmp_path: Path) -> None:
    found = kernel(tmp_path, files={f"{CONF}/Makefile.amd64": MAKEFILE})
    told = {
        file: str(found.files[file].chain[-1])
        for file in found.files
        if found.files[file].where.file in (f"{CONF}/Makefile.amd64", f"{CONF}/X")
    }
    assert told == {
        "ioconf.c": f"{CONF}/X:1: config makes it: machine amd64",
        "sys/conf/swapgeneric.c": f"{CONF}/X:5: config compiles it: config bsd swap generic",
        "sys/conf/param.c": f"{CONF}/Makefile.amd64:5: param.c: $S/conf/param.c",
        "vers.c": f"{CONF}/Makefile.amd64:11: sh $S/conf/newvers.sh",
        "sys/arch/amd64/amd64/locore0.S": (
            f"{CONF}/Makefile.amd64:12: locore0.o: ${{_machdir}}/${{_mach}}/locore0.S assym.h"
        ),
    }


def test_a_kernel_with_a_root_device_gets_a_file_for_it(tmp_path: Path) -> None:
    found = kernel(tmp_path, "config rd root on rd0a swap on rd0b\n")
    assert "swaprd.c" in found.files
    assert "swapbsd.c" not in found.files


def test_the_first_of_several_files_that_is_there(tmp_path: Path) -> None:
    found = kernel(tmp_path, files={"sys/lib/max.c": "", "sys/lib/arch/amd64/min.S": ""})
    assert "sys/lib/max.c" in found.files
    assert "sys/lib/arch/amd64/min.S" in found.files
    why = found.why("sys/lib/arch/amd64/max.S")
    assert not why.compiled
    assert why.note.startswith("sys/lib/max.c is there, and the line names it first")
    assert str(found.why("sys/lib/min.c").verdicts[0].rule.condition) == "pvbus | acpi"


def test_of_files_that_are_all_lacking_the_first_counts(tmp_path: Path) -> None:
    assert "sys/lib/arch/amd64/max.S" in kernel(tmp_path).files


def test_a_device_carries_the_interface_of_its_name(tmp_path: Path) -> None:
    found = kernel(tmp_path, "acpi0 at mainbus0\nacpitimer* at acpi?\n")
    assert found.complaints == ()
    assert "sys/dev/acpi/acpitimer.c" in found.files
    lacking = kernel(tmp_path / "other", "acpitimer* at acpi?\n")
    (change,) = lacking.why("sys/dev/acpi/acpitimer.c").changes
    assert str(change) == "acpitimer* at acpi? and acpi* at mainbus?"


def test_a_device_that_is_disabled_is_compiled_all_the_same(tmp_path: Path) -> None:
    found = kernel(tmp_path, "acpi0 at mainbus0\nacpitimer* at acpi? disable\n")
    assert "sys/dev/acpi/acpitimer.c" in found.files
    enabled = kernel(tmp_path / "on", "acpi0 at mainbus0 disable\nacpi0 at mainbus0 enable\n")
    assert enabled.complaints == ()
    story = enabled.devices["acpi0 at mainbus0"].chain
    assert [step.words.split()[-1] for step in story] == ["disable", "enable"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("option DDB", "DDB is set already, at sys/conf/GENERIC:1: config stops here"),
        ("acpi0 at mainbus0 enable", "there is no acpi0 at mainbus0"),
        ("pseudo-device pvbus", "there is no pseudo-device pvbus"),
    ],
)
def test_what_config_refuses(tmp_path: Path, line: str, complaint: str) -> None:
    (found,) = kernel(tmp_path, line + "\n").complaints
    assert found.text.endswith(complaint)


def test_settings_have_the_system_s_words(tmp_path: Path) -> None:
    found = kernel(tmp_path, 'rmoptions DDB\nmakeoption DEBUG="-g"\n')
    assert found.settings["option", "DDB"].state is State.REMOVED
    assert str(found.settings["makeoptions", "DEBUG"]) == "makeoptions DEBUG=-g"
    assert found.complaints == ()


def test_the_names_of_configurations(tmp_path: Path) -> None:
    more = {f"{CONF}/{name}": "" for name in ("GENERIC.MP", "Makefile.amd64", "GENERIC.hints")}
    assert list(configurations(planted(tmp_path, OPENBSD, more))) == ["GENERIC", "GENERIC.MP"]
