"""The kernels that tests boot: what is in their files, as tools tell that we did not write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guest_kernels.build import FORMS, SYSTEMS, Form, System, guest_kernel, sources
from timehands.kernels.kernel import Kernel

KERNBASE = 0xFFFFFFFF80000000
#: What tools need with a kernel of another system: gdb refuses an OS ABI that it was built without.
GDB = ("gdb", "-nx", "-batch", "-iex", "set osabi none")


def tool(*command: str) -> str:
    """What a tool says; the test is skipped without it."""
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]}")
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def offsets(kernel: Path, structure: str) -> dict[str, tuple[int, int]]:
    """The offset and size of each member, as gdb tells them."""
    text = tool(*GDB, "-ex", f"ptype /o struct {structure}", str(kernel))
    rows = re.findall(r"^/\*\s+(\d+)\s*\|\s+(\d+)\s*\*/.*?(\w+)\)?(?:\(.*\))?;", text, re.M)
    return {name: (int(offset), int(size)) for offset, size, name in rows}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_known_and_holds_what_it_says(system: System, form: Form) -> None:
    path = guest_kernel(system, form)
    sections = tool("readelf", "-SW", str(path))
    assert (".debug_info" in sections, ".symtab" in sections) == (
        form == "dwarf",
        form != "stripped",
    )
    kernel = Kernel.open(path, cache=False)
    assert kernel.os == system
    assert bool(kernel.symbols.lookup("main" if system != "freebsd" else "mi_startup")) == (
        form != "stripped"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_it_is_linked_high_and_entered_low(system: System) -> None:
    path = guest_kernel(system)
    entry = int(
        re.findall(r"Entry point address:\s+(0x\w+)", tool("readelf", "-h", str(path)))[0], 16
    )
    assert entry >= KERNBASE + 0x200000
    assert Kernel.open(path, cache=False).pvh_entry == entry - KERNBASE
    loads = re.findall(r"LOAD\s+\S+ (0x\w+) (0x\w+)", tool("readelf", "-lW", str(path)))
    assert loads
    assert {int(virtual, 16) - int(physical, 16) for virtual, physical in loads} == {KERNBASE}


@pytest.mark.parametrize(
    ("system", "structure", "member", "place"),
    [
        ("freebsd", "timecounter", "tc_name", (32, 8)),
        ("freebsd", "timecounter", "tc_next", (56, 8)),
        ("freebsd", "timecounter", "tc_fill_vdso_timehands32", (72, 8)),
        ("freebsd", "trapframe", "tf_rip", (152, 8)),
        ("freebsd", "timestamp", "tsc", (32, 8)),
        ("netbsd", "timecounter", "tc_next", (56, 8)),
        ("netbsd", "trapframe", "tf_rip", (200, 8)),
    ],
)
def test_layouts_are_those_of_the_real_kernels(
    system: System, structure: str, member: str, place: tuple[int, int]
) -> None:
    assert offsets(guest_kernel(system), structure)[member] == place


@pytest.mark.parametrize("system", ["freebsd", "netbsd"])
@pytest.mark.parametrize("structure", ["timecounter", "timehands", "trapframe"])
def test_layouts_agree_with_a_real_kernel(system: System, structure: str) -> None:
    named = os.environ.get(f"TIMEHANDS_{system.upper()}_KERNEL")
    if not named:
        pytest.skip(f"TIMEHANDS_{system.upper()}_KERNEL names no kernel")
    real, ours = offsets(Path(named), structure), offsets(guest_kernel(system), structure)
    if not real:
        pytest.skip("the kernel has no DWARF")
    spelt_as_arrays = {"th_microtime", "th_nanotime"}
    shared = (real.keys() & ours.keys()) - spelt_as_arrays
    assert len(shared) >= 8
    assert {name: ours[name] for name in shared} == {name: real[name] for name in shared}


def test_the_early_delay_can_be_changed_in_the_file() -> None:
    path = guest_kernel("freebsd")
    words = tool(*GDB, "-ex", "output/x (long[4])xen_pvh_init_ops", str(path))
    (delay,) = Kernel.open(path, cache=False).symbols.lookup("xen_delay")
    assert words.strip("{}").split(", ")[2] == hex(delay)


def test_an_argument_is_left_out_by_the_compiler() -> None:
    listing = tool("objdump", "-d", "--no-show-raw-insn", str(guest_kernel("freebsd")))
    body = re.search(r"<misbehave>:\n(.*?)\n\n", listing, re.S)
    assert body
    before_call = body[1][: body[1].index("<drop_argument")]
    assert "%edi" in before_call
    assert not re.search(r"%[re]?si\b", before_call)


def test_several_may_build_the_same_kernel_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: guest_kernel("openbsd", "symbols"), range(2)))
    assert made[0] == made[1]
    assert [path.name for path in made[0].parent.iterdir()] == [made[0].name]


def test_a_compiler_that_refuses_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    refuses = tmp_path / "cc"
    refuses.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho no >&2\nexit 1\n')
    refuses.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        guest_kernel("openbsd", cc=str(refuses))
    assert raised.value.stderr == "no\n"


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_source_is_long(system: System) -> None:
    assert max(len(path.read_text().splitlines()) for path in sources(system)) < 500
