"""Code by address: the oracle of calls is objdump."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kernels.unwind.stacks import TEXT, kernel
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind.image import Image

#: Calls in every form, each followed by a nop.
CALLS = """
    .globl _start
_start:
    call _start; nop; call *%rax; nop; call *%r11; nop; call *(%rax); nop; call *(%rsp); nop
    call *8(%rax); nop; call *8(%rsp,%rbx,4); nop; call *0x1000(%rax); nop; call *(%r12); nop
    call *0x1000(,%rax,8); nop; call *_start(%rip); nop; call *0x1000(%r13,%rax,8); nop
    call *(%r13); nop; call *(%rax,%rbx); nop; ret
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that calls in every way."""
    for tool in ("gcc", "objdump"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    folder = tmp_path_factory.mktemp("calls")
    (folder / "c.s").write_text(CALLS)
    options = "-nostdlib -static -no-pie -Wl,--build-id=none"
    subprocess.run(["gcc", *options.split(), "-o", "c", "c.s"], cwd=folder, check=True, timeout=60)
    return folder / "c"


def test_a_return_address_is_behind_every_call_that_objdump_shows(program: Path) -> None:
    command = ["objdump", "-d", str(program)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    instructions = re.findall(r"^ +([0-9a-f]+):\t[0-9a-f ]+\t(\w+)", text, re.MULTILINE)
    after = {int(b[0], 16) for a, b in itertools.pairwise(instructions) if a[1] == "call"}
    image = Image(Kernel.open(program, cache=False))
    assert len(after) == 14
    assert {at for at in after if image.after_call(at)} == after
    assert not image.after_call(int(instructions[0][0], 16))


def test_functions_are_those_of_the_code_wherever_it_was_moved(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": b"\x90" * 8, "b": b"\xc3" * 4})
    image = Image(opened, slide=0x1000)
    found = image.function(at["b"] + 0x1000 + 3)
    assert found == (at["b"] + 0x1000, 4, "b")
    assert image.function(at["b"] + 3 - 0x1000) is None
    assert image.code(at["b"] + 0x1000, 4) == b"\xc3" * 4
    assert image.code(TEXT + (1 << 40), 4) == b""
