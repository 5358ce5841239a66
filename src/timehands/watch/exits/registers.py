"""The registers of a vCPU in the form in which QEMU's monitor prints them.

Those who watch a guest read that form (`timehands.watch.vigil.parse_registers`).
"""

from __future__ import annotations

from timehands.kvm.numbers import Capability, MpState
from timehands.kvm.vcpu import Vcpu

_GENERAL = (
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)  # fmt: skip


def registers_text(vcpu: Vcpu) -> str:
    """One vCPU's; it must be out of the guest. Raises `KvmRefused`, `ValueError` when closed."""
    regs, special = vcpu.regs(), vcpu.sregs()
    state = vcpu.mp_state() if vcpu.vm.has(Capability.MP_STATE) else MpState.RUNNABLE
    general = " ".join(f"{_name(name)}={getattr(regs, name):016x}" for name in _GENERAL)
    halted = int(state is not MpState.RUNNABLE)
    return (
        f"CPU#{vcpu.number}\n{general}\n"
        f"RIP={regs.rip:016x} RFL={regs.rflags:08x} CPL={special.cs.selector & 3} HLT={halted}\n"
        f"CS ={special.cs.selector:04x} {special.cs.base:016x}\n"
        f"CR0={special.cr0:08x} CR2={special.cr2:016x} "
        f"CR3={special.cr3:016x} CR4={special.cr4:08x}\n"
    )


def _name(name: str) -> str:
    return name.upper().ljust(3)
