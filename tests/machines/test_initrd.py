"""The ramdisk with our init, against GNU cpio and readelf."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from timehands.machines.build import PAYLOADS
from timehands.machines.initrd import MARK_AFTER, MARK_BEFORE, MARK_END, MARK_INIT, init_ramdisk


def listed() -> dict[str, list[str]]:
    cpio = shutil.which("cpio") or pytest.skip("no cpio")
    done = subprocess.run(
        [cpio, "-itvn"], input=init_ramdisk().read_bytes(), capture_output=True, check=True
    )
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    return {row[-1]: row for row in rows}


def test_cpio_finds_a_console_and_an_init_of_root() -> None:
    rows = listed()
    assert {name: row[0] for name, row in rows.items()} == {
        "dev": "drwxr-xr-x",
        "dev/console": "crw-------",
        "init": "-rwxr-xr-x",
    }
    assert {(row[2], row[3]) for row in rows.values()} == {("0", "0")}
    assert rows["dev/console"][4:6] == ["5,", "1"]


def test_the_init_that_cpio_takes_out_is_a_static_program(tmp_path: Path) -> None:
    cpio = shutil.which("cpio") or pytest.skip("no cpio")
    archive = init_ramdisk().read_bytes()
    subprocess.run([cpio, "-id", "init"], input=archive, cwd=tmp_path, check=True)
    with (tmp_path / "init").open("rb") as file:
        elf = ELFFile(file)
        assert elf.get_machine_arch() == "x64"
        assert not [s for s in elf.iter_segments() if s["p_type"] == "PT_INTERP"]


def test_it_is_the_same_each_time() -> None:
    assert init_ramdisk() == init_ramdisk()
    assert len(init_ramdisk().read_bytes()) < 64 << 10


def test_the_marks_are_those_of_the_source() -> None:
    source = (PAYLOADS / "init.c").read_text()
    marks = {
        "MARK_INIT": MARK_INIT,
        "MARK_BEFORE": MARK_BEFORE,
        "MARK_AFTER": MARK_AFTER,
        "MARK_END": MARK_END,
    }
    assert all(f"{name} = {value:#010x}" in source for name, value in marks.items())
