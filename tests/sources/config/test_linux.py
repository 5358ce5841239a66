"""Linux's configurations: .config, Kconfig and Kbuild, on a small tree of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config_trees import LINUX, let_the_clock_tick, planted
from timehands.sources.config import Configuration, State, cache, resolve
from timehands.sources.config.conditions import All, Any, Name, Not
from timehands.sources.config.linux import dotconfig, expressions, kconfig, makefile
from timehands.sources.tree import SourceTree


@pytest.fixture
def kernel(tmp_path: Path) -> Configuration:
    return resolve(planted(tmp_path, LINUX), "config")


def chain(configuration: Configuration, symbol: str) -> list[str]:
    return [str(step) for step in configuration.options[symbol].chain]


def test_a_file_tells_the_lines_that_build_it(kernel: Configuration) -> None:
    why = kernel.why("arch/x86/kernel/kvmclock.c")
    assert (why.compiled, why.note) == (True, "")
    assert [str(step) for step in why.verdicts[0].chain] == [
        "Kbuild:2: obj-y += arch/$(SRCARCH)/",
        "arch/x86/Kbuild:1: obj-y += kernel/",
        "arch/x86/kernel/Makefile:1: obj-$(CONFIG_KVM_GUEST) += kvm.o kvmclock.o",
        "config:9: CONFIG_KVM_GUEST=y",
        "arch/x86/Kconfig:17: config KVM_GUEST",
        'arch/x86/Kconfig:18: bool "KVM Guest support"',
        "arch/x86/Kconfig:9: if HYPERVISOR_GUEST",
        "arch/x86/Kconfig:19: depends on PARAVIRT",
        "arch/x86/Kconfig:21: default y",
    ]


def test_all_that_is_built(kernel: Configuration) -> None:
    assert set(kernel.files) == {
        "arch/x86/kernel/kvmclock.c", "arch/x86/kernel/kvm.o", "arch/x86/kernel/pvclock.c",
        "arch/x86/hyper/hv.o", "arch/x86/lib/delay.o", "lib/crc.o", "kernel/time.c",
        "kernel/fork.o", "kernel/para_64.S", "kernel/time/timekeeping.o", "kernel/time/tick.o",
        "kernel/time/x-a.o", "kernel/time/x-b.o", "net/vlan_dev.c", "net/vlan_net.c",
        "net/vlan_driver.c", "net/sub/driver.o",
    }  # fmt: skip
    assert kernel.complaints == ()


def test_where_a_module_s_files_go(kernel: Configuration) -> None:
    why = kernel.why("net/vlan_net.c")
    assert why.note == "not into the kernel itself, but into the module vlan.ko"
    assert why.verdicts[0].chain[1].words == "obj-$(CONFIG_VLAN) += vlan.o"
    assert kernel.why("net/sub/driver.o").note == ""
    assert kernel.why("arch/x86/lib/delay.o").note.startswith("into a library")


@pytest.mark.parametrize(
    "makefile",
    [
        "ifneq ($(sub_make_done),1)\nneed-sub-make := 1\nendif\n",
        "abs_objtree := $(CURDIR)\nifneq ($(abs_objtree),$(CURDIR))\nneed-sub-make := 1\nendif\n"
        "ifeq ($(filter --no-print-directory, $(MAKEFLAGS)),)\nneed-sub-make := 1\nendif\n",
    ],
    ids=["6.1", "6.12"],
)
def test_what_the_second_make_reads_counts(tmp_path: Path, makefile: str) -> None:
    rest = "ifeq ($(need-sub-make),1)\n__sub-make:\nelse\nlibs-y := lib/\nendif\n"
    tree = planted(tmp_path, LINUX, {"Makefile": f"VERSION = 6\n{makefile}{rest}"})
    assert resolve(tree, "config").why("lib/crc.o").compiled


def test_a_makefile_s_own_list_is_no_object_of_the_kernel(tmp_path: Path) -> None:
    odd = {
        "lib/Makefile": "obj-y += crc.o image.o\nvobjs-y := vdso_$(BITS).o time.o\n"
        "vobjs-$(CONFIG_PCI) += pci.o\nmore-y := sum.o\ncrc-y := crc32.o $(more-y)\n",
        "lib/time.c": "\n",
    }
    kernel = resolve(planted(tmp_path, LINUX, odd), "config")
    why = kernel.why("lib/time.c")
    assert (why.compiled, why.known) == (False, False)
    assert why.note.startswith("in a list of its makefile's own, vobjs: ")
    assert [str(step) for step in why.verdicts[0].chain] == [
        "Makefile:6: libs-y := lib/", "lib/Makefile:2: vobjs-y := vdso_$(BITS).o time.o",
    ]  # fmt: skip
    pci = kernel.why("lib/pci.o")
    assert (pci.compiled, pci.known) == (False, True)
    assert [str(change) for change in pci.changes] == ["CONFIG_PCI=y and CONFIG_EXPERT=y"]
    assert kernel.why("lib/sum.o").compiled
    assert not {"lib/time.c", "lib/vdso_64.o", "lib/pci.o"} & set(kernel.files)


@pytest.mark.parametrize(
    ("files", "built"),
    [
        # With CONFIG_VLAN=m, CONFIG_NET=y, CONFIG_DRIVER=y.
        ({"net/Makefile": "ifdef CONFIG_VLAN\nobj-y += a.o\nelse\nobj-y += b.o\nendif\n"}, "a"),
        ({"net/Makefile": "ifndef CONFIG_VLAN\nobj-y += a.o\nelse\nobj-y += b.o\nendif\n"}, "b"),
        ({"net/Makefile": "obj-$(CONFIG_VLAN) := a.o\nobj-$(CONFIG_VLAN) := b.o\n"}, "b"),
        ({"net/Makefile": "obj-y := a.o\nx-$(CONFIG_VLAN:m=y) += b.o\nobj-y += x.o\n"}, "a b"),
        (
            {
                "net/Makefile": "obj-y += x.o\nx-$(CONFIG_NET)$(CONFIG_DRIVER) += a.o\n"
                "x-$(CONFIG_NET)$(CONFIG_PCI) += b.o\n"
            },
            "b",
        ),
        (
            {
                "net/Makefile": "key-$(CONFIG_VLAN)-$(CONFIG_NET) := a.o\n"
                "key-$(CONFIG_NET)-$(CONFIG_DRIVER) := b.o\nobj-y += $(key-m-m) $(key-y-y)\n"
            },
            "b",
        ),
        ({"net/Makefile": "ifneq ($(CONFIG_EMPTY),)\nobj-y += a.o\nendif\nobj-y += b.o\n"}, "b"),
        (
            {
                "net/Makefile": "obj-y := a.o\nDIR = $(srctree)/net\ninclude $(DIR)/b/Makefile\n"
                "obj-y += $(more-y)\n",
                "net/b/Makefile": "obj-y += $(addsuffix .o,b)\nmore-y := c.o\n",
            },
            "a b c",
        ),
        (
            {
                "net/Makefile": "ifdef CONFIG_PCI\ninclude net/b/Makefile\nendif\nobj-y += b.o\n",
                "net/b/Makefile": "obj-y += a.o\n",
            },
            "b",
        ),
        # What is y in a folder that is entered for modules alone is not built.
        (
            {
                "net/Makefile": "obj-$(CONFIG_VLAN) += sub/\n",
                "net/sub/Makefile": "obj-y += ../a.o\nobj-m += ../b.o\nobj-y += below/\n",
                "net/sub/below/Makefile": "obj-$(CONFIG_VLAN) += ../../c.o\n",
            },
            "b c",
        ),
    ],
)  # fmt: skip
def test_which_objects_a_makefile_names(tmp_path: Path, files: dict[str, str], built: str) -> None:
    config = {"config": LINUX["config"] + 'CONFIG_EMPTY=""\n'}
    kernel = resolve(planted(tmp_path, LINUX, config, files), "config")
    found = {file for file in kernel.files if file.startswith("net/")}
    assert found == {f"net/{name}.o" for name in built.split()}
    assert kernel.complaints == ()


def test_what_would_build_a_file(kernel: Configuration) -> None:
    why = kernel.why("arch/x86/kernel/jailhouse.c")
    assert not why.compiled
    assert [str(change) for change in why.changes] == [
        "CONFIG_JAILHOUSE_GUEST=y and CONFIG_PCI=y and CONFIG_EXPERT=y"
    ]
    assert "PCI is n" in [str(step) for step in why.verdicts[0].chain]
    (change,) = kernel.why("kernel/bare.o").changes
    assert str(change) == "# CONFIG_PARAVIRT is not set"


@pytest.mark.parametrize(
    ("symbols", "change"),
    [
        ('config A\n\tbool "A"\n', "CONFIG_A=y"),
        ("config A\n\tbool\n", None),
        ('config A\n\tbool "A"\n\tdepends on ARM64\n', None),
        ("config A\n\tdef_bool EXPERT && HYPERVISOR_GUEST\n", "CONFIG_EXPERT=y"),
        ("config A\n\tdef_tristate y\n\tdepends on !NET\n", "# CONFIG_NET is not set"),
        ("config A\n\tdef_bool y\n\tdepends on !64BIT\n", None),
        (
            'config A\n\tbool "A" if EXPERT\nconfig B\n\tbool "B"\n\tselect A\n',
            "CONFIG_A=y and CONFIG_EXPERT=y",
        ),
        (
            "config A\n\tbool\nconfig B\n\tbool\n\tselect A\nconfig C\n\tbool\n\tselect B\n"
            'config D\n\ttristate "D"\n\tselect A\n\tdepends on S390\n'
            'config E\n\tbool "E"\n\tselect C if EXPERT\n',
            "CONFIG_E=y and CONFIG_EXPERT=y",
        ),
        ("config A\n\tbool\n\tselect B\nconfig B\n\tbool\n\tselect A\n", None),
        ('config A\n\tbool "A"\n\tdepends on HZ=100\n', "CONFIG_A=y and HZ=100"),
        ("config A\n\tbool\nconfig A\n\tbool \"Again\"\n", "CONFIG_A=y"),
    ],
)  # fmt: skip
def test_what_a_symbol_needs(tmp_path: Path, symbols: str, change: str | None) -> None:
    odd = {
        "net/Kconfig": f"{LINUX['net/Kconfig']}\n{symbols}",
        "kernel/Makefile": "obj-$(CONFIG_A) += a.o\n",
    }
    why = resolve(planted(tmp_path, LINUX, odd), "config").why("kernel/a.o")
    assert [str(one) for one in why.changes] == ([change] if change else [])


def test_how_a_symbol_came_to_its_value(kernel: Configuration) -> None:
    assert kernel.options["KVM_GUEST"].state is State.SET
    clock = kernel.options["PARAVIRT_CLOCK"]
    assert (clock.value, clock.state) == ("y", State.IMPLIED)
    assert chain(kernel, "PARAVIRT_CLOCK")[-1] == (
        "arch/x86/Kconfig:20: KVM_GUEST=y has: select PARAVIRT_CLOCK"
    )
    assert kernel.options["64BIT"].state is State.DEFAULT
    assert kernel.options["HZ"].chain[-1].words == "default 250 if HZ_250"
    assert kernel.options["HZ_250"].chain[-1].words == "one of a choice"
    assert (kernel.options["PCI"].state, kernel.options["PCI"].value) == (State.UNSET, None)
    assert kernel.options["NAME"].value == 'a "b"'


def test_who_depends_on_a_symbol(kernel: Configuration) -> None:
    found = kernel.explainer.dependents(kernel, kernel.options["PARAVIRT"])
    assert [str(step) for step in found] == [
        "arch/x86/Kconfig:19: KVM_GUEST=y depends on PARAVIRT",
        "arch/x86/Kconfig:25: JAILHOUSE_GUEST=n depends on PARAVIRT && PCI",
        "kernel/Makefile:5: obj-y += para_$(BITS).o",
        "kernel/Makefile:7: obj-y += bare.o",
    ]


def test_a_configuration_that_is_not_complete_is_told(tmp_path: Path) -> None:
    tree = planted(tmp_path, LINUX, {"arch/x86/configs/tiny_defconfig": "CONFIG_NET=y\nnonsense\n"})
    found = resolve(tree, "tiny_defconfig")
    assert [str(complaint) for complaint in found.complaints] == [
        "arch/x86/configs/tiny_defconfig:2: 'nonsense' sets nothing",
        "arch/x86/configs/tiny_defconfig:1: this is no complete .config: what it does not name is "
        "taken as off (make one of it: make olddefconfig)",
    ]
    assert "kernel/time.c" in found.files


LATER = 10**10


def kept(tree: SourceTree, name: str, cache: Path) -> dict[str, object]:
    """All that is said of a configuration, with what is kept of it."""
    kernel = resolve(tree, name, cache=cache)
    return {
        "files": list(kernel.files),
        "why": [kernel.why(file) for file in kernel.rules],
        "settings": list(kernel.settings.values()),
        "reasons": list(kernel.files.values()),
        "complaints": kernel.complaints,
    }


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config", LINUX["config"].replace("CONFIG_NET=y", "CONFIG_NET=m")),
        ("net/Kconfig", "config NET\n\tbool\n\tdepends on DRIVER\nendif\n"),
        ("net/Makefile", "obj-y += vlan_dev.o\nendif\n"),
        ("net/Kbuild", "obj-y += vlan_net.o\n"),
        ("kernel/fork.c", "\n"),
        ("kernel/time/tick.S", "\n"),
    ],
)
def test_what_is_kept_is_what_is_found_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", -LATER)
    tree, folder = planted(tmp_path / "src", LINUX), tmp_path / "kept"
    first = kept(tree, "config", folder)
    assert len(list(folder.iterdir())) == 2
    assert kept(tree, "config", folder) == first == kept(tree, "config", tmp_path / "other")
    let_the_clock_tick(tree.root, tmp_path / "probe")
    planted(tmp_path / "src", {file: text})
    changed = kept(tree, "config", folder)
    assert changed == kept(tree, "config", tmp_path / "third")
    assert changed != first


def test_a_config_of_the_same_name_elsewhere_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", -LATER)
    tree = planted(tmp_path / "src", LINUX)
    for name, text in (("a", LINUX["config"]), ("b", "CONFIG_64BIT=y\n")):
        planted(tmp_path / name, {"my": text})
        monkeypatch.chdir(tmp_path / name)
        assert resolve(tree, "my", cache=tmp_path / "kept").why("net/vlan_net.c").compiled == (
            name == "a"
        )


def test_complaints_name_the_line(tmp_path: Path) -> None:
    odd = {
        "net/Kconfig": 'source "net/Kconfig"\nsource "no/Kconfig"\nbool\nendmenu\n'
        "config A\n\tdepends on (B\n\tdepends on C D\n\tdefault y if &&\nif A\n",
        "net/Makefile": "endif\nobj-y += $(shell ls)\nobj-y += fine.o\n",
    }
    found = resolve(planted(tmp_path, LINUX, odd), "config")
    assert "net/fine.o" in found.files
    assert found.options["KVM_GUEST"].on
    assert len(found.options["KVM_GUEST"].chain) > 3
    places = [str(complaint.where) for complaint in found.complaints]
    assert places == [
        "net/Makefile:1", "net/Makefile:2", "net/Kconfig:1", "net/Kconfig:2", "net/Kconfig:3",
        "net/Kconfig:4", "net/Kconfig:6", "net/Kconfig:7", "net/Kconfig:8", "net/Kconfig:1",
    ]  # fmt: skip


def test_expressions() -> None:
    parse = expressions.parse
    assert parse("A && (B || !C=m)") == All((Name("A"), Any((Name("B"), Not(Name("C=m"))))))
    assert parse("$(cc-option,-mx (a)) || n") == Any((Name("$(cc-option,-mx (a))"), Any()))
    for wrong in ("", "A &&", "(A", "A B", "!", "A = ", "(" * 300):
        with pytest.raises(expressions.BadExpression):
            parse(wrong)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Y", 2), ("M", 1), ("N", 0), ("!M", 1), ("M && Y", 1), ("M || Y", 2), ("M=m", 2),
        ("Y!=m", 2), ('S="text"', 2), ("I > 9", 2), ("I >= 11", 0), ("y", 2), ("m", 1), ("n", 0),
        ("UNKNOWN", 0), ("UNKNOWN=n", 2), ("(M || N) && !N", 1),
    ],
)  # fmt: skip
def test_levels_are_those_of_kconfig(text: str, level: int) -> None:
    values = {"Y": "y", "M": "m", "N": "n", "S": "text", "I": "10"}
    assert expressions.level(expressions.parse(text), lambda name: values.get(name, "n")) == level


def test_help_texts_are_no_kconfig() -> None:
    text = "config A\n\tbool\n\thelp\n\t  config B\n\n\t  more\n\tdepends on C # why\nhelp\nx y\n"
    assert list(kconfig.logical_lines(text)) == [
        (1, "config A"), (2, "bool"), (7, "depends on C"), (9, "x y"),
    ]  # fmt: skip


def test_make_s_functions_of_words() -> None:
    known = {"list": "a.c b.c", "e": ""}
    for text, expanded in {
        "$(list:.c=.o) ${list}": "a.o b.o a.c b.c",
        "$(addprefix x/,$(list))": "x/a.c x/b.c",
        "$(filter a% ,$(list))": "a.c",
        "$(filter-out a.c,$(list))": "b.c",
        "$(patsubst %.c,%.o,$(list))$(subst a,b,aa)": "a.o b.obb",
        "$(shell rm $(list))": "$(shell rm a.c b.c)",
        "$(unknown)": "$(unknown)",
        "$(subst only)": "$(subst only)",
    }.items():
        assert makefile.expand(text, known) == expanded
    assert makefile.expand("$(unknown)x", known, empty=True) == "x"


def test_variables_that_grow_without_end() -> None:
    assert len(makefile.expand("$(a)", {"a": "$(a)$(a)" * 50})) <= 100_000


@settings(max_examples=40)
@given(st.text(alphabet='AB-y$()+=:,\n\t\\ #"mif obj else endif ifeq', max_size=200))
def test_any_makefile_is_read_to_its_end(text: str) -> None:
    for part in makefile.read(text).parts:
        if isinstance(part, makefile.Assignment):
            makefile.expand(part.value, {"A": "$(B)", "B": "$(A) x"})


@settings(max_examples=40)
@given(st.text(alphabet="AB!&|=()<>\"' $,nmy1", max_size=80))
def test_any_expression_has_a_level_or_is_refused(text: str) -> None:
    try:
        condition = expressions.parse(text)
    except expressions.BadExpression:
        return
    assert expressions.level(condition, lambda name: "m" if "A" in name else "n") in (0, 1, 2)


@settings(max_examples=40)
@given(st.text(alphabet='CONFIG_A=ynm"\n# is not set', max_size=200))
def test_any_dot_config_is_read(text: str) -> None:
    found = dotconfig.read(text)
    assert set(found.lines) == set(found.values)


@settings(max_examples=10, deadline=None)
@given(
    kconfigs=st.lists(
        st.sampled_from(
            ["config A", "config", "\tbool", "\tselect", "\tselect B if", "menu", "endmenu", "if A",
             "if", "endif", "choice", "endchoice", 'source "', "\thelp", "\tdepends", "\tdefault",
             "\trange 1", "\timply A", "x = $(y)", "\tdef_bool A && B"]
        ),
        max_size=14,
    ),
    make=st.text(alphabet="obj-y+=$()CONFIG_A./\\\n\t", max_size=100),
)  # fmt: skip
def test_any_tree_gives_an_answer(
    tmp_path_factory: pytest.TempPathFactory, kconfigs: list[str], make: str
) -> None:
    odd = {"net/Kconfig": "\n".join(kconfigs), "net/Makefile": make}
    found = resolve(planted(tmp_path_factory.mktemp("src"), LINUX, odd), "config")
    assert "kernel/time.c" in found.files
    for file in found.rules:
        found.why(file)
    assert all(one.chain for one in found.options.values())
