"""The text format of ``cpuid -r``: against the tool itself, and against nonsense."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocks.cpuid.tables import ALL, INTEL, table
from clocks.cpuid.test_table import TABLES
from timehands.clocks.cpuid.dump import format_dump, format_table, parse_dump, parse_table
from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable
from timehands.errors import CpuidDumpDamaged

needs_tool = pytest.mark.skipif(
    shutil.which("cpuid") is None, reason="the tool cpuid is not installed (apt-get install cpuid)"
)


@given(TABLES.filter(bool))
def test_what_is_written_is_read_again(answers: dict[tuple[int, int], Registers]) -> None:
    made = CpuidTable(answers)
    assert parse_table(format_table(made)) == made


def test_the_cpus_of_a_dump_are_kept_apart() -> None:
    tables = {0: table(INTEL), 3: table(ALL["kvm"])}
    assert parse_dump(format_dump(tables)) == tables


@needs_tool
def test_the_tools_own_dump_is_read_and_written_back_byte_for_byte() -> None:
    text = subprocess.run(["cpuid", "-1", "-r"], capture_output=True, text=True, check=True).stdout
    assert format_table(parse_table(text)) == text


@needs_tool
def test_the_tool_reads_what_we_write() -> None:
    text = format_table(table(INTEL))
    done = subprocess.run(
        ["cpuid", "-1", "-r", "-f", "/dev/stdin"], input=text, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert parse_table(done.stdout) == table(INTEL)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 0),
        ("CPU 0:\n", 0),
        ("CPU:\n   0x00000000 0x00: eax=0x1 ebx=0x2 ecx=0x3\n", 2),
        ("CPU:\n   0x123456789 0x00: eax=0x1 ebx=0x2 ecx=0x3 edx=0x4\n", 2),
        ("\n\n\x7fELF", 3),
        ("CPU 99999999999999999999:\n", 1),
        ("CPU ٣:\n", 1),
    ],
)
def test_what_is_no_dump_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(CpuidDumpDamaged) as caught:
        parse_dump(text)
    assert caught.value.line == line
    assert "cpuid -1 -r" in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_a_dump_or_refused(text: str) -> None:
    try:
        assert parse_dump(text)
    except CpuidDumpDamaged as error:
        assert error.line <= len(text.splitlines())
