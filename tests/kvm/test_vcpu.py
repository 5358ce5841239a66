"""vCPUs on the real KVM: why they come back, and what they are told."""

from __future__ import annotations

import signal
import threading

import pytest

from kvm.guest_code import CODE, HALT, guest, halted, need, rdmsr, run_to, wrmsr
from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.msr import ClockMsr
from timehands.errors import KvmRefused
from timehands.kvm import Capability, Vcpu, Vm, start_protected_mode, start_real_mode
from timehands.kvm import vcpu as vcpu_module
from timehands.kvm.cpuid import CpuidEntry, entries_of, table_of
from timehands.kvm.exits import (
    Debugged,
    Exit,
    Halt,
    Interrupted,
    MmioRead,
    MmioWrite,
    MsrRead,
    MsrWrite,
    PortIn,
    PortOut,
    Shutdown,
)
from timehands.kvm.interruption import SIGNAL
from timehands.kvm.msr_filter import denying
from timehands.kvm.numbers import CpuidFlags, GuestDebug, MpState, MsrReason

OUT_42 = bytes.fromhex("b02a e680")  # mov al, 42; out 0x80, al
TWICE_IN = bytes.fromhex("66 e540 88e0 e640")  # in eax, 0x40; mov al, ah; out 0x40, al
JUMP_TO_SELF = bytes.fromhex("ebfe")
#: cld; mov si, CODE; mov cx, 4; mov dx, 0x3f8; rep outsb
OUT_STRING = bytes.fromhex("fc be0010 b90400 baf803 f36e")


def without_interrupt_table(vm: Vm, code: bytes) -> Vcpu:
    """In protected mode, where any fault ends in a triple fault."""
    vm.add_memory(0, 0x1000)
    vm.memory.write(0, code)
    vcpu = vm.add_vcpu()
    start_protected_mode(vcpu, 0)
    sregs = vcpu.sregs()
    sregs.idt.limit = 0
    vcpu.set_sregs(sregs)
    return vcpu


def test_a_port_is_written_and_then_the_guest_halts(vm: Vm) -> None:
    vcpu = guest(vm, OUT_42 + HALT)
    assert vcpu.run() == PortOut(0x80, 1, b"\x2a")
    assert vcpu.run() == Halt()
    assert vcpu.regs().rip == CODE + 5


def test_a_port_that_is_read_gets_our_answer(vm: Vm) -> None:
    vcpu = guest(vm, TWICE_IN)
    assert vcpu.run() == PortIn(0x40, 4, 1)
    vcpu.answer(0x12345678)
    assert vcpu.run() == PortOut(0x40, 1, b"\x56")
    assert vcpu.regs().rax == 0x12345656


def test_a_port_that_nobody_answers_reads_as_all_ones(vm: Vm) -> None:
    vcpu = guest(vm, TWICE_IN)
    vcpu.run()
    run_to(vcpu, PortOut)
    assert vcpu.regs().rax == 0xFFFF_FFFF


def test_a_string_of_ports_comes_in_one_exit_or_in_several(vm: Vm) -> None:
    vcpu = guest(vm, OUT_STRING + HALT)
    data = b""
    while isinstance(out := vcpu.run(), PortOut):
        assert (out.port, out.size) == (0x3F8, 1)
        data += out.data
    assert (out, data) == (Halt(), OUT_STRING[:4])


@pytest.mark.parametrize("answer", [b"\x01\x02", 1 << 32, -1, b""])
def test_an_answer_that_does_not_fit_is_refused(vm: Vm, answer: int | bytes) -> None:
    vcpu = guest(vm, TWICE_IN)
    run_to(vcpu, PortIn)
    with pytest.raises((ValueError, OverflowError)):
        vcpu.answer(answer)


def test_an_exit_that_wants_no_answer_takes_none(vm: Vm) -> None:
    vcpu = halted(guest(vm, HALT))
    with pytest.raises(ValueError, match="wants no answer"):
        vcpu.answer(1)
    with pytest.raises(ValueError, match="no MSR access"):
        vcpu.fault()


