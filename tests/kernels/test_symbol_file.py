"""The symbols that we write, read back by tools that we did not write."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from timehands.kernels.kernel import Kernel
from timehands.kernels.symbol_file import symbol_file
from watch.stops.guests import kernel


def tool(name: str, *arguments: str | Path) -> str:
    found = shutil.which(name) or pytest.skip(f"no {name}")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


def test_nm_reads_the_same_names_at_the_same_addresses(tmp_path: Path) -> None:
    path = tmp_path / "symbols.elf"
    path.write_bytes(symbol_file(kernel()))
    told = {(name, int(at, 16)) for at, _, name in map(str.split, tool("nm", path).splitlines())}
    assert told == {(symbol.name, symbol.address) for symbol in kernel().symbols}


def test_readelf_finds_nothing_wrong_and_code_is_code(tmp_path: Path) -> None:
    path = tmp_path / "symbols.elf"
    path.write_bytes(symbol_file(kernel()))
    text = tool("readelf", "-W", "--all", path)
    assert "NOBITS" in text
    (line,) = [row for row in text.splitlines() if row.endswith(" tc_init")]
    assert "FUNC" in line
    assert "Warning" not in text


def test_our_own_reader_takes_it_for_a_kernel_with_symbols(tmp_path: Path) -> None:
    from timehands.kernels.elf import ElfImage
    from timehands.kernels.symtab import read_symtab

    table = read_symtab(ElfImage.parse(memoryview(symbol_file(kernel()))))
    assert table is not None
    assert table.lookup("tc_init") == kernel().symbols.lookup("tc_init")


def test_a_kernel_without_symbols_has_an_empty_table() -> None:
    stripped: Kernel = kernel("freebsd", "stripped")
    assert symbol_file(stripped)[:4] == b"\x7fELF"
