"""Finding the file with a kernel's debug information; the files are made by binutils."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kernels.compiled import compiler
from timehands.errors import KernelDamaged
from timehands.kernels import debug_files
from timehands.kernels.debug_files import Link, debug_link
from timehands.kernels.enums import TypeSource
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind.cfi import Cfi

SOURCE = """
#ifndef MORE
#define MORE 3
#endif
struct timecounter { long tc_frequency; const char *tc_name; };
struct timecounter dummy = { FREQUENCY, "dummy" }, *timecounter = &dummy;
__attribute__((noinline)) long tc_windup(int n) { return dummy.tc_frequency * n; }
void _start(void) { timecounter->tc_frequency = tc_windup(MORE); for (;;) ; }
"""
FLAGS = "-g -O1 -static -nostdlib -fno-pie -no-pie -fno-asynchronous-unwind-tables"
Build = Callable[..., Path]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system's debug files are, and a cache of the test's own."""
    monkeypatch.setattr(debug_files, "DEBUG_ROOT", tmp_path / "debug")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "debug"


def run(*command: str | Path, folder: Path) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(list(map(str, command)), cwd=folder, check=True, timeout=60)


def whole(folder: Path, *more: str, frequency: int = 1000, build_id: str = "none") -> Path:
    """The kernel with all its debug information, called ``whole``."""
    folder.mkdir(exist_ok=True)
    (folder / "k.c").write_text(SOURCE.replace("FREQUENCY", str(frequency)))
    command = [compiler("gcc"), *FLAGS.split(), f"-Wl,--build-id={build_id}", *more]
    run(*command, "-o", "whole", "k.c", folder=folder)
    return folder / "whole"


def stripped(kernel: Path, name: str = "kernel", *options: str) -> Path:
    """A copy without debug information."""
    target = kernel.parent / name
    run("objcopy", *(options or ("--strip-debug",)), kernel, target, folder=kernel.parent)
    return target


