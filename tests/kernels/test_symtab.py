"""The oracle is nm, over a program that gcc made."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kernels import build
from timehands.errors import KernelDamaged
from timehands.kernels.elf import ElfImage
from timehands.kernels.symbols import Symbol
from timehands.kernels.symtab import read_symtab

SOURCE = """
static int counter = 3; int tsc_khz; const int rate = 250; static int unset[4];
__attribute__((weak)) int weak_object = 1;
__attribute__((weak)) void arch_init(void) {}
static __attribute__((noinline)) int local(int x) { return x * counter + unset[x & 3]; }
int tsc_init(int x) { return local(x) + tsc_khz + rate + weak_object; }
void _start(void) { arch_init(); tsc_init(2); for (;;) ; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program without any library, as gcc makes it."""
    if not shutil.which("gcc") or not shutil.which("nm"):
        pytest.skip("gcc and nm are not installed")
    folder = tmp_path_factory.mktemp("elf")
    (folder / "k.c").write_text(SOURCE)
    options = "-O1 -nostdlib -static -fno-pie -no-pie -Wl,--build-id=none"
    command = ["gcc", *options.split(), "-o", "k", "k.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "k"


def _parse(path: Path) -> ElfImage:
    return ElfImage.parse(memoryview(path.read_bytes()))


def test_symbols_are_those_of_nm(program: Path) -> None:
    listed = subprocess.run(["nm", "-n", program], capture_output=True, text=True, check=True)
    expected = {
        Symbol(int(address, 16), kind, name)
        for address, kind, name in (line.split() for line in listed.stdout.splitlines())
    }
    found = read_symtab(_parse(program))
    assert found is not None
    assert set(found) == expected
    assert {"t", "T", "W", "V", "B", "b", "d", "D", "R"} >= {s.type for s in found} >= {"t", "T"}


def test_a_32bit_symbol_table_is_read() -> None:
    strings = b"\0hz\0tick\0"
    symtab = bytes(16) + struct.pack("<IIIBBH", 1, 0x1004, 4, 0x11, 0, 1)
    symtab += struct.pack("<IIIBBH", 4, 0x1000, 4, 0x01, 0, 1)
    parts = [
        build.Part(".data", bytes(16), 0x1000, flags=3),
        build.Part(".symtab", symtab, kind=2, flags=0, segment=0),
        build.Part(".strtab", strings, kind=3, flags=0, segment=0),
    ]
    found = read_symtab(ElfImage.parse(memoryview(build.elf(parts, bits=32, machine=3))))
    assert found is not None
    assert list(found) == [Symbol(0x1000, "d", "tick"), Symbol(0x1004, "D", "hz")]


def _with_symbols(count: int, strings: bytes) -> ElfImage:
    symbol = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000, 0)
    parts = [
        build.Part(".text", bytes(16), 0x1000, flags=6),
        build.Part(".symtab", symbol * count, kind=2, flags=0, segment=0),
        build.Part(".strtab", strings, kind=3, flags=0, segment=0),
    ]
    return ElfImage.parse(memoryview(build.elf(parts)))


def test_a_name_without_end_is_left_out() -> None:
    assert read_symtab(_with_symbols(2, b"\0" + b"x" * 9000)) is None


def test_names_may_not_expand_without_end() -> None:
    elf = _with_symbols(40_000, b"\0" + b"x" * 4000 + b"\0")
    with pytest.raises(KernelDamaged, match="expand past"):
        read_symtab(elf)
