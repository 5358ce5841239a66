"""FreeBSD's configurations, on a small tree of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config_trees import FREEBSD, planted
from timehands.errors import ConfigurationUnknown
from timehands.sources.config import Configuration, State, configurations, reading, resolve
from timehands.sources.config.freebsd import configuration
from timehands.sources.config.freebsd.lexer import Item, directives
from timehands.sources.config.reading import Reader


@pytest.fixture
def small(tmp_path: Path) -> Configuration:
    return resolve(planted(tmp_path, FREEBSD), "SMALL")


def words(configuration: Configuration, file: str) -> list[str]:
    return [str(step) for step in configuration.files[file].chain]


def test_a_file_tells_the_lines_that_compile_it(small: Configuration) -> None:
    assert words(small, "sys/x86/x86/pvclock.c") == [
        'sys/conf/files.amd64:1: include "conf/files.x86"',
        "sys/conf/files.x86:1: x86/x86/pvclock.c optional kvm_clock | xenhvm",
        "sys/amd64/conf/SMALL:8: device kvm_clock",
    ]
    assert words(small, "sys/kern/kern_tc.c") == ["sys/conf/files:2: kern/kern_tc.c standard"]


def test_the_files_are_those_whose_words_are_there(small: Configuration) -> None:
    assert set(small.files) == {
        "sys/kern/kern_tc.c", "sys/kern/sched_ule.c", "sys/kern/bus_if.m", "sys/libkern/crc.c",
        "gen.c", "sys/amd64/amd64/locore.S", "sys/crypto/aes.c", "sys/x86/x86/pvclock.c",
        "sys/dev/kvm_clock/kvm_clock.c", "sys/x86/x86/hammer.c", "config.c", "env.c", "vers.c",
    }  # fmt: skip
    assert small.complaints == ()


def test_an_option_with_a_value_compiles_nothing(small: Configuration) -> None:
    assert small.options["HZ"].value == "100"
    why = small.why("sys/kern/kern_hz.c")
    assert not why.compiled
    assert [str(change) for change in why.changes] == ["options HZ, without a value"]


def test_alternatives_hold_by_any_of_them(tmp_path: Path) -> None:
    xen = resolve(planted(tmp_path, FREEBSD), "XEN")
    assert "sys/x86/x86/pvclock.c" in xen.files
    assert "sys/x86/x86/hammer.c" not in xen.files
    why = xen.why("sys/dev/kvm_clock/kvm_clock.c")
    (verdict,) = why.verdicts
    assert [str(step) for step in verdict.chain][-3:] == [
        "sys/amd64/conf/XEN:1: include SMALL",
        "sys/amd64/conf/SMALL:8: device kvm_clock",
        "sys/amd64/conf/XEN:3: nodevice kvm_clock",
    ]
    assert [str(change) for change in why.changes] == ["device kvm_clock"]
    (change,) = xen.why("sys/x86/x86/hammer.c").changes
    assert [str(step) for step in change.steps] == ["sys/amd64/conf/XEN:4: nooptions XENHVM"]


def test_later_lines_override_and_remove(tmp_path: Path) -> None:
    smaller = resolve(planted(tmp_path, FREEBSD), "SMALLER")
    hz = smaller.options["HZ"]
    assert (hz.value, hz.state, hz.overridden) == ("1000", State.SET, True)
    assert [str(step) for step in hz.chain] == [
        "sys/amd64/conf/SMALLER:1: include SMALL",
        "sys/amd64/conf/SMALL:6: options HZ=100",
        "sys/amd64/conf/SMALLER:4: options HZ=1000",
    ]
    assert smaller.options["INVARIANTS"].state is State.REMOVED
    assert smaller.options["INVARIANTS"].chain[-1].words == "nooptions INVARIANTS"
    assert smaller.devices["kvm_clock"].on
    assert not smaller.settings["makeoptions", "DEBUG"].on
    assert "sys/x86/x86/hammer.c" not in smaller.files
    assert smaller.settings["ident", "ident"].value == "SMALLER"


def test_defaults_come_first(small: Configuration) -> None:
    (step,) = small.devices["isa"].chain
    assert str(step) == "sys/amd64/conf/DEFAULTS:2: device isa"
    assert small.settings["makeoptions", "DEBUG"].value == "-g -O1"
    assert small.settings["envvar", "hint.uart.0.port"].value == "0x3F8"


def test_other_words_of_a_line(small: Configuration) -> None:
    (verdict,) = small.why("sys/dev/usb/usb.c").verdicts
    assert verdict.rule.notes == ('compile-with "${NORMAL_C} -I$S/contrib"', "no-depend")
    (change,) = small.why("sys/kern/kern_mcount.c").changes
    assert str(change) == "run config -p"
    note = small.why("sys/kern/vnode_if.src").note
    assert note == "it is built, but it is no object of the kernel by itself"
    assert "makes aes.o" in small.files["sys/crypto/aes.c"].rule.notes


def test_who_depends_on_a_setting(small: Configuration) -> None:
    found = small.explainer.dependents(small, small.options["SCHED_ULE"])
    assert [str(step.where) for step in found] == ["sys/conf/files:3", "sys/conf/files:11"]


def test_complaints_name_the_line(tmp_path: Path) -> None:
    odd = (
        "include SMALL\nfrobnicate all\noptions NO_SUCH\ninclude ODD\ninclude NOWHERE\n"
        "machine i386\ndevice\n)\n"
    )
    lists = {"sys/amd64/conf/ODD": odd, "sys/conf/files.x86": "a.c maybe\nb.c standard x\nc.c\n"}
    found = resolve(planted(tmp_path, FREEBSD, lists), "ODD")
    assert "sys/kern/kern_tc.c" in found.files
    assert {str(complaint) for complaint in found.complaints} == {
        "sys/amd64/conf/ODD:2: unknown directive 'frobnicate'",
        "sys/amd64/conf/ODD:3: unknown option NO_SUCH",
        "sys/amd64/conf/ODD:4: includes sys/amd64/conf/ODD again, which is being read: left out",
        "sys/amd64/conf/ODD:5: cannot include NOWHERE: there is no such file",
        "sys/amd64/conf/ODD:6: a second machine, i386: left out",
        "sys/amd64/conf/ODD:7: device of nothing",
        "sys/amd64/conf/ODD:8: ')' does not belong here",
        "sys/conf/files.x86:1: a.c must be standard or optional: left out",
        "sys/conf/files.x86:2: b.c: a standard file has no conditions",
        "sys/conf/files.x86:3: c.c must be standard or optional: left out",
    }


def test_a_configuration_outside_of_the_tree(tmp_path: Path) -> None:
    tree = planted(tmp_path / "src", FREEBSD)
    mine = tmp_path / "MYKERNEL"
    mine.write_text("include SMALL\nident MINE\n")
    found = resolve(tree, str(mine))
    assert found.source == str(mine)
    assert "sys/x86/x86/pvclock.c" in found.files


def test_an_unknown_configuration_names_those_that_there_are(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    with pytest.raises(ConfigurationUnknown, match="SMALL, SMALLER, XEN"):
        resolve(tree, "NOSUCH")
    assert list(configurations(tree)) == ["DEFAULTS", "SMALL", "SMALLER", "XEN"]


def test_an_include_that_leads_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("device leaked\n")
    odd = {"sys/amd64/conf/ODD": 'machine amd64\ninclude "../../../../secret"\n'}
    tree = planted(tmp_path / "src", FREEBSD, odd)
    (tmp_path / "src/sys/amd64/conf/LINK").symlink_to(tmp_path / "secret")
    assert "leaked" not in resolve(tree, "ODD").devices
    with pytest.raises(ConfigurationUnknown):
        resolve(tree, "LINK")


def test_a_file_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    with (tmp_path / "sys/conf/files.x86").open("r+b") as opened:
        opened.truncate(17 << 20)
    found = resolve(tree, "SMALL")
    assert "sys/kern/kern_tc.c" in found.files
    assert [str(one) for one in found.complaints] == [
        "sys/conf/files.amd64:1: cannot read sys/conf/files.x86: larger than 16 MB; not read"
    ]


def test_odd_encodings_are_read(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    path = tmp_path / "sys/amd64/conf/SMALL"
    path.write_bytes(b"# caf\xe9 \xff\x00\r\n" + path.read_bytes().replace(b"\n", b"\r\n"))
    found = resolve(tree, "SMALL")
    assert "sys/x86/x86/pvclock.c" in found.files
    assert found.complaints == ()


def test_reading_that_takes_too_long_gives_what_was_read(tmp_path: Path) -> None:
    reader = Reader(planted(tmp_path, FREEBSD), deadline=0)
    found = configuration.resolve(reader, "sys/amd64/conf/SMALL", "SMALL", "amd64")
    assert "the rest is left out" in str(found.complaints[0])


def test_a_list_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_RULES", 3)
    found = resolve(planted(tmp_path, FREEBSD), "SMALL")
    assert len([file for file in found.rules if "/" in file]) <= 4
    assert any("more than 3 files are named" in str(one) for one in found.complaints)


def test_the_words_of_a_directive() -> None:
    text = 'options A, B=1 ,\n C="x y" # c\nmakeoptions D+=-g ;device e\ninclude ./f\n'
    (first, second, third, fourth) = directives(text)
    assert first.items == (Item("A"), Item("B", "=", "1"), Item("C", "=", "x y"))
    assert (second.keyword, second.line, second.items) == (
        "makeoptions", 3, (Item("D", "+=", "-g"),),
    )  # fmt: skip
    assert (third.keyword, third.line, fourth.line) == ("device", 3, 4)


@settings(max_examples=60)
@given(st.text(alphabet='abAB_ \t\n=+,;"\\#.!|/-0x9', max_size=200))
def test_any_text_is_read_to_its_end(text: str) -> None:
    for directive in directives(text):
        assert 0 <= directive.line <= text.count("\n") + 1


@settings(max_examples=12, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            ["include SMALL", "include X", "options A=", "device d,e", "nodevice d", "machine",
             "machine amd64 amd64", "envvar a", "cpu ,", "options \t\\", '"', "files f", "hints h"]
        ),
        max_size=12,
    ),
    rules=st.text(alphabet='ab.c/ \n\\"!|#\tinclude standard optional', max_size=200),
)  # fmt: skip
def test_any_configuration_gives_an_answer(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], rules: str
) -> None:
    odd = {"sys/amd64/conf/X": "\n".join(lines), "sys/conf/files.x86": rules}
    found = resolve(planted(tmp_path_factory.mktemp("src"), FREEBSD, odd), "X")
    assert "sys/kern/kern_tc.c" in found.files
    for file in found.rules:
        found.why(file)


def test_what_is_no_text_is_no_configuration(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD)
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\0\0\0")
    with pytest.raises(ConfigurationUnknown, match="is no text, so no configuration"):
        resolve(tree, str(program))
