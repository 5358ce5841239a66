"""Instructions done by us: their length and effect, held against objdump."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.watch.gdb.hops import _NAMES, CODE_BYTES, Hop, hop

KERNEL = 0xFFFFFFFF81000000
VALUES = {name: 0x1111 * (number + 1) for number, name in enumerate(_NAMES)}


def at(pc: int, code: bytes) -> Hop | None:
    return hop(code.ljust(CODE_BYTES, b"\xcc"), {**VALUES, "rip": pc})


@pytest.mark.parametrize("code", ["90", "6690", "0f1f00", "0f1f440000", "f30f1efa",
                                  "660f1f840000000000", "662e0f1f840000000000"])  # fmt: skip
def test_what_does_nothing_is_left_behind_in_any_mode(code: str) -> None:
    length = len(bytes.fromhex(code))
    for pc in (0x100000, KERNEL):
        assert at(pc, bytes.fromhex(code)) == Hop(pc + length)


def test_push_and_mov() -> None:
    top = VALUES["rsp"] - 8
    pushed = VALUES["r12"].to_bytes(8, "little")
    assert at(KERNEL, b"\x41\x54") == Hop(KERNEL + 2, ("rsp", top), (top, pushed))
    assert at(KERNEL, b"\x48\x89\xe5") == Hop(KERNEL + 3, ("rbp", VALUES["rsp"]))
    assert at(KERNEL, b"\x4c\x8b\xc7") == Hop(KERNEL + 3, ("r8", VALUES["rdi"]))


@pytest.mark.parametrize("code", ["55", "4889e5", "4154"])
def test_what_may_be_32_bit_code_is_not_touched(code: str) -> None:
    assert at(0x100000, bytes.fromhex(code)) is None


@pytest.mark.parametrize("code", ["cc", "e800000000", "4883ec08", "f390", "488b05", "c3", "9c"])
def test_other_instructions_are_left_to_the_guest(code: str) -> None:
    assert at(KERNEL, bytes.fromhex(code)) is None


@settings(max_examples=30)
@given(code=st.lists(st.sampled_from(range(256)), min_size=CODE_BYTES, max_size=CODE_BYTES))
def test_any_bytes_are_known_or_not(code: list[int]) -> None:
    done = hop(bytes(code), {**VALUES, "rip": KERNEL})
    assert done is None or 0 < done.pc - KERNEL <= CODE_BYTES


def test_lengths_and_names_are_those_of_objdump(tmp_path: Path) -> None:
    objdump = shutil.which("objdump") or pytest.skip("no objdump")
    codes = [bytes((0x50 + n,)) for n in range(8)] + [bytes((0x41, 0x50 + n)) for n in range(8)]
    codes += [bytes((rex, op, 0xC0 + n)) for rex in range(0x48, 0x4E) for op in (0x89, 0x8B)
              for n in range(0, 64, 5) if rex in (0x48, 0x49, 0x4C, 0x4D)]  # fmt: skip
    file = tmp_path / "code"
    file.write_bytes(b"".join(code.ljust(16, b"\x90") for code in codes))
    command = [objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "suffix", file]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = dict(re.findall(r"^\s*([0-9a-f]+):\t[0-9a-f ]+\t(\S+ +\S+)", text, re.MULTILINE))
    for number, code in enumerate(codes):
        name, operands = lines[f"{number * 16:x}"].split()
        done = at(KERNEL, code)
        assert done is not None and done.pc - KERNEL == len(code)
        words = [word.removeprefix("%") for word in operands.split(",")]
        if name in {"pushq", "push"}:
            assert done.memory is not None
            assert done.memory[1] == VALUES[words[0]].to_bytes(8, "little")
        else:
            assert done.register == (words[1], VALUES[words[0]])
