"""The kernel modules of FreeBSD's tree, on small makefiles of our own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config_trees import FREEBSD, let_the_clock_tick, planted
from timehands.sources.config import Configuration, asking, cache, pages, plain, resolve
from timehands.sources.document import plain as text

MODULES = {
    "sys/modules/Makefile": "SUBDIR= vmm\n.include <bsd.subdir.mk>\n",
    "sys/modules/vmm/Makefile": (
        "# bhyve\nKMOD=\tvmm\nSRCS=\topt_ddb.h\n.PATH: ${SRCTOP}/sys/amd64/vmm\n"
        "SRCS+=\tvmm.c \\\n\tio/vrtc.c # a clock\n"
        "SRCS.BHYVE_SNAPSHOT= vmm_snapshot.c\nCFLAGS+= -I${SRCTOP}/sys/amd64/vmm\n"
        "vmm.o:\n\t${CC} -o none.c\n.include <bsd.kmod.mk>\n"
    ),
    "sys/modules/hv/Makefile": (
        "DIR=${.CURDIR:H:H}/dev\n.PATH: ${DIR}/hv\nS= ${SRCTOP}/sys\n"
        'KMOD= ${NAME}\nSRCS= $(CORE) $S/dev/hv/tsc.c ${FOR_${MACHINE}} ${LIST:M*.c}\n'
        '.include "more.mk"\nCORE = hv.c\nNAME=\thyperv\nFOR_amd64= clock.c\n'
        '.if ${MACHINE_CPUARCH} == "aarch64"\nSRCS+= arm.c\n'
        '.elif ${MACHINE_ARCH} == "i386" || ${MACHINE} == "amd64"\nSRCS+= x86.c\n'
        ".else\nSRCS+= other.c\n.endif\n"
        ".if !empty(OPT_FDT)\nSRCS+= fdt.c\n.else\nSRCS+= nofdt.c\n.endif\n"
    ),
    "sys/modules/hv/more.mk": (
        '.if ${MACHINE} != "amd64"\nSRCS+= strange.c\n.endif\nSRCS+= more.c\n'
    ),
    "sys/modules/sound/Makefile.inc": ".PATH: ${SYSDIR}/dev/sound\n",
    "sys/modules/sound/pcm/Makefile": "KMOD=pcm\nSRCS=pcm.c made_if.c\n",
    **dict.fromkeys(
        (
            "sys/amd64/vmm/vmm.c", "sys/amd64/vmm/io/vrtc.c", "sys/amd64/vmm/vmm_snapshot.c",
            "sys/dev/hv/hv.c", "sys/dev/hv/tsc.c", "sys/dev/hv/clock.c", "sys/dev/hv/x86.c",
            "sys/dev/hv/fdt.c", "sys/dev/hv/nofdt.c", "sys/dev/hv/more.c", "sys/dev/sound/pcm.c",
        ),
        "\n",
    ),
}  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Configuration:
    return resolve(planted(tmp_path, FREEBSD, MODULES), "SMALL")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("amd64/vmm/vmm.c", "vmm/Makefile:5: vmm.ko has vmm.c"),
        ("amd64/vmm/io/vrtc.c", "vmm/Makefile:6: vmm.ko has io/vrtc.c"),
        (
            "amd64/vmm/vmm_snapshot.c",
            "vmm/Makefile:7: vmm.ko has vmm_snapshot.c, under options BHYVE_SNAPSHOT",
        ),
        ("dev/hv/hv.c", "hv/Makefile:7: hyperv.ko has hv.c"),
        ("dev/hv/tsc.c", "hv/Makefile:5: hyperv.ko has /sys/dev/hv/tsc.c"),
        ("dev/hv/clock.c", "hv/Makefile:9: hyperv.ko has clock.c"),
        ("dev/hv/x86.c", "hv/Makefile:13: hyperv.ko has x86.c"),
        ("dev/hv/more.c", "hv/more.mk:4: hyperv.ko has more.c"),
        ("dev/hv/fdt.c", "hv/Makefile:18: hyperv.ko has fdt.c, under !empty(OPT_FDT)"),
        ("dev/hv/nofdt.c", "hv/Makefile:20: hyperv.ko has nofdt.c, under not (!empty(OPT_FDT))"),
        ("dev/sound/pcm.c", "sound/pcm/Makefile:2: pcm.ko has pcm.c"),
        ("modules/sound/pcm/made_if.c", "sound/pcm/Makefile:2: pcm.ko has made_if.c"),
    ],
)
def test_a_file_that_is_in_a_module_names_its_makefile_s_line(
    small: Configuration, file: str, said: str
) -> None:
    why = small.why(f"sys/{file}")
    assert (why.compiled, why.known) == (False, True)
    assert [str(step) for step in why.modules] == [f"sys/modules/{said}"]


def test_what_is_in_no_module(small: Configuration) -> None:
    for name in ("arm.c", "other.c", "strange.c", "none.c"):
        assert small.why(f"sys/dev/hv/{name}").modules == ()
        assert small.why(f"sys/modules/hv/{name}").modules == ()
    assert small.why("sys/kern/kern_tc.c").modules == ()


def test_how_it_is_told(tmp_path: Path) -> None:
    tree = planted(tmp_path, FREEBSD, MODULES)
    small = resolve(tree, "SMALL")
    _, (answer,) = asking.why(tree, small, "amd64/vmm/vmm.c")
    page = pages.why_page(small, answer)
    words = [text(block.text) for block in page.blocks]  # type: ignore[union-attr]
    assert page.title == "sys/amd64/vmm/vmm.c is not compiled into SMALL (FreeBSD, amd64)"
    assert words == [
        "no line that is read for this kernel names it",
        "As a module it is built by:",
        "sys/modules/vmm/Makefile:5  vmm.ko has vmm.c",
    ]
    (file,) = plain.why(small, [answer])["files"]
    assert file["modules"][0]["where"] == {"file": "sys/modules/vmm/Makefile", "line": 5}
    _, folder = asking.why(tree, small, "sys/amd64/vmm/")
    table = pages.files_page(small, "sys/amd64/vmm", folder).blocks[0]
    assert "module: vmm.ko has io/vrtc.c" in str(table)


def test_a_tree_of_the_kernel_alone(tmp_path: Path) -> None:
    bare = {name.removeprefix("sys/"): text for name, text in (FREEBSD | MODULES).items()}
    small = resolve(planted(tmp_path, bare), "SMALL")
    for file in ("amd64/vmm/vmm.c", "dev/hv/tsc.c", "dev/sound/pcm.c"):
        assert small.why(file).modules, file


def test_a_change_of_a_module_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", -(10**10))
    tree = planted(tmp_path / "src", FREEBSD, MODULES)
    for _ in range(2):
        small = resolve(tree, "SMALL", cache=tmp_path / "kept")
        assert small.why("sys/amd64/vmm/vmm.c").modules
    let_the_clock_tick(tree.root, tmp_path / "probe")
    planted(tmp_path / "src", {"sys/modules/vmm/Makefile": "KMOD= vmm\nSRCS= vmx.c\n"})
    small = resolve(tree, "SMALL", cache=tmp_path / "kept")
    assert small.why("sys/amd64/vmm/vmm.c").modules == ()


@pytest.mark.parametrize("lists", [False, True])
def test_variables_that_multiply_each_other_end(tmp_path: Path, lists: bool) -> None:
    word = " ".join(["${%s}"] * 30) if lists else "${%s}" * 30
    names = [f"V{number}" for number in range(12)]
    lines = [f"{one}= {word.replace('%s', other)}" for one, other in pairwise(names)]
    makefile = "\n".join(["KMOD=a", "SRCS= a.c ${V0}", *lines, "V11= ${NONE}", ""])
    odd = {"sys/modules/odd/Makefile": makefile, "sys/modules/odd/a.c": ""}
    small = resolve(planted(tmp_path, FREEBSD, odd), "SMALL")
    assert small.why("sys/modules/odd/a.c").modules


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["KMOD=a", "SRCS=a.c \\", "SRCS+=${SRCS} b.c", ".PATH: ..", ".if", ".elif 1", ".else",
             ".endif", '.include "Makefile"', '.include "../../../x"', "A=${B}", "B=${A}${A}",
             "SRCS=${A}", ".PATH: ${SRCTOP}/../..", "\tx", "KMOD=${KMOD}", "\\", ".if ${MACHINE}"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_any_makefile_is_read_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    odd = {"sys/modules/odd/Makefile": "\n".join(lines)}
    small = resolve(planted(tmp_path_factory.mktemp("src"), FREEBSD, odd), "SMALL")
    assert isinstance(small.why("sys/modules/odd/a.c").modules, tuple)