def test_memory_that_is_not_there_is_read_and_written_by_us(vm: Vm) -> None:
    # mov ax, 0x2000; mov ds, ax; mov [0x10], ax; mov eax, [0x20]; hlt
    vcpu = guest(vm, bytes.fromhex("b80020 8ed8 a31000 66a12000") + HALT)
    assert vcpu.run() == MmioWrite(0x20010, b"\x00\x20")
    assert vcpu.run() == MmioRead(0x20020, 4)
    vcpu.answer(0xCAFEBABE)
    halted(vcpu)
    assert vcpu.regs().rax == 0xCAFEBABE


def test_a_triple_fault_is_a_shutdown(vm: Vm) -> None:
    assert without_interrupt_table(vm, b"\x0f\x0b").run() == Shutdown()  # ud2


def test_protected_mode_is_flat(vm: Vm) -> None:
    vm.add_memory(0, 0x1000)
    vm.add_memory(0x4000_0000, 0x1000)
    vm.memory.write(0x4000_0000, bytes.fromhex("891d 00000040 f4"))  # mov [0x40000000], ebx; hlt
    vcpu = vm.add_vcpu()
    start_protected_mode(vcpu, 0x4000_0000, rbx=0x6000)
    halted(vcpu)
    assert vm.memory.read(0x4000_0000, 4) == b"\x00\x60\x00\x00"
    assert vcpu.translate(0x4000_0000) == 0x4000_0000


@pytest.mark.parametrize("address", [8, 0x100000, -16])
def test_real_mode_starts_where_a_segment_can(vm: Vm, address: int) -> None:
    with pytest.raises(ValueError, match="real mode"):
        start_real_mode(vm.add_vcpu(), address)


def spinning(vcpu: Vcpu, came: list[Exit]) -> threading.Thread:
    """A thread that is in the guest, or about to enter it, and keeps what came of it."""
    thread = threading.Thread(target=lambda: came.append(vcpu.run()))
    thread.start()
    while vcpu._interruption._inside is None and thread.is_alive():
        pass
    return thread


def test_other_threads_take_a_vcpu_out_of_the_guest(vm: Vm) -> None:
    vcpu = guest(vm, JUMP_TO_SELF)
    came: list[Exit] = []
    # Threads begin with the mask of this one; one after the other, they have the same ident.
    before = signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
    try:
        for _ in range(10):
            thread = spinning(vcpu, came)
            vcpu.interrupt()
            thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert came == [Interrupted()] * 10
    assert vcpu.regs().rip == CODE


def test_an_interruption_wants_no_answer(vm: Vm) -> None:
    vcpu = guest(vm, TWICE_IN)
    run_to(vcpu, PortIn)
    vcpu.answer(0x12345678)
    vcpu.interrupt()
    assert vcpu.run() == Interrupted()
    with pytest.raises(ValueError, match="wants no answer"):
        vcpu.answer(0)
    assert vcpu.run() == PortOut(0x40, 1, b"\x56")


def test_an_interrupt_beforehand_counts_once(vm: Vm) -> None:
    vcpu = guest(vm, OUT_42 * 2)
    vcpu.interrupt()
    vcpu.interrupt()
    assert vcpu.run() == Interrupted()
    run_to(vcpu, PortOut)


