"""Where a vCPU is, in words: for the end of a guest that KVM cannot run on, and for one that hangs.

To be asked while the vCPU is out of the guest.
"""

from __future__ import annotations

from dataclasses import dataclass

from timehands.errors import KvmRefused
from timehands.kvm.memory import GuestMemory
from timehands.kvm.numbers import Capability, MpState
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.layout import PAGE

#: No x86 instruction is longer.
INSTRUCTION_BYTES = 15
_INTERRUPTS = 1 << 9
_WORDS = {
    MpState.UNINITIALIZED: "not started (it waits for INIT and SIPI)",
    MpState.INIT_RECEIVED: "not started (it waits for SIPI)",
    MpState.SIPI_RECEIVED: "starting",
}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One vCPU: ``code`` are the bytes from ``rip`` on, as far as they can be read.

    ``interrupts``: whether it takes them. A vCPU that is halted and does not is lost for good.
    """

    vcpu: int
    rip: int
    code: bytes
    state: MpState
    interrupts: bool

    @property
    def lost(self) -> bool:
        """It halted with interrupts off: nothing but an NMI or a reset can wake it."""
        return self.state is MpState.HALTED and not self.interrupts

    def __str__(self) -> str:
        if self.state in _WORDS:
            return f"vCPU {self.vcpu}: {_WORDS[self.state]}"
        doing = "halted" if self.state is MpState.HALTED else "running"
        masked = "" if self.interrupts else ", interrupts off"
        code = self.code.hex(" ") or "not to be read"
        return f"vCPU {self.vcpu}: {doing}{masked}, at {self.rip:#x} (code: {code})"


def whereabouts(vcpu: Vcpu, memory: GuestMemory) -> Whereabouts:
    """Where a vCPU is. Raises `KvmRefused`, `ValueError` when it is closed."""
    regs, base = vcpu.regs(), vcpu.sregs().cs.base
    state = vcpu.mp_state() if vcpu.vm.has(Capability.MP_STATE) else MpState.RUNNABLE
    code = b"" if state in _WORDS else _code(vcpu, memory, base + regs.rip)
    return Whereabouts(vcpu.number, regs.rip, code, state, bool(regs.rflags & _INTERRUPTS))


def _code(vcpu: Vcpu, memory: GuestMemory, linear: int) -> bytes:
    """The bytes of one instruction, by the vCPU's page tables; fewer where they end."""
    result = b""
    while len(result) < INSTRUCTION_BYTES:
        at = linear + len(result)
        part = min(INSTRUCTION_BYTES - len(result), PAGE - at % PAGE)
        try:
            physical = vcpu.translate(at)
            if physical is None:
                break
            result += memory.read(physical, part)
        except (KvmRefused, ValueError):
            break
    return result
