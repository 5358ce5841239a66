"""The oracle is the DWARF of the same program, from which pahole makes the BTF."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kernels import build
from kernels.compiled import PATHS, Program
from kernels.compiled import build as build_program
from timehands.kernels.btf import Btf
from timehands.kernels.btf_types import BtfTypes
from timehands.kernels.elf import ElfImage
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.types import Int, spell


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, BtfTypes]:
    for tool in ("pahole", "llvm-objcopy"):  # pahole calls the second
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    path = build_program(tmp_path_factory.mktemp("btf"), ("gcc", 4, "-O0"))
    program = Program(path)
    copy = Path(shutil.copy(path, path.with_name("with-btf")))
    subprocess.run(["pahole", "-J", "--btf_gen_floats", str(copy)], check=True, timeout=60)
    elf = ElfImage.parse(memoryview(copy.read_bytes()))
    section = elf.section(".BTF")
    assert section is not None
    return program, BtfTypes(Btf(elf.contents(section)), program.symbols)


def test_structures_are_those_of_dwarf(both: tuple[Program, BtfTypes]) -> None:
    program, btf = both
    theirs, ours = program.types.struct("timecounter"), btf.struct("timecounter")
    assert theirs and ours and ours.size == theirs.size
    for path in PATHS:
        if path == "grid":  # pahole 1.24 makes one array of it
            continue
        one, two = ours.member(path), theirs.member(path)
        assert one and two
        assert (one.bit_offset, one.bit_size, spell(one.type)) == (
            two.bit_offset, two.bit_size, spell(two.type)
        )  # fmt: skip


def test_functions_have_their_parameters(both: tuple[Program, BtfTypes]) -> None:
    program, btf = both
    theirs, ours = program.types.function("caller"), btf.function("caller")
    assert theirs and ours
    assert spell(ours.type) == spell(theirs.type) and ours.low_pc == theirs.low_pc
    assert [name for name, _ in ours.parameters] == ["n"]


def test_names_and_constants(both: tuple[Program, BtfTypes]) -> None:
    _, btf = both
    assert btf.constant("TSC") == -2 and btf.constant("LARGE") == 0x123456789ABCDEF
    assert btf.constant("NONE") is None and btf.struct("nowhere") is None
    assert btf.named("u_int") and btf.enum("mode")


def test_types_that_go_in_circles_are_nothing() -> None:
    writer = build.BtfWriter()
    writer.add(8, "loop", 1)
    number = writer.add(1, "int", 4, struct.pack("<I", 1 << 24 | 32))
    writer.struct("keeper", 4, [("x", number, 0)])
    btf = BtfTypes(Btf(memoryview(writer.bytes())), SymbolTable.empty())
    keeper = btf.struct("keeper")
    assert keeper and (member := keeper.member("x")) and member.type == Int("int", 4, True)
    assert btf.struct("loop") is None
