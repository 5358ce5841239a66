"""What a vCPU is made of: its registers, MSRs, CPUID answers, clocks, and pending events.

All of it may be asked and set while the vCPU is not in `Vcpu.run`; KVM itself makes a caller in
another thread wait until it has come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ctypes import addressof, c_uint64, sizeof
from errno import EEXIST

from timehands.errors import KvmRefused
from timehands.kvm.cpuid import CpuidEntry, buffer_of, entries_from
from timehands.kvm.descriptor import Descriptor
from timehands.kvm.numbers import (
    MAX_CPUID_ENTRIES,
    MAX_MSR_ENTRIES,
    TSC_OFFSET_ATTRIBUTE,
    Capability,
    GuestDebug,
    MpState,
    Request,
)
from timehands.kvm.structs import (
    Cpuid2,
    CpuidEntry2,
    Debugregs,
    DeviceAttr,
    EnableCap,
    Fpu,
    GuestDebugArch,
    GuestDebugLayout,
    Interrupt,
    LapicState,
    MpStateLayout,
    MsrEntry,
    Msrs,
    Regs,
    Sregs,
    Translation,
    VcpuEvents,
    Xcrs,
    Xsave,
)
from timehands.kvm.system import Asked


class VcpuState(Descriptor):
    """The state of a vCPU. ``vm`` answers for capabilities. Everything may raise `KvmRefused`."""

    def __init__(self, descriptor: int, name: str, vm: Asked) -> None:
        super().__init__(descriptor, name)
        self._vm = vm

    # Registers

    def regs(self) -> Regs:
        """General registers, the instruction pointer and the flags."""
        return self.get(Request.GET_REGS, Regs)

    def set_regs(self, regs: Regs) -> None:
        """Set them."""
        self.ask(Request.SET_REGS, regs)

    def sregs(self) -> Sregs:
        """Segments, tables, control registers, EFER, and the LAPIC's base."""
        return self.get(Request.GET_SREGS, Sregs)

    def set_sregs(self, sregs: Sregs) -> None:
        """Set them."""
        self.ask(Request.SET_SREGS, sregs)

    def fpu(self) -> Fpu:
        """x87 and SSE registers."""
        return self.get(Request.GET_FPU, Fpu)

    def set_fpu(self, fpu: Fpu) -> None:
        """Set them."""
        self.ask(Request.SET_FPU, fpu)

    def xsave(self) -> Xsave:
        """The XSAVE area, 4096 bytes of it."""
        self._vm.need(Capability.XSAVE, "KVM_GET_XSAVE")
        return self.get(Request.GET_XSAVE, Xsave)

    def set_xsave(self, xsave: Xsave) -> None:
        """Set it."""
        self._vm.need(Capability.XSAVE, "KVM_SET_XSAVE")
        self.ask(Request.SET_XSAVE, xsave)

    def xcrs(self) -> Xcrs:
        """Extended control registers (XCR0)."""
        self._vm.need(Capability.XCRS, "KVM_GET_XCRS")
        return self.get(Request.GET_XCRS, Xcrs)

    def set_xcrs(self, xcrs: Xcrs) -> None:
        """Set them."""
        self._vm.need(Capability.XCRS, "KVM_SET_XCRS")
        self.ask(Request.SET_XCRS, xcrs)

    def debugregs(self) -> Debugregs:
        """DR0 to DR3, DR6, DR7."""
        self._vm.need(Capability.DEBUGREGS, "KVM_GET_DEBUGREGS")
        return self.get(Request.GET_DEBUGREGS, Debugregs)

    def set_debugregs(self, debugregs: Debugregs) -> None:
        """Set them."""
        self._vm.need(Capability.DEBUGREGS, "KVM_SET_DEBUGREGS")
        self.ask(Request.SET_DEBUGREGS, debugregs)

    def translate(self, linear: int) -> int | None:
        """The physical address of a linear one in the vCPU's present mode; None: not mapped."""
        answer = Translation(linear_address=linear)
        self.ask(Request.TRANSLATE, answer)
        return answer.physical_address if answer.valid else None

    # Interrupts and events

    def lapic(self) -> LapicState:
        """The LAPIC's registers; `KvmRefused` without a LAPIC in the kernel."""
        return self.get(Request.GET_LAPIC, LapicState)

    def set_lapic(self, state: LapicState) -> None:
        """Set them. The TSC must be right before: its deadline timer is armed by this."""
        self.ask(Request.SET_LAPIC, state)

    def mp_state(self) -> MpState:
        """What the vCPU waits for."""
        self._vm.need(Capability.MP_STATE, "KVM_GET_MP_STATE")
        return MpState(self.get(Request.GET_MP_STATE, MpStateLayout).mp_state)

    def set_mp_state(self, state: MpState) -> None:
        """Set it."""
        self._vm.need(Capability.MP_STATE, "KVM_SET_MP_STATE")
        self.ask(Request.SET_MP_STATE, MpStateLayout(state))

    def events(self) -> VcpuEvents:
        """Exceptions, interrupts and NMIs that are pending or being delivered."""
        self._vm.need(Capability.VCPU_EVENTS, "KVM_GET_VCPU_EVENTS")
        return self.get(Request.GET_VCPU_EVENTS, VcpuEvents)

    def set_events(self, events: VcpuEvents) -> None:
        """Set those that ``events.flags`` names."""
        self._vm.need(Capability.VCPU_EVENTS, "KVM_SET_VCPU_EVENTS")
        self.ask(Request.SET_VCPU_EVENTS, events)

    def inject(self, vector: int) -> bool:
        """Give it an interrupt of 8259s that are ours. False: it has not taken the last one yet.

        It must be ready: ``shared.ready_for_interrupt_injection``.
        """
        try:
            self.ask(Request.INTERRUPT, Interrupt(vector))
        except KvmRefused as error:
            if error.errno != EEXIST:
                raise
            return False
        return True

    def nmi(self) -> None:
        """Send it a non-maskable interrupt."""
        self._vm.need(Capability.USER_NMI, "KVM_NMI")
        self.ask(Request.NMI)

    def debug(self, control: GuestDebug, registers: tuple[int, ...] = ()) -> None:
        """Choose what comes out as `exits.Debugged`; ``registers`` are DR0 to DR7."""
        self._vm.need(Capability.SET_GUEST_DEBUG, "KVM_SET_GUEST_DEBUG")
        arch = GuestDebugArch((c_uint64 * 8)(*registers))
        self.ask(Request.SET_GUEST_DEBUG, GuestDebugLayout(control=control, arch=arch))

    # CPUID and MSRs

    def cpuid(self) -> tuple[CpuidEntry, ...]:
        """The answers that the guest gets."""
        buffer = bytearray(sizeof(Cpuid2) + MAX_CPUID_ENTRIES * sizeof(CpuidEntry2))
        Cpuid2.from_buffer(buffer).nent = MAX_CPUID_ENTRIES
        self.ask(Request.GET_CPUID2, buffer)
        return entries_from(buffer)

    def set_cpuid(self, entries: Iterable[CpuidEntry]) -> None:
        """Set the answers that the guest gets; before it first runs."""
        self.ask(Request.SET_CPUID2, buffer_of(entries))

    def msrs(self, indices: Iterable[int]) -> dict[int, int]:
        """The values of these MSRs, by number. The error of one that is refused names it."""
        result: dict[int, int] = {}
        wanted = list(indices)
        for at in range(0, len(wanted), MAX_MSR_ENTRIES):
            part = wanted[at : at + MAX_MSR_ENTRIES]
            result.update(self._msrs(Request.GET_MSRS, dict.fromkeys(part, 0)))
        return result

    def msr(self, index: int) -> int:
        """The value of one MSR."""
        return self.msrs([index])[index]

    def set_msrs(self, values: Mapping[int, int]) -> None:
        """Set MSRs in this order. Those before one that is refused are set; the error names it."""
        wanted = list(values.items())
        for at in range(0, len(wanted), MAX_MSR_ENTRIES):
            self._msrs(Request.SET_MSRS, dict(wanted[at : at + MAX_MSR_ENTRIES]))

    def _msrs(self, request: Request, values: Mapping[int, int]) -> dict[int, int]:
        entries = [bytes(MsrEntry(index, 0, value)) for index, value in values.items()]
        buffer = bytearray(b"".join([bytes(Msrs(len(entries))), *entries]))
        done = self.ask(request, buffer)
        if done < len(entries):
            index = list(values)[done]
            raise KvmRefused(
                f"KVM_{request.name}",
                on=f"{self.name}, MSR {index:#x}",
                needs="an MSR that this KVM knows, and a value that it allows",
            )
        answers = (MsrEntry * done).from_buffer_copy(buffer, sizeof(Msrs))
        return {each.index: each.data for each in answers}

    # Clocks

    def tsc_khz(self) -> int:
        """The rate of its TSC, in kHz."""
        self._vm.need(Capability.GET_TSC_KHZ, "KVM_GET_TSC_KHZ")
        return self.ask(Request.GET_TSC_KHZ)

    def set_tsc_khz(self, tsc_khz: int) -> None:
        """Give it a TSC of this rate, in kHz.

        Without KVM_CAP_TSC_CONTROL only rates near the host's work (within 250 ppm).
        """
        self.ask(Request.SET_TSC_KHZ, tsc_khz)

    def tsc_offset(self) -> int:
        """What is added to the host's TSC (after scaling) to make its own, mod 2**64."""
        value = c_uint64()
        self._tsc_offset(Request.GET_DEVICE_ATTR, value)
        return value.value

    def set_tsc_offset(self, offset: int) -> None:
        """Set that, mod 2**64."""
        self._tsc_offset(Request.SET_DEVICE_ATTR, c_uint64(offset))

    def _tsc_offset(self, request: Request, value: c_uint64) -> None:
        self._vm.need(Capability.VCPU_ATTRIBUTES, "the TSC offset of a vCPU")
        group, attribute = TSC_OFFSET_ATTRIBUTE
        self.ask(request, DeviceAttr(0, group, attribute, addressof(value)))

    def kvmclock_ctrl(self) -> None:
        """Have GUEST_STOPPED set in its time page at the next update: it was paused by us."""
        self._vm.need(Capability.KVMCLOCK_CTRL, "KVM_KVMCLOCK_CTRL")
        self.ask(Request.KVMCLOCK_CTRL)

    def enforce_announced_features(self) -> None:
        """Have paravirtual MSRs that CPUID 0x40000001 does not announce fault in the guest."""
        self._vm.need(Capability.ENFORCE_PV_FEATURE_CPUID, "KVM_ENABLE_CAP of a vCPU")
        wish = EnableCap(cap=Capability.ENFORCE_PV_FEATURE_CPUID, args=(c_uint64 * 4)(1))
        self.ask(Request.ENABLE_CAP, wish)
