"""The state that a vCPU starts in: real mode, or flat 32-bit protected mode as PVH wants it.

The state after reset is KVM's own (real mode at 0xfffffff0). Sources: Intel SDM volume 3A, 3.4.5
(segment types); Xen docs/misc/pvh.pandoc (entry state).
"""

from __future__ import annotations

from timehands.kvm.structs import Regs, Segment
from timehands.kvm.vcpu_state import VcpuState

CR0_PE = 1
#: Bit 1 of the flags is always set; interrupts are off.
RFLAGS_START = 0x2
_CODE, _DATA, _TSS_BUSY = 0xB, 0x3, 0xB


def start_real_mode(vcpu: VcpuState, address: int) -> None:
    """Have it start at a physical address below 1 MiB, all segments there and the offset 0."""
    if address & 0xF or not 0 <= address <= 0xFFFF0:
        raise ValueError(f"real mode starts at a paragraph below 1 MiB, not at {address:#x}")
    sregs = vcpu.sregs()
    for name in ("cs", "ds", "es", "ss"):
        segment = getattr(sregs, name)
        segment.base, segment.selector = address, address >> 4
    vcpu.set_sregs(sregs)
    vcpu.set_regs(Regs(rip=0, rflags=RFLAGS_START))


def start_protected_mode(vcpu: VcpuState, address: int, *, rbx: int = 0) -> None:
    """Have it start at a physical address in 32-bit mode: paging off, segments flat to 4 GiB.

    ``rbx`` is for PVH, which passes the start info's address in it.
    """
    sregs = vcpu.sregs()
    sregs.cs = _flat(0x8, _CODE)
    for name in ("ds", "es", "ss"):
        setattr(sregs, name, _flat(0x10, _DATA))
    sregs.tr = Segment(limit=0x67, selector=0x18, type=_TSS_BUSY, present=1)
    sregs.cr0 = CR0_PE
    sregs.efer = 0
    vcpu.set_sregs(sregs)
    vcpu.set_regs(Regs(rip=address, rbx=rbx, rflags=RFLAGS_START))


def _flat(selector: int, kind: int) -> Segment:
    # KVM takes the limit in bytes even though g is set.
    return Segment(
        base=0, limit=0xFFFF_FFFF, selector=selector, type=kind, present=1, db=1, s=1, g=1
    )
