"""What an instruction is about to do, by the registers before it: which leaf, MSR or port.

Intel SDM volume 2: "CPUID", "RDMSR", "WRMSR", "IN", "OUT".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from timehands.kernels.instructions import Site

_M32: Final = 0xFFFFFFFF
_M16: Final = 0xFFFF
_SELECTORS: Final = {"cpuid": "rax", "rdmsr": "rcx", "wrmsr": "rcx"}


def operand_of(instruction: Site, registers: Mapping[str, int]) -> int | None:
    """The leaf, MSR or port; None for an instruction that has none."""
    if instruction.mnemonic in ("in", "out"):
        return registers["rdx"] & _M16 if instruction.port is None else instruction.port
    selector = _SELECTORS.get(instruction.mnemonic)
    return registers[selector] & _M32 if selector else None


def said(instruction: Site, registers: Mapping[str, int]) -> str:
    """``cpuid 0x40000010``, ``wrmsr 0x6e0 = 0x12``, ``out 0x43 = 0x34``."""
    name, operand = instruction.mnemonic, operand_of(instruction, registers)
    if operand is None:
        return name
    text = f"{name} {operand:#x}"
    if name == "cpuid" and registers["rcx"] & _M32:
        return f"{text}, subleaf {registers['rcx'] & _M32:#x}"
    if name == "wrmsr":
        value = (registers["rdx"] & _M32) << 32 | registers["rax"] & _M32
        return f"{text} = {value:#x}"
    if name == "out" and instruction.length == 2 and instruction.port is not None:
        return f"{text} = {registers['rax'] & 0xFF:#x}"
    return text