def test_an_interrupt_that_comes_with_another_exit_is_not_lost(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    vcpu = guest(vm, OUT_42 * 3)
    real = vcpu_module.ioctl

    def interrupted_on_its_way_out(*arguments: int) -> None:
        real(*arguments)
        vcpu.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(vcpu_module, "ioctl", interrupted_on_its_way_out)
        run_to(vcpu, PortOut)
    assert vcpu.run() == Interrupted()
    run_to(vcpu, PortOut)
    run_to(vcpu, PortOut)


def test_the_place_is_told_with_the_exit(vm: Vm) -> None:
    need(vm.kvm, Capability.SYNC_REGS)
    vcpu = guest(vm, OUT_42 * 3)
    run_to(vcpu, PortOut)
    assert vcpu.pc() == vcpu.regs().rip
    assert vcpu.share_registers()
    run_to(vcpu, PortOut)
    assert vcpu.pc() == vcpu.regs().rip
    vcpu.interrupt()
    run_to(vcpu, Interrupted)
    assert vcpu.pc() == vcpu.regs().rip == CODE + 2 * len(OUT_42)


def test_the_place_is_told_where_registers_cannot_be_shared(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    vcpu = guest(vm, OUT_42)
    monkeypatch.setattr(vm, "capability", lambda _capability: 0)
    assert not vcpu.share_registers()
    run_to(vcpu, PortOut)
    assert CODE <= vcpu.pc() == vcpu.regs().rip <= CODE + len(OUT_42)


def test_a_vcpu_runs_in_one_thread_at_a_time(vm: Vm) -> None:
    vcpu = guest(vm, OUT_42 + JUMP_TO_SELF)
    run_to(vcpu, PortOut)
    came: list[Exit] = []
    thread = spinning(vcpu, came)
    with pytest.raises(RuntimeError, match="runs already"):
        vcpu.run()
    vcpu.interrupt()
    thread.join()
    assert came == [Interrupted()]


def test_each_step_can_be_an_exit(vm: Vm) -> None:
    need(vm.kvm, Capability.SET_GUEST_DEBUG)
    vcpu = guest(vm, b"\x90\x90" + HALT)
    vcpu.debug(GuestDebug.ENABLE | GuestDebug.SINGLESTEP)
    assert [run_to(vcpu, Debugged).pc for _ in range(2)] == [CODE + 1, CODE + 2]
    vcpu.debug(GuestDebug(0))
    halted(vcpu)


def test_chosen_msrs_come_to_us(vm: Vm) -> None:
    need(vm.kvm, Capability.X86_USER_SPACE_MSR, Capability.X86_MSR_FILTER)
    vm.hand_over_msrs(MsrReason.FILTER)
    vm.filter_msrs(denying([ClockMsr.KVM_SYSTEM_TIME, ClockMsr.KVM_WALL_CLOCK]))
    code = wrmsr(ClockMsr.KVM_SYSTEM_TIME, 0x1_0000_2001) + rdmsr(ClockMsr.KVM_WALL_CLOCK) + HALT
    vcpu = guest(vm, code)
    assert vcpu.run() == MsrWrite(ClockMsr.KVM_SYSTEM_TIME, 0x1_0000_2001, MsrReason.FILTER)
    vcpu.answer(0)
    assert vcpu.run() == MsrRead(ClockMsr.KVM_WALL_CLOCK, MsrReason.FILTER)
    vcpu.answer(0x2_0000_0003)
    halted(vcpu)
    assert (vcpu.regs().rdx, vcpu.regs().rax) == (2, 3)
    # KVM itself has seen nothing of it.
    assert vcpu.msr(ClockMsr.KVM_SYSTEM_TIME) == 0


@pytest.mark.parametrize("explicit", [True, False])
def test_an_msr_access_that_is_not_answered_faults(vm: Vm, explicit: bool) -> None:
    need(vm.kvm, Capability.X86_USER_SPACE_MSR)
    vm.hand_over_msrs(MsrReason.UNKNOWN | MsrReason.INVAL)
    # mov ecx, 0x1234567; rdmsr
    vcpu = without_interrupt_table(vm, bytes.fromhex("b967452301 0f32"))
    assert run_to(vcpu, MsrRead).index == 0x1234567
    if explicit:
        vcpu.fault()
    assert vcpu.run() == Shutdown()


def test_an_msr_that_is_refused_is_named(vm: Vm) -> None:
    vcpu = guest(vm, HALT)
    with pytest.raises(KvmRefused, match="MSR 0x1234567: KVM_SET_MSRS failed") as caught:
        vcpu.set_msrs({ClockMsr.KVM_SYSTEM_TIME: 0x2000, 0x1234567: 1})
    assert caught.value.advice
    assert vcpu.msr(ClockMsr.KVM_SYSTEM_TIME) == 0x2000


def test_all_msrs_of_the_state_can_be_kept_and_set_again(vm: Vm) -> None:
    vcpu = guest(vm, HALT)
    indices = vm.kvm.msr_indices()
    assert ClockMsr.TSC in indices
    values = vcpu.msrs([ClockMsr.APIC_BASE, ClockMsr.KVM_WALL_CLOCK, ClockMsr.TSC_ADJUST])
    vcpu.set_msrs(values)
    assert vcpu.msrs(values) == values


def test_cpuid_is_what_we_say(vm: Vm) -> None:
    # mov eax, 0x40000010; cpuid; hlt
    vcpu = guest(vm, bytes.fromhex("66b810000040 0fa2") + HALT)
    entries = [each for each in vm.kvm.supported_cpuid() if each.leaf != 0x40000000]
    timing = Registers(2_600_000, 1_000_000, 0, 0)
    entries.append(CpuidEntry(0x40000000, 0, CpuidFlags(0), Registers(0x40000010, 0, 0, 0)))
    entries.append(CpuidEntry(0x40000010, 0, CpuidFlags(0), timing))
    vcpu.set_cpuid(entries)
    assert CpuidEntry(0x40000010, 0, CpuidFlags(0), timing) in vcpu.cpuid()
    halted(vcpu)
    regs = vcpu.regs()
    assert Registers(regs.rax, regs.rbx, regs.rcx, regs.rdx) == timing


def test_what_kvm_supports_goes_through_a_table_and_back(vm: Vm) -> None:
    entries = vm.kvm.supported_cpuid()
    table = table_of(entries)
    assert table[0x40000000, 0].ebx.to_bytes(4, "little") == b"KVMK"
    assert table_of(entries_of(table)) == table
    vcpu = vm.add_vcpu()
    vcpu.set_cpuid(entries_of(table))


def test_the_state_that_a_snapshot_needs_can_be_read_and_set(vm: Vm) -> None:
    vm.create_irqchip()
    vcpu = vm.add_vcpu()
    pairs = [
        (vcpu.regs, vcpu.set_regs),
        (vcpu.sregs, vcpu.set_sregs),
        (vcpu.fpu, vcpu.set_fpu),
        (vcpu.xsave, vcpu.set_xsave),
        (vcpu.xcrs, vcpu.set_xcrs),
        (vcpu.debugregs, vcpu.set_debugregs),
        (vcpu.events, vcpu.set_events),
        (vcpu.lapic, vcpu.set_lapic),
        (vcpu.mp_state, vcpu.set_mp_state),
    ]
    for get, put in pairs:
        before = get()
        put(before)  # type: ignore[arg-type]
        assert get() == before


def test_mp_state_says_what_a_second_vcpu_waits_for(vm: Vm) -> None:
    vm.create_irqchip()
    states = [vm.add_vcpu().mp_state() for _ in range(2)]
    assert states == [MpState.RUNNABLE, MpState.UNINITIALIZED]


def test_an_nmi_can_be_sent(vm: Vm) -> None:
    need(vm.kvm, Capability.USER_NMI)
    vcpu = guest(vm, HALT)
    vm.memory.write(2 * 4, bytes.fromhex("00200000"))  # vector 2: 0000:2000
    vm.memory.write(0x2000, OUT_42)
    vcpu.nmi()
    run_to(vcpu, PortOut)


def test_without_scaling_a_slower_tsc_is_refused(vm: Vm) -> None:
    if vm.kvm.has(Capability.TSC_CONTROL):
        pytest.skip("this KVM has KVM_CAP_TSC_CONTROL")
    vcpu = vm.add_vcpu()
    with pytest.raises(KvmRefused, match="KVM_SET_TSC_KHZ needs KVM_CAP_TSC_CONTROL"):
        vcpu.set_tsc_khz(vcpu.tsc_khz() // 2)


def test_the_tsc_offset_is_what_the_guest_adds(vm: Vm) -> None:
    need(vm.kvm, Capability.VCPU_ATTRIBUTES)
    vcpu = guest(vm, HALT)
    assert 0 <= vcpu.tsc_offset() < 1 << 64
