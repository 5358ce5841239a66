"""What a KVM does of KVM_SET_GUEST_DEBUG: asked of it by trying, with a guest of four instructions.

A KVM that emulates instructions may take watchpoints and never report one (arch/x86/kvm/x86.c,
kvm_vcpu_check_code_breakpoint: the emulator looks at instructions only), and cannot emulate int3.
A KVM in a guest of QEMU's TCG is not told of an int3 at all (raise_interrupt2 in QEMU's
target/i386/tcg/excp_helper.c takes it for a software interrupt, which KVM does not ask for).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from timehands.errors import KvmLacks, KvmRefused
from timehands.kvm.exits import Debugged, Exit, InternalError
from timehands.kvm.modes import start_protected_mode
from timehands.kvm.numbers import PAGE_SIZE, Capability, GuestDebug, InternalErrorKind
from timehands.kvm.system import Kvm
from timehands.kvm.vcpu import Vcpu
from timehands.kvm.vm import Vm
from timehands.monitor.breakpoints.debug_registers import DR6_STEP, NONE, debug_registers, reported
from timehands.monitor.breakpoints.model import Kind, Point

#: After this a guest that was to stop has not.
PATIENCE_S = 10.0
#: inc eax; mov [_DATA], eax; nop; hlt
_CODE, _DATA, _NOP_AT = 0x1000, 0x2000, 6
_PROGRAM = b"\x40\xa3" + _DATA.to_bytes(4, "little") + b"\x90\xf4"
_INT3 = b"\xcc"
BREAKPOINT_VECTOR = 3
_NO_FLAGS = GuestDebug(0)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What works: ``steps``, hardware breakpoints, ``watchpoints``, ``software`` breakpoints.

    ``flags`` are those of KVM_SET_GUEST_DEBUG that this KVM knows.
    """

    steps: bool = False
    breakpoints: bool = False
    watchpoints: bool = False
    software: bool = False
    flags: GuestDebug = _NO_FLAGS

    def has(self, kind: Kind) -> bool:
        """Whether points of this kind work."""
        if kind is Kind.SOFTWARE:
            return self.software
        return self.breakpoints if kind is Kind.EXECUTE else self.watchpoints


def ask(kvm: Kvm) -> Abilities:
    """Try what the host's KVM can do. Takes some 10 ms.

    Raises `KvmRefused` when no guest can be made.
    """
    if not kvm.has(Capability.SET_GUEST_DEBUG):
        return Abilities()
    with Vm(kvm) as vm:
        vcpu = _small_guest(vm)
        return Abilities(
            steps=_steps(vcpu),
            breakpoints=_reports(vcpu, Point(_CODE + _NOP_AT)),
            watchpoints=_reports(vcpu, Point(_DATA, Kind.WRITE, 4)),
            software=_stops_at_int3(vcpu),
            flags=_flags(kvm),
        )


def is_int3(exit: Exit) -> bool:
    """Whether a vCPU that stands at an int3 of ours may have come out because of it.

    A KVM that emulates instructions comes out with an error there, and has done nothing.
    """
    if isinstance(exit, InternalError):
        return exit.kind == InternalErrorKind.EMULATION
    return isinstance(exit, Debugged) and exit.exception == BREAKPOINT_VECTOR


def _small_guest(vm: Vm) -> Vcpu:
    vm.place_intel_pages()
    vm.add_memory(0, 4 * PAGE_SIZE)
    vm.memory.write(_CODE, _PROGRAM)
    vcpu = vm.add_vcpu()
    vcpu.set_cpuid(vm.kvm.supported_cpuid())
    return vcpu


def _flags(kvm: Kvm) -> GuestDebug:
    """As KVM_CAP_SET_GUEST_DEBUG2 tells them (Linux 5.13); before that they were not told."""
    told = kvm.capability(Capability.SET_GUEST_DEBUG2)
    every = GuestDebug.ENABLE | GuestDebug.SINGLESTEP | GuestDebug.USE_SW_BP | GuestDebug.USE_HW_BP
    known = every | GuestDebug.INJECT_DB | GuestDebug.INJECT_BP | GuestDebug.BLOCKIRQ
    return GuestDebug(told & known) if told else every | GuestDebug.INJECT_DB | GuestDebug.INJECT_BP


def _steps(vcpu: Vcpu) -> bool:
    exit = _run(vcpu, GuestDebug.SINGLESTEP)
    return isinstance(exit, Debugged) and bool(exit.dr6 & DR6_STEP) and exit.pc == _CODE + 1


def _reports(vcpu: Vcpu, point: Point) -> bool:
    exit = _run(vcpu, GuestDebug.USE_HW_BP, debug_registers([point]))
    return isinstance(exit, Debugged) and any(reported(exit.dr6, [point]))


def _stops_at_int3(vcpu: Vcpu) -> bool:
    vcpu.vm.memory.write(_CODE + _NOP_AT, _INT3)
    exit = _run(vcpu, GuestDebug.USE_SW_BP)
    return exit is not None and is_int3(exit) and vcpu.regs().rip == _CODE + _NOP_AT


def _run(vcpu: Vcpu, control: GuestDebug, registers: tuple[int, ...] = NONE) -> Exit | None:
    """What comes of the program; None where this KVM does not even take the wish."""
    start_protected_mode(vcpu, _CODE)
    watchdog = threading.Timer(PATIENCE_S, vcpu.interrupt)
    watchdog.start()
    try:
        vcpu.debug(GuestDebug.ENABLE | control, registers)
        return vcpu.run()
    except (KvmRefused, KvmLacks):
        return None
    finally:
        watchdog.cancel()
        watchdog.join()