def apart(kernel: Path, target: Path) -> Path:
    """The debug information alone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run("objcopy", "--only-keep-debug", kernel, target, folder=kernel.parent)
    return target


def linked(kernel: Path, debug: Path) -> None:
    """Name the debug file in the kernel."""
    run("objcopy", f"--add-gnu-debuglink={debug}", kernel, folder=kernel.parent)


def uses(kernel: Path, debug: Path, how: str) -> Kernel:
    """The kernel, which must find its types, lines and unwind tables in a file."""
    opened = Kernel.open(kernel)
    assert TypeSource.DWARF not in opened.facts.types
    assert opened.debug_file is not None
    assert (opened.debug_file.path, opened.debug_file.how) == (debug, how)
    assert opened.types == (TypeSource.DWARF,)
    assert opened.type_source is not None
    found = opened.type_source.struct("timecounter")
    assert found and [one.name for one in found.members] == ["tc_frequency", "tc_name"]
    assert opened.lines is not None
    (windup,) = opened.symbols.lookup("tc_windup")
    place = opened.lines.place(windup)
    assert place is not None and place.line == 7
    assert Cfi(opened).row(windup) is not None
    return opened


def refuses(kernel: Path, debug: Path, why: str) -> None:
    """The kernel has no DWARF, for the file is not its own."""
    opened = Kernel.open(kernel)
    assert (opened.debug_file, opened.dwarf, opened.types) == (None, None, ())
    assert [(one.path, why in one.why) for one in opened.debug_refused] == [(debug, True)]


def test_a_kernel_with_dwarf_needs_no_other_file(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    shutil.copy(kernel, tmp_path / "whole.debug")
    opened = Kernel.open(kernel)
    assert (opened.debug_file, opened.debug_refused, opened.debug_key) == (None, (), "")
    assert opened.types == (TypeSource.DWARF,)


@pytest.mark.parametrize("where", [".", ".debug", "system"])
def test_the_debug_link_is_followed(where: str, tmp_path: Path, root: Path) -> None:
    kernel = whole(tmp_path / "boot")
    folder = root / kernel.parent.relative_to("/") if where == "system" else kernel.parent / where
    debug = apart(kernel, folder / "special.debug")
    small = stripped(kernel)
    linked(small, debug)
    assert debug_link(Kernel.open(small).elf) is not None
    uses(small, debug, "CRC-32 as .gnu_debuglink says")


def test_a_debug_link_to_a_file_of_another_crc_is_not_followed(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    debug = apart(kernel, tmp_path / "special.debug")
    small = stripped(kernel)
    linked(small, debug)
    with debug.open("ab") as file:
        file.write(b"more")
    refuses(small, debug, "its CRC-32 is")


def test_a_debug_link_can_be_compared_with_readelf(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    debug = apart(kernel, tmp_path / "a.debug")
    small = stripped(kernel)
    linked(small, debug)
    command = ["readelf", "--debug-dump=links", str(small)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = debug_link(Kernel.open(small).elf)
    assert found is not None
    assert f"Separate debug info file: {found.name}" in said
    assert f"CRC value: {found.crc32:#x}" in said


def test_a_build_id_is_looked_up(tmp_path: Path, root: Path) -> None:
    kernel = whole(tmp_path, build_id="0x0123456789abcdef")
    debug = apart(kernel, root / ".build-id" / "01" / "23456789abcdef.debug")
    uses(stripped(kernel), debug, "same build ID")


@pytest.mark.parametrize("name", ["kernel.full", "kernel.debug", "kernel.gdb", "vmlinux"])
def test_a_copy_with_dwarf_beside_is_used_when_its_code_is_the_same(
    name: str, tmp_path: Path
) -> None:
    kernel = whole(tmp_path)
    shutil.copy(kernel, tmp_path / name)
    uses(stripped(kernel), tmp_path / name, "same code")


def test_debug_information_alone_is_used_when_the_symbols_agree(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    debug = apart(kernel, tmp_path / "kernel.debug")
    uses(stripped(kernel), debug, "same sections and symbols")


def test_debug_information_alone_is_not_believed_without_symbols(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    debug = apart(kernel, tmp_path / "kernel.debug")
    small = stripped(kernel, "kernel", "--strip-all")
    refuses(small, debug, "nothing shows that it is of the same build")


def test_a_kernel_without_symbols_has_those_of_its_debug_file(tmp_path: Path) -> None:
    kernel = whole(tmp_path)
    shutil.copy(kernel, tmp_path / "kernel.gdb")
    small = stripped(kernel, "kernel", "--strip-all")
    opened = uses(small, tmp_path / "kernel.gdb", "same code")
    assert opened.symbol_sizes["dummy"] == 16
    (tmp_path / "kernel.gdb").unlink()
    assert len(Kernel.open(small).symbols) == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-DMORE=4",), "its .text holds something else"),
        (("-O0",), "its .text has "),
        (("-Wl,-Ttext=0x500000",), "its .text is at 0x500000"),
        (("-g0",), "it has no DWARF"),
        (("-Wl,--build-id=0xfeed",), "its build ID is feed"),
    ],
)
def test_a_file_of_another_build_is_not_used(
    options: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    ours = whole(tmp_path / "ours", build_id="0xbeef" if "build ID" in why else "none")
    theirs = whole(tmp_path / "theirs", *options)
    debug = Path(shutil.copy(theirs, ours.parent / "kernel.full"))
    refuses(stripped(ours), debug, why)


def test_debug_information_alone_of_another_build_is_not_used(tmp_path: Path) -> None:
    ours, theirs = whole(tmp_path / "ours"), tmp_path / "theirs" / "whole"
    whole(tmp_path / "theirs")
    run("objcopy", "--redefine-sym", "tc_windup=tc_tick", theirs, folder=tmp_path)
    debug = apart(theirs, ours.parent / "kernel.debug")
    refuses(stripped(ours), debug, "its tc_windup is not at 0x")


def test_the_next_file_is_tried_when_one_is_of_another_build(tmp_path: Path) -> None:
    ours, theirs = whole(tmp_path / "ours"), whole(tmp_path / "theirs", "-DMORE=4")
    wrong = Path(shutil.copy(theirs, ours.parent / "kernel.debug"))
    right = Path(shutil.copy(ours, ours.parent / "kernel.gdb"))
    opened = uses(stripped(ours), right, "same code")
    assert [one.path for one in opened.debug_refused] == [wrong]


def test_what_was_found_is_believed_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = whole(tmp_path)
    debug = apart(kernel, tmp_path / "kernel.debug")
    small = stripped(kernel)
    key = uses(small, debug, "same sections and symbols").debug_key
    with monkeypatch.context() as patched:
        patched.setattr("timehands.kernels.kernel.search", None)
        again = Kernel.open(small)
        assert again.debug_file and again.debug_key == key
        held = again.debug_file
    other = whole(tmp_path / "theirs", "-DMORE=4", "-O0")
    debug.unlink()
    apart(other, debug)
    with pytest.raises(KernelDamaged, match="was changed"):
        held.elf  # noqa: B018
    refuses(small, debug, "its .text has ")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF" + bytes(100), b"no kernel"])
def test_a_file_that_is_none_is_not_used(content: bytes, tmp_path: Path) -> None:
    small = stripped(whole(tmp_path))
    debug = tmp_path / "kernel.debug"
    debug.write_bytes(content)
    refuses(small, debug, "")


def test_a_pipe_and_a_folder_are_not_waited_for(tmp_path: Path) -> None:
    small = stripped(whole(tmp_path))
    os.mkfifo(tmp_path / "kernel.debug")
    (tmp_path / "kernel.full").mkdir()
    opened = Kernel.open(small)
    assert opened.dwarf is None
    assert len(opened.debug_refused) == 2


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"", b"..", b"a" * 300, b"no end"])
def test_a_debug_link_names_no_other_place(name: bytes, tmp_path: Path) -> None:
    small = stripped(whole(tmp_path))
    end = b"" if name == b"no end" else b"\0" * (4 - len(name) % 4) + b"CRC!"
    (tmp_path / "link").write_bytes(name + end)
    run("objcopy", "--add-section", ".gnu_debuglink=link", small, folder=tmp_path)
    opened = Kernel.open(small)
    assert debug_link(opened.elf) is None
    assert opened.debug_file is None


def test_a_debug_link_is_its_name_and_its_crc(tmp_path: Path) -> None:
    small = stripped(whole(tmp_path))
    (tmp_path / "link").write_bytes(b"abc\0\x04\x03\x02\x01")
    run("objcopy", "--add-section", ".gnu_debuglink=link", small, folder=tmp_path)
    assert debug_link(Kernel.open(small).elf) == Link("abc", 0x01020304)
