"""A vCPU that runs: into the guest, back out with the reason, and answers to what it wants."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from ctypes import c_uint8
from errno import EAGAIN, EINTR
from fcntl import ioctl
from typing import TYPE_CHECKING, Any

from timehands.kvm.exits import (
    IO,
    Exit,
    Interrupted,
    MmioRead,
    MsrRead,
    MsrWrite,
    PortIn,
    decode,
    wanted_data,
)
from timehands.kvm.interruption import Interruption
from timehands.kvm.memory import unmap
from timehands.kvm.numbers import Capability, ExitReason, Request
from timehands.kvm.run_struct import SHARED_REGS, Run
from timehands.kvm.structs import Regs
from timehands.kvm.vcpu_state import VcpuState

if TYPE_CHECKING:
    from timehands.kvm.vm import Vm

_RUN = int(Request.RUN)
_RIP, _RIP_AT = struct.Struct("<Q"), Run.s.offset + Regs.rip.offset


class Vcpu(VcpuState):
    """One virtual processor. Made by `Vm.add_vcpu`; runs in the thread that calls `run`.

    Attributes:
        number: its id, which is its LAPIC's too.
        vm: its machine.
    """

    def __init__(self, descriptor: int, number: int, vm: Vm) -> None:
        super().__init__(descriptor, f"vCPU {number}", vm)
        self.number, self.vm = number, vm
        try:
            self._page = mmap.mmap(descriptor, vm.kvm.run_size(), flags=mmap.MAP_SHARED)
        except BaseException:
            super().close()
            raise
        self._run: Run | None = Run.from_buffer(self._page)
        self._interruption = Interruption()
        self._shares = False

    def close(self) -> None:
        """Close it. Must not be in `run`: call `interrupt` and wait for its thread first."""
        self._run = None
        if hasattr(self, "_page"):
            unmap(self._page)
        super().close()

    @property
    def shared(self) -> Run:
        """The structure that KVM shares with us, as the last exit left it. Keep no reference."""
        if self._run is None:
            raise ValueError(f"{self.name} is closed")
        return self._run

    def share_registers(self) -> bool:
        """Have KVM write the general registers into the shared page whenever `run` comes back.

        Spares `pc` an ioctl. False where KVM cannot (before Linux 4.17).
        """
        if not self.vm.capability(Capability.SYNC_REGS) & SHARED_REGS:
            return False
        self.shared.kvm_valid_regs = SHARED_REGS
        self._shares = True
        return True

    def pc(self) -> int:
        """RIP as it was when `run` came back. Raises `KvmRefused`."""
        if self._shares:
            return int(_RIP.unpack_from(self._page, _RIP_AT)[0])
        return int(self.regs().rip)

    def run(self) -> Exit:
        """Enter the guest, and say why it came back.

        Accesses that want an answer and got none by `answer` or `fault` read as all ones; an MSR
        access faults. Raises `KvmRefused` when KVM cannot run the vCPU at all.
        """
        interruption = self._interruption
        if self._run is None:
            raise ValueError(f"{self.name} is closed")
        interruption.entering(self)
        try:
            ioctl(self._descriptor, _RUN, 0)
        except OSError as error:
            # EAGAIN: it waited to be started (INIT, SIPI) and was interrupted.
            if error.errno not in (EINTR, EAGAIN):
                raise self.refused(Request.RUN, error) from None
            interruption.done(self)
            self._run.exit_reason = ExitReason.INTR  # not every KVM says so
            return Interrupted()
        finally:
            interruption.left()
        result = decode(self._run, self._page)
        unanswered = _UNANSWERED.get(type(result))
        if unanswered:
            unanswered(self, result)
        return result

    def interrupt(self) -> None:
        """From any thread: have `run` return `Interrupted` now, or at once when next called."""
        self._interruption.ask(self)

    def answer(self, value: int | bytes) -> None:
        """Answer the last exit: what a port, an address, an MSR or a hypercall gives.

        For ports and memory bytes of just the size asked for, or an integer (little endian; for a
        string of ports each unit gets it). An `MsrWrite` is accepted with any integer. Raises
        `ValueError` when the last exit wants no answer, or when the answer does not fit.
        """
        shared = self.shared
        reason = shared.exit_reason
        if reason == IO:
            place, size, count = wanted_data(self._page)
            self._page[place] = _bytes_of(value, size, count)
        elif reason == ExitReason.MMIO and not shared.mmio.is_write:
            size = min(shared.mmio.len, 8)
            data = _bytes_of(value, size, 1).ljust(8, b"\0")
            shared.mmio.data = (c_uint8 * 8)(*data)
        elif reason in (ExitReason.X86_RDMSR, ExitReason.X86_WRMSR):
            shared.msr.data, shared.msr.error = _u64(value), 0
        elif reason == ExitReason.HYPERCALL:
            shared.hypercall.ret = _u64(value)
        else:
            raise ValueError(f"{self.name}: its last exit wants no answer")

    def fault(self) -> None:
        """Answer an MSR access with a general protection fault of the guest."""
        if self.shared.exit_reason not in (ExitReason.X86_RDMSR, ExitReason.X86_WRMSR):
            raise ValueError(f"{self.name}: its last exit is no MSR access")
        self.shared.msr.error = 1


#: What an access gives that nobody answers: as a bus does where nobody drives it, and a processor
#: without that MSR.
_UNANSWERED: Mapping[type[Exit], Callable[[Vcpu, Any], None]] = {
    PortIn: lambda vcpu, exit: vcpu.answer(b"\xff" * (exit.size * exit.count)),
    MmioRead: lambda vcpu, exit: vcpu.answer(b"\xff" * exit.size),
    MsrRead: lambda vcpu, _exit: vcpu.fault(),
    MsrWrite: lambda vcpu, _exit: vcpu.fault(),
}


def _bytes_of(value: int | bytes, size: int, count: int) -> bytes:
    data = value.to_bytes(size, "little") * count if isinstance(value, int) else value
    if len(data) != size * count:
        raise ValueError(f"an answer of {len(data)} bytes to {count} times {size}")
    return data


def _u64(value: int | bytes) -> int:
    number = value if isinstance(value, int) else int.from_bytes(value, "little")
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number:#x} does not fit into 64 bits")
    return number
