"""NetBSD's and OpenBSD's configurations, on small trees of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config_trees import NETBSD, OPENBSD, planted
from timehands.sources.config import Configuration, State, resolve
from timehands.sources.config.conditions import All, Any, Name, Not
from timehands.sources.config.netbsd.scanner import Malformed, Statement, statements


@pytest.fixture
def small(tmp_path: Path) -> Configuration:
    return resolve(planted(tmp_path, NETBSD), "SMALL")


@pytest.fixture
def large(tmp_path: Path) -> Configuration:
    return resolve(planted(tmp_path, NETBSD), "LARGE")


def words(configuration: Configuration, file: str) -> list[str]:
    return [str(step) for step in configuration.files[file].chain]


def test_the_files_are_those_that_are_selected(small: Configuration) -> None:
    assert set(small.files) == {
        "sys/kern/kern_tc.c", "sys/kern/kern_ddb.c", "sys/ufs/ffs.c", "sys/net/if.c",
        "sys/net/if_loop.c", "sys/secmodel/suser.c", "sys/lib/libkern.c", "sys/dev/com.c",
        "sys/dev/isa/com_isa.c", "sys/external/x/x.c", "sys/arch/x86/x86/tsc.c",
        "sys/arch/x86/x86/lapic.c", "sys/arch/x86/x86/both.c", "devsw.c", "ioconf.c",
        "swapnetbsd.c",
    }  # fmt: skip
    assert small.complaints == ()


def test_a_device_compiles_its_attachment(small: Configuration) -> None:
    assert words(small, "sys/dev/isa/com_isa.c") == [
        'sys/arch/amd64/conf/SMALL:1: include "arch/amd64/conf/std.amd64"',
        "sys/arch/amd64/conf/std.amd64:1: machine amd64 x86 xen",
        "sys/arch/x86/conf/files.x86:11: file dev/isa/com_isa.c com_isa",
        "sys/arch/x86/conf/files.x86:10: attach com at isa with com_isa",
        "sys/arch/amd64/conf/SMALL:7: com0 at isa? port 0x3f8 irq 4",
    ]
    assert small.devices["com0 at isa?"].value == "port 0x3f8 irq 4"
    assert str(small.devices["com0 at isa?"]) == "device com0 at isa? port 0x3f8 irq 4"
    assert str(small.settings["maxusers", "maxusers"]) == "maxusers 8"
    assert str(small.options["HZ"]) == "options HZ=1000"


def test_attributes_bring_what_they_need(small: Configuration) -> None:
    assert words(small, "sys/lib/libkern.c")[2:] == [
        "sys/conf/files:23: file lib/libkern.c libkern",
        "sys/conf/files:10: define kern : libkern",
        "sys/arch/amd64/conf/std.amd64:2: select kern",
    ]


def test_options_imply_options(small: Configuration) -> None:
    implied = small.options["secmodel_suser"]
    assert implied.state is State.IMPLIED
    assert [str(step) for step in implied.chain][-1] == (
        "sys/arch/amd64/conf/std.amd64:3: options secmodel_bsd44"
    )
    assert small.options["HZ"].value == "1000"
    assert small.settings["makeoptions", "COPTS"].value == '"-O2 -g"'


def test_what_is_taken_away(large: Configuration) -> None:
    assert large.options["DDB"].state is State.REMOVED
    assert "sys/kern/kern_ddb.c" not in large.files
    assert "sys/ufs/ffs.c" not in large.files
    assert "sys/dev/com.c" not in large.files
    assert large.devices["com0 at isa?"].chain[-1].words == "no com0 at isa?"
    assert large.complaints == ()


def test_virtio_needs_its_bus(small: Configuration, large: Configuration) -> None:
    assert "sys/dev/pci/if_vioif.c" in large.files
    assert words(large, "sys/dev/pci/virtio_pci.c")[-2:] == [
        "sys/arch/x86/conf/files.x86:12: attach virtio at pci with virtio_pci",
        "sys/arch/amd64/conf/LARGE:7: virtio* at pci? dev ? function ?",
    ]
    why = small.why("sys/dev/pci/if_vioif.c")
    assert not why.compiled
    assert [str(change) for change in why.changes] == [
        "vioif* at virtio? and virtio* at pci? and pci* at pcibus?"
    ]
    assert why.verdicts[0].chain[-1].words == "nothing selects vioif"


def test_a_denied_condition_says_what_is_in_the_way(small: Configuration) -> None:
    (first, *_) = small.why("sys/kern/vfs.c").changes
    assert {step.words for step in first.steps} == {"no file-system FFS"}


def test_ifdef_asks_for_attributes(small: Configuration) -> None:
    assert small.why("sys/arch/x86/x86/old.c").verdicts == ()
    assert small.why("sys/arch/x86/x86/native.c").verdicts == ()


def test_who_depends_on_a_setting(small: Configuration) -> None:
    com = small.explainer.dependents(small, small.devices["com0 at isa?"])
    assert [str(step.where) for step in com] == ["sys/conf/files:24"]


def test_of_two_files_for_one_object_the_later_wins(tmp_path: Path) -> None:
    more = {"sys/arch/xen/conf/files.xen": "file arch/xen/kern_tc.c kern\n"}
    found = resolve(planted(tmp_path, NETBSD, more), "SMALL")
    assert "sys/arch/xen/kern_tc.c" in found.files
    why = found.why("sys/kern/kern_tc.c")
    assert not why.compiled
    assert why.note.startswith("sys/arch/xen/kern_tc.c makes the same object")


def test_complaints_name_the_line(tmp_path: Path) -> None:
    odd = resolve(planted(tmp_path, NETBSD), "ODD")
    conf = "sys/arch/amd64/conf/ODD"
    assert [str(complaint) for complaint in odd.complaints] == [
        f"{conf}:4: vioif: vioif at nowhere: nowhere is unknown",
        f"{conf}:5: OLD is obsolete: ignored",
        f"{conf}:6: options: HZ must have a value",
        f"{conf}:7: frobnicate: an unknown directive",
        f"{conf}:8: include: includes {conf} again, which is being read: left out",
        f"{conf}:3: virtio0 at pci0 is left out: there is no pci0 for it to attach to",
    ]
    # com0 lost its isa0 on purpose: that is no complaint.
    assert "left out" in odd.devices["com0 at isa?"].chain[-1].words
    assert "sys/kern/kern_tc.c" in odd.files


def test_an_ifdef_without_its_end_is_named_by_its_line(tmp_path: Path) -> None:
    text = "machine amd64\nifdef amd64\nendif\nifdef vax\noptions DDB\n"
    found = resolve(planted(tmp_path, NETBSD, {"sys/arch/amd64/conf/CUT": text}), "CUT")
    told = "sys/arch/amd64/conf/CUT:4: this ifdef has no endif"
    assert told in [str(complaint) for complaint in found.complaints]


def test_without_a_machine_nothing_is_defined(tmp_path: Path) -> None:
    more = {"sys/arch/amd64/conf/NONE": "options DDB\n"}
    found = resolve(planted(tmp_path, NETBSD, more), "NONE")
    assert found.files == {}
    assert [str(one) for one in found.complaints] == ["no machine directive: nothing is defined"]


def test_openbsd(tmp_path: Path) -> None:
    found = resolve(planted(tmp_path, OPENBSD), "GENERIC")
    assert found.system == "OpenBSD"
    assert found.complaints == ()
    assert words(found, "sys/dev/pv/pvclock.c") == [
        "sys/arch/amd64/conf/GENERIC:1: machine amd64",
        "sys/conf/files:12: file dev/pv/pvclock.c pvclock needs-flag",
        "sys/arch/amd64/conf/GENERIC:8: pvclock* at pvbus?",
    ]
    assert {"sys/ddb/db.c", "sys/net/if_loop.c", "sys/arch/amd64/amd64/tsc.c"} <= set(found.files)
    assert found.options["DIAGNOSTIC"].state is State.REMOVED
    assert [name for name in found.files if "/" not in name] == ["ioconf.c"]
    (change,) = found.why("sys/kern/kern_malloc_debug.c").changes
    assert str(change) == "option MALLOC_DEBUG"


def test_conditions_bind_as_config_has_them() -> None:
    (statement,) = statements("(a | b) & !c & d|e")
    assert statement.condition() == Any(
        (All((Any((Name("a"), Name("b"))), Not(Name("c")), Name("d"))), Name("e"))
    )


@pytest.mark.parametrize("text", ["(a", "a &", "! ", "|", "a & 1"])
def test_what_is_no_condition(text: str) -> None:
    (statement,) = statements(text)
    with pytest.raises(Malformed):
        statement.condition()


def test_a_condition_that_nests_without_end() -> None:
    with pytest.raises(Malformed, match="too deep"):
        Statement(1, "", ["("] * 3000).condition()


def test_statements_go_on_after_a_blank() -> None:
    found = list(statements('a b # c "d\n\te "f # g" # h\n\ni += 1\n'))
    assert [(one.line, one.words) for one in found] == [
        (1, ["a", "b", "e", "f # g"]),
        (4, ["i", "+=", "1"]),
    ]
    assert found[0].text() == 'a b e "f # g"'


@settings(max_examples=15, deadline=None)
@given(
    config=st.lists(
        st.sampled_from(
            ["options", "options A=,", "no", "no device at", "no device at isa?", "com* at isa?",
             "pci* at mainbus?", "virtio* at pci*", "ifdef x", "endif", "else", "select vfs",
             "no select vfs", "pseudo-device loop x", "file a.c b", "package a/b", "a at", "at",
             "makeoptions a b", "config", "no isa0", "device x: x", "attach x at x", '"', "machine"]
        ),
        max_size=14,
    ),
    files=st.text(alphabet='ab.c/ \n"!|&(){}:,#\tfile define device attach at with', max_size=150),
)  # fmt: skip
def test_any_configuration_gives_an_answer(
    tmp_path_factory: pytest.TempPathFactory, config: list[str], files: str
) -> None:
    text = 'include "arch/amd64/conf/SMALL"\n' + "\n".join(config)
    odd = {"sys/arch/amd64/conf/X": text, "sys/arch/xen/conf/files.xen": files}
    found = resolve(planted(tmp_path_factory.mktemp("src"), NETBSD, odd), "X")
    assert "sys/lib/libkern.c" in found.files
    for file in found.rules:
        found.why(file)
