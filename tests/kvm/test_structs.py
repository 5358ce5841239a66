"""KVM's layouts, field by field, against the kernel's own header, through the compiler."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Structure, Union, sizeof
from pathlib import Path
from typing import Any

import pytest

from kvm.kernel_header import ask_compiler
from timehands.kvm import structs
from timehands.kvm.run_struct import Run
from timehands.kvm.structs import Layout, MsrEntry, Regs, Segment

#: By the structure's name in C; nested ones are compared inside of the others.
LAYOUTS: dict[str, type[Layout]] = {
    "kvm_regs": structs.Regs,
    "kvm_segment": structs.Segment,
    "kvm_dtable": structs.Dtable,
    "kvm_sregs": structs.Sregs,
    "kvm_fpu": structs.Fpu,
    "kvm_xsave": structs.Xsave,
    "kvm_xcrs": structs.Xcrs,
    "kvm_debugregs": structs.Debugregs,
    "kvm_lapic_state": structs.LapicState,
    "kvm_mp_state": structs.MpStateLayout,
    "kvm_vcpu_events": structs.VcpuEvents,
    "kvm_guest_debug": structs.GuestDebugLayout,
    "kvm_translation": structs.Translation,
    "kvm_interrupt": structs.Interrupt,
    "kvm_cpuid_entry2": structs.CpuidEntry2,
    "kvm_cpuid2": structs.Cpuid2,
    "kvm_msr_entry": structs.MsrEntry,
    "kvm_msrs": structs.Msrs,
    "kvm_msr_list": structs.MsrList,
    "kvm_signal_mask": structs.SignalMask,
    "kvm_userspace_memory_region": structs.UserspaceMemoryRegion,
    "kvm_clock_data": structs.ClockData,
    "kvm_enable_cap": structs.EnableCap,
    "kvm_device_attr": structs.DeviceAttr,
    "kvm_msr_filter_range": structs.MsrFilterRange,
    "kvm_msr_filter": structs.MsrFilter,
    "kvm_irq_level": structs.IrqLevel,
    "kvm_msi": structs.Msi,
    "kvm_irq_routing_entry": structs.IrqRoutingEntry,
    "kvm_irq_routing": structs.IrqRouting,
    "kvm_irqchip": structs.Irqchip,
    "kvm_pit_config": structs.PitConfig,
    "kvm_pit_state2": structs.PitState2,
    "kvm_run": Run,
}
#: Parts of others, and not structures of their own in C or compared with their owner.
NESTED = {
    "ExceptionEvent", "InterruptEvent", "NmiEvent", "SmiEvent", "TripleFaultEvent", "Xcr",
    "GuestDebugArch", "IrqRoutingIrqchip", "IrqRoutingMsi", "PicState", "IoapicState",
    "PitChannelState",
}  # fmt: skip


def fields(kind: Any, path: str = "", at: int = 0) -> Iterator[tuple[str, int, int]]:
    """Each field of a structure and of those inside it: its path in C, offset, and size."""
    for name, inner in kind._fields_:
        hidden = name in getattr(kind, "_anonymous_", ())
        here, offset = path if hidden else f"{path}{name}", at + getattr(kind, name).offset
        if not hidden:
            yield here, offset, sizeof(inner)
        if issubclass(inner, Structure | Union):
            yield from fields(inner, here if hidden else f"{here}.", offset)


def test_layouts_are_those_of_the_kernel_header(tmp_path: Path) -> None:
    ours = {
        (name, path): (offset, size)
        for name, layout in LAYOUTS.items()
        for path, offset, size in fields(layout)
    }
    statements = [
        f'printf("{name} {path} %zu %zu\\n", offsetof(struct {name}, {path}), '
        f"sizeof(((struct {name} *)0)->{path}));"
        for name, path in ours
    ]
    answers = ask_compiler(tmp_path, statements)
    header = {(name, path): (int(offset), int(size)) for name, path, offset, size in answers}
    assert ours == header


def test_sizes_are_those_of_the_kernel_header(tmp_path: Path) -> None:
    statements = [f'printf("{name} %zu\\n", sizeof(struct {name}));' for name in LAYOUTS]
    header = {name: int(size) for name, size in ask_compiler(tmp_path, statements)}
    ours = {name: sizeof(layout) for name, layout in LAYOUTS.items()}
    assert ours == header


def test_no_layout_is_left_out() -> None:
    declared = {each.__name__ for each in Layout.__subclasses__() if each.__module__.endswith("s")}
    assert declared - {each.__name__ for each in LAYOUTS.values()} == NESTED


def test_a_layout_prints_its_fields_and_compares_by_value() -> None:
    assert repr(MsrEntry(0x10, 0, 255)) == "MsrEntry(index=0x10, reserved=0x0, data=0xff)"
    assert Segment(base=1) == Segment(base=1) != Segment(base=2)
    assert Segment() != Regs()
    with pytest.raises(TypeError):
        hash(Regs())
