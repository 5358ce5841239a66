"""Source and instructions around a place, against objdump."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from timehands.debug.listing import function_around, instructions, source_lines
from timehands.errors import UsageError
from timehands.kernels.lines import Source
from timehands.kernels.memory import Unreadable
from timehands.watch.stops import View
from watch.stops.guests import address, kernel


def view(pc: int = 0) -> View:
    return View(kernel(), {"rip": pc}, kernel().file_memory)


def test_a_function_is_disassembled_as_objdump_does() -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    start, end = function_around(kernel(), address("tc_init") + 3)
    assert start == address("tc_init")
    command = [objdump, "-d", f"--start-address={start}", f"--stop-address={end}"]
    text = subprocess.run(
        [*command, kernel().elf_path()], capture_output=True, text=True, check=True
    ).stdout
    theirs = [
        int(one, 16) for one in re.findall(r"^\s*([0-9a-f]{8,16}):\t.*\t", text, re.MULTILINE)
    ]
    rows = instructions(view(start), start, 200, end)
    assert [int(row.split()[0 if row[0] == " " else 1], 16) for row in rows] == theirs
    assert rows[0].startswith("=> ") and not rows[1].startswith("=> ")


def test_what_an_instruction_names_is_named() -> None:
    start, end = function_around(kernel(), address("tc_init"))
    text = "\n".join(instructions(view(), start, 200, end))
    assert re.search(r"\[rip \+ 0x[0-9a-f]+\].* <timecounters>", text)


@pytest.mark.parametrize("most", [0, -1, 201])
def test_only_so_many_are_shown(most: int) -> None:
    with pytest.raises(UsageError):
        instructions(view(), address("tc_init"), most)


def test_code_that_cannot_be_read_is_no_code() -> None:
    with pytest.raises(Unreadable):
        instructions(view(), 0x10, 4)
    with pytest.raises(UsageError, match="no function covers"):
        function_around(kernel(), 0x10)


def test_the_source_around_a_line_marks_it(tmp_path: Path) -> None:
    path = tmp_path / "a.c"
    path.write_text("".join(f"line {number}\n" for number in range(1, 21)))
    rows = source_lines(Source(str(path), 3))
    assert rows[0].split() == ["1", "line", "1"]
    assert [row for row in rows if row.startswith(">")] == [">    3  line 3"]
    assert rows[-1].endswith("line 8")


def test_a_source_that_is_not_here_is_not_shown(tmp_path: Path) -> None:
    assert source_lines(Source(str(tmp_path / "none.c"), 3)) == []
    (tmp_path / "short.c").write_text("one\n")
    assert source_lines(Source(str(tmp_path / "short.c"), 3)) == []
    assert source_lines(Source(str(tmp_path), 3)) == []
