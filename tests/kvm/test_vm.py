"""Machines on the real KVM: memory, clock, chips, and that nothing leaks."""

from __future__ import annotations

import gc
import os
import warnings
from pathlib import Path

import pytest

from kvm.guest_code import HALT, guest, halted, need, run_to
from timehands.errors import KvmLacks, KvmRefused, KvmUnavailable
from timehands.kvm import Capability, Kvm, Vm
from timehands.kvm.exits import MmioWrite
from timehands.kvm.memory import GuestMemory, make_slot
from timehands.kvm.msr_filter import MsrRange, denying
from timehands.kvm.numbers import ClockFlags, IrqChip, MemoryFlags, Request
from timehands.kvm.structs import Regs


def kvm_files() -> list[str]:
    links = (each for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return sorted(name for name in map(os.readlink, links) if "kvm" in name)


def test_nothing_is_left_open_or_mapped(kvm: Kvm) -> None:
    before = kvm_files()
    with Vm(kvm) as vm:
        vcpu = guest(vm, HALT)
        halted(vcpu)
        assert {"anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"} <= set(kvm_files())
    assert kvm_files() == before
    assert "kvm-vcpu" not in Path("/proc/self/maps").read_text()
    assert list(vm.memory) == []


def test_a_machine_that_fails_on_its_way_leaves_nothing(kvm: Kvm) -> None:
    before = kvm_files()
    with pytest.raises(KvmRefused), Vm(kvm) as vm:
        vm.add_vcpu(0)
        vm.add_vcpu(0)
    assert kvm_files() == before


def test_what_is_forgotten_is_closed_with_a_warning(kvm: Kvm) -> None:
    before = kvm_files()
    vm = Vm(kvm)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del vm
        gc.collect()
    assert [each.category for each in caught] == [ResourceWarning]
    assert kvm_files() == before


def test_what_is_closed_says_so(kvm: Kvm) -> None:
    with Vm(kvm) as vm:
        vcpu = vm.add_vcpu()
        assert repr(vcpu) == "<Vcpu vCPU 0>"
    vm.close()
    assert repr(vcpu) == "<Vcpu vCPU 0, closed>"
    for ask in (vcpu.run, vcpu.regs, vcpu.interrupt, vm.clock):
        with pytest.raises(ValueError, match="is closed"):
            ask()


def test_views_of_memory_outlive_it(vm: Vm) -> None:
    slot = vm.add_memory(0, 0x1000)
    view = memoryview(slot.map)
    vm.close()
    view[0] = 7
    assert view[0] == 7


def test_the_shared_page_outlives_its_vcpu_where_someone_holds_it(vm: Vm) -> None:
    vcpu = vm.add_vcpu()
    shared = vcpu.shared
    vcpu.close()
    assert vcpu.closed
    assert shared.exit_reason == 0


def test_a_structure_of_the_wrong_size_is_never_given_to_the_kernel(vm: Vm) -> None:
    vcpu = vm.add_vcpu()
    with pytest.raises(ValueError, match="KVM_GET_SREGS does not take a Regs"):
        vcpu.get(Request.GET_SREGS, Regs)


def test_an_error_names_the_request_and_what_it_needs(vm: Vm) -> None:
    vm.add_vcpu(3)
    with pytest.raises(KvmRefused) as caught:
        vm.add_vcpu(3)
    text = str(caught.value)
    assert text.startswith("machine: KVM_CREATE_VCPU failed: File exists (EEXIST)\n")
    assert "KVM_CREATE_VCPU needs an id that is free" in text
    assert (caught.value.request, caught.value.errno) == ("KVM_CREATE_VCPU", 17)


def test_a_capability_that_is_missing_is_named(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vm, "capability", lambda *_: 0)
    with pytest.raises(
        KvmLacks, match=r"KVM_GET_CLOCK needs KVM_CAP_ADJUST_CLOCK \(KVM_GET_CLOCK and"
    ):
        vm.clock()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_who_may_not_open_kvm_is_told_what_to_do(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0)
    with pytest.raises(KvmUnavailable, match=r"Permission denied\nTo mend it: .*-G kvm"):
        Kvm(device)


def test_no_kvm_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(KvmUnavailable, match=r"No such file or directory\nTo mend it: modprobe"):
        Kvm(tmp_path / "kvm")


# Memory


@pytest.mark.parametrize(("address", "size"), [(1, 0x1000), (0, 1), (0, 0), (-0x1000, 0x1000)])
def test_memory_is_whole_pages(vm: Vm, address: int, size: int) -> None:
    with pytest.raises(ValueError, match="whole pages"):
        vm.add_memory(address, size)


def test_memory_does_not_overlap(vm: Vm) -> None:
    vm.add_memory(0x1000, 0x2000)
    with pytest.raises(ValueError, match="overlaps that at 0x1000"):
        vm.add_memory(0x2000, 0x1000)
    vm.add_memory(0x3000, 0x1000)
    vm.add_memory(0, 0x1000)
    assert [slot.address for slot in vm.memory] == [0, 0x1000, 0x3000]


def test_reads_and_writes_cross_slots_but_never_leave_them() -> None:
    memory = GuestMemory()
    for number, address in enumerate((0x2000, 0x1000, 0x4000)):
        memory.add(make_slot(number, address, 0x1000, MemoryFlags.NONE))
    memory.write(0x1FFE, b"abcd")
    assert memory.read(0x1FFE, 4) == b"abcd"
    assert memory.read(0x1000, 0) == b""
    for address, size in ((0xFFF, 2), (0x2FFF, 2), (0x3000, 1), (0x5000, 1), (1 << 63, 8), (-1, 1)):
        with pytest.raises(ValueError, match="no guest memory"):
            memory.read(address, size)
    with pytest.raises(ValueError, match="no guest memory at 0x3000"):
        memory.write(0x2FFC, b"12345678")
    assert memory.read(0x2FFC, 4) == bytes(4)
    memory.free()


def test_memory_can_be_taken_away_again(vm: Vm) -> None:
    slot = vm.add_memory(0x20000, 0x1000)
    vcpu = guest_that_writes_to_0x20000(vm)
    vm.remove_memory(slot)
    assert run_to(vcpu, MmioWrite).address == 0x20000


def test_memory_can_be_for_reading_only(vm: Vm) -> None:
    need(vm.kvm, Capability.READONLY_MEM)
    vm.add_memory(0x20000, 0x1000, MemoryFlags.READONLY)
    vcpu = guest_that_writes_to_0x20000(vm)
    assert run_to(vcpu, MmioWrite).address == 0x20000
    assert vm.memory.read(0x20000, 2) == bytes(2)


def guest_that_writes_to_0x20000(vm: Vm):  # type: ignore[no-untyped-def]
    """mov ax, 0x2000; mov ds, ax; mov [0], ax; hlt"""
    vm.add_memory(0, 0x10000)
    return guest(vm, bytes.fromhex("b80020 8ed8 a30000") + HALT)


# The clock


def test_before_the_first_entry_the_clock_is_not_yet_the_guests(vm: Vm) -> None:
    need(vm.kvm, Capability.ADJUST_CLOCK)
    vcpu = guest(vm, HALT)
    assert vm.clock().flags == ClockFlags(0)
    halted(vcpu)
    assert vm.clock().ns > 0


def test_the_clock_goes_on_and_can_be_set(vm: Vm) -> None:
    need(vm.kvm, Capability.ADJUST_CLOCK)
    halted(guest(vm, HALT))
    first, second = vm.clock(), vm.clock()
    assert 0 < first.ns <= second.ns
    vm.set_clock(5_000_000_000)
    assert vm.clock().ns >= 5_000_000_000


def test_the_clock_catches_up_with_real_time(vm: Vm) -> None:
    need(vm.kvm, Capability.ADJUST_CLOCK)
    if not vm.kvm.capability(Capability.ADJUST_CLOCK) & ClockFlags.REALTIME:
        pytest.skip("this KVM lacks KVM_CLOCK_REALTIME")
    halted(guest(vm, HALT))
    saved = vm.clock()
    assert saved.realtime_ns
    vm.set_clock(saved.ns, realtime_ns=saved.realtime_ns - 3600 * 10**9)
    restored = vm.clock()
    assert restored.ns >= saved.ns + 3600 * 10**9
    # The clock and real time went on side by side: what lies between them is the hour.
    assert restored.realtime_ns
    shift = (restored.ns - saved.ns) - (restored.realtime_ns - saved.realtime_ns)
    assert shift // 10**9 in (3599, 3600)


def test_without_real_time_that_is_refused_by_name(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vm, "capability", lambda *_: 1)
    with pytest.raises(KvmLacks, match="KVM_CLOCK_REALTIME"):
        vm.set_clock(1, realtime_ns=1)


# Chips


def test_chips_in_the_kernel_have_states(vm: Vm) -> None:
    need(vm.kvm, Capability.IRQCHIP, Capability.PIT2, Capability.PIT_STATE2)
    with pytest.raises(KvmRefused, match="needs interrupt chips in the kernel"):
        vm.irqchip(IrqChip.IOAPIC)
    vm.create_irqchip()
    vm.create_pit()
    for chip in IrqChip:
        vm.set_irqchip(vm.irqchip(chip))
        assert vm.irqchip(chip).chip_id == chip
    assert vm.irqchip(IrqChip.IOAPIC).chip.ioapic.base_address == 0xFEC00000
    state = vm.pit()
    state.channels[2].mode = 3
    vm.set_pit(state)
    assert vm.pit().channels[2].mode == 3


def test_an_interrupt_line_reaches_the_chip(vm: Vm) -> None:
    need(vm.kvm, Capability.IRQCHIP)
    vm.create_irqchip()
    vm.irq_line(4, 1)
    assert vm.irqchip(IrqChip.PIC_MASTER).chip.pic.irr & 1 << 4
    vm.irq_line(4, 0)


def test_only_the_lapic_can_be_in_the_kernel(vm: Vm) -> None:
    need(vm.kvm, Capability.SPLIT_IRQCHIP)
    vm.split_irqchip()
    assert vm.add_vcpu().lapic().regs[0x30] & 0x10
    with pytest.raises(KvmRefused):
        vm.irqchip(IrqChip.IOAPIC)


def test_one_interrupt_of_our_8259s_waits_at_a_time(vm: Vm) -> None:
    need(vm.kvm, Capability.SPLIT_IRQCHIP)
    vm.split_irqchip()
    vcpu = vm.add_vcpu()
    assert [vcpu.inject(0x20), vcpu.inject(0x21)] == [True, False]


def test_with_kvms_8259s_nobody_else_interrupts(vm: Vm) -> None:
    need(vm.kvm, Capability.IRQCHIP)
    vm.create_irqchip()
    vcpu = vm.add_vcpu()
    with pytest.raises(KvmRefused, match="8259s are not in the kernel"):
        vcpu.inject(0x20)


def test_a_line_can_be_a_message(vm: Vm) -> None:
    """KVM raises the line as it would send the message: the LAPIC requests its vector."""
    need(vm.kvm, Capability.SPLIT_IRQCHIP, Capability.IRQ_ROUTING)
    vm.split_irqchip()
    vcpu = vm.add_vcpu()
    lapic = vcpu.lapic()
    lapic.regs[0xF1] |= 1  # on
    vcpu.set_lapic(lapic)
    vm.route_messages([(0xFEE00000, 0), (0xFEE00000, 1 << 14 | 0x41)])
    vm.irq_line(1, 1)
    assert vcpu.lapic().regs[0x220] == 1 << 1


def test_a_line_can_lead_to_another_pin(vm: Vm) -> None:
    need(vm.kvm, Capability.IRQCHIP, Capability.IRQ_ROUTING)
    vm.create_irqchip()
    vm.route_lines([(0, IrqChip.PIC_MASTER, 0), (0, IrqChip.IOAPIC, 2)])
    vm.irq_line(0, 1)
    assert vm.irqchip(IrqChip.PIC_MASTER).chip.pic.irr == 1
    assert vm.irqchip(IrqChip.IOAPIC).chip.ioapic.irr == 1 << 2


def test_there_is_one_i8254(vm: Vm) -> None:
    need(vm.kvm, Capability.IRQCHIP, Capability.PIT2)
    vm.create_irqchip()
    vm.create_pit()
    with pytest.raises(KvmRefused, match=r"KVM_CREATE_PIT2 needs .* to come once"):
        vm.create_pit()


def test_intels_pages_can_be_placed_above_two_gigabytes(vm: Vm) -> None:
    vm.place_intel_pages()
    vm.add_vcpu()


# The filter of MSRs


def test_msrs_that_are_denied_are_grouped() -> None:
    assert denying([0x4B564D00, 0x4B564D01, 0x10]) == (
        MsrRange(0x10, b"\xfe"),
        MsrRange(0x4B564D00, b"\xfc"),
    )


@pytest.mark.parametrize("size", [0, 0x601])
def test_a_bitmap_has_its_bounds(size: int) -> None:
    with pytest.raises(ValueError, match="bitmap"):
        MsrRange(0, bytes(size))


def test_a_filter_has_at_most_16_ranges(vm: Vm) -> None:
    need(vm.kvm, Capability.X86_MSR_FILTER)
    vm.filter_msrs(denying(range(0, 16 * 8, 8)))
    with pytest.raises(ValueError, match="17 ranges"):
        vm.filter_msrs(denying(range(0, 17 * 8, 8)))
