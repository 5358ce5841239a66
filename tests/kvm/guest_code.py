"""Guests of a few instructions in real mode, as bytes, and how to run them."""

from __future__ import annotations

import struct
from typing import TypeVar

import pytest

from timehands.kvm import Capability, Kvm, Vcpu, Vm, start_real_mode
from timehands.kvm.exits import Exit, Halt

CODE, MEMORY_SIZE = 0x1000, 0x10000
HALT = b"\xf4"
#: Halts again whenever it is entered again.
HALT_FOR_EVER = b"\xf4\xeb\xfd"
#: Where `TSC_LOOP` puts what it read.
TSC_AT = 0x800
#: rdtsc; store it at TSC_AT; out 0x80, al; and again.
TSC_LOOP = (
    b"\x0f\x31"
    + (b"\x66\xa3" + struct.pack("<H", TSC_AT))
    + (b"\x66\x89\x16" + struct.pack("<H", TSC_AT + 4))
    + b"\xe6\x80\xeb\xf1"
)

_E = TypeVar("_E", bound=Exit)


def wrmsr(index: int, value: int) -> bytes:
    """mov ecx, index; mov eax, low; mov edx, high; wrmsr"""
    low, high = value & 0xFFFF_FFFF, value >> 32
    return struct.pack(
        "<2sI2sI2sI2s", b"\x66\xb9", index, b"\x66\xb8", low, b"\x66\xba", high, b"\x0f\x30"
    )


def rdmsr(index: int) -> bytes:
    """mov ecx, index; rdmsr: the value is in edx:eax"""
    return b"\x66\xb9" + struct.pack("<I", index) + b"\x0f\x32"


def guest(vm: Vm, code: bytes) -> Vcpu:
    """A vCPU that starts with this code, in a machine of 64 KiB; segments begin at 0."""
    if not list(vm.memory):
        vm.add_memory(0, MEMORY_SIZE)
    vcpu = vm.add_vcpu()
    vm.memory.write(CODE + 0x100 * vcpu.number, code)
    start_real_mode(vcpu, 0)
    regs = vcpu.regs()
    regs.rip, regs.rsp = CODE + 0x100 * vcpu.number, 0x700
    vcpu.set_regs(regs)
    return vcpu


def run_to(vcpu: Vcpu, kind: type[_E]) -> _E:
    """Run it, and assert that it comes back for this reason."""
    result = vcpu.run()
    assert isinstance(result, kind), result
    return result


def halted(vcpu: Vcpu) -> Vcpu:
    """The vCPU after it ran to its next HLT."""
    run_to(vcpu, Halt)
    return vcpu


def need(kvm: Kvm, *capabilities: Capability) -> None:
    """Skip the test by the name of what this KVM lacks."""
    for capability in capabilities:
        if not kvm.has(capability):
            pytest.skip(f"this KVM lacks KVM_CAP_{capability.name}")
