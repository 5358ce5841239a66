from __future__ import annotations

import pytest

from timehands.kernels.instructions import Site
from timehands.watch.stops.operations import operand_of, said

REGISTERS = {"rax": 0xFFFFFFFF_40000010, "rcx": 0x1_000006E0, "rdx": 0xABCD_0000_0040}


def site(mnemonic: str, port: int | None = None, length: int = 2) -> Site:
    return Site(0x1000, mnemonic, length, port, "f")


@pytest.mark.parametrize(
    ("instruction", "operand"),
    [
        (site("cpuid"), 0x40000010),
        (site("rdmsr"), 0x6E0),
        (site("wrmsr"), 0x6E0),
        (site("in", None, 1), 0x40),
        (site("out", 0x43), 0x43),
        (site("rdtsc"), None),
        (site("hlt", None, 1), None),
    ],
)
def test_the_operand_is_what_the_processor_takes(instruction: Site, operand: int | None) -> None:
    assert operand_of(instruction, REGISTERS) == operand


def test_what_is_about_to_happen_in_words() -> None:
    assert said(site("cpuid"), {**REGISTERS, "rcx": 1 << 32}) == "cpuid 0x40000010"
    assert said(site("cpuid"), {**REGISTERS, "rcx": 2}) == "cpuid 0x40000010, subleaf 0x2"
    assert said(site("wrmsr"), {"rax": 5, "rcx": 0x10, "rdx": 1}) == "wrmsr 0x10 = 0x100000005"
    assert said(site("out", 0x43), {"rax": 0x1234}) == "out 0x43 = 0x34"
    assert said(site("out", None, 1), {"rax": 1, "rdx": 0x3F8}) == "out 0x3f8"
    assert said(site("rdtsc"), {}) == "rdtsc"
