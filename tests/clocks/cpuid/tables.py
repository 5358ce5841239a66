"""Small CPUID tables to test with, made from what each CPU would answer."""

from __future__ import annotations

from timehands.clocks.cpuid.layouts import Registers
from timehands.clocks.cpuid.table import CpuidTable, Key

HYPERVISOR_BIT = 1 << 31


def words(text: str) -> list[int]:
    """A text as registers, four bytes each, filled up with zeros."""
    raw = text.encode().ljust(-(-len(text) // 4) * 4, b"\0")
    return [int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)]


def vendor(limit: int, name: str) -> Registers:
    """Leaf 0: the limit and the vendor, which is spread over EBX, EDX, ECX."""
    first, second, third = words(name)
    return Registers(limit, first, third, second)


def hypervisor(limit: int, name: str) -> Registers:
    """A base leaf: the limit and the signature, spread over EBX, ECX, EDX."""
    return Registers(limit, *words(name.ljust(12, "\0")))


def brand(text: str) -> dict[Key, Registers]:
    """The three leaves of a brand string."""
    parts = words(text.ljust(48, "\0"))
    return {(0x80000002 + i, 0): Registers(*parts[4 * i : 4 * i + 4]) for i in range(3)}


#: The answers of a Coffee Lake desktop CPU: it tells everything.
INTEL: dict[Key, Registers] = {
    (0, 0): vendor(0x16, "GenuineIntel"),
    (1, 0): Registers(0x000906EA, 0x00100800, 0x7FFAFBBF, 0xBFEBFBFF),
    (6, 0): Registers(0x27F7, 2, 9, 0),
    (7, 0): Registers(0, 0x029C6FBF, 0x40000000, 0xBC002E00),
    (0x15, 0): Registers(2, 268, 24_000_000, 0),
    (0x16, 0): Registers(3200, 4600, 100, 0),
    (0x80000000, 0): Registers(0x80000008, 0, 0, 0),
    (0x80000001, 0): Registers(0, 0, 0x121, 0x2C100800),
    **brand("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz"),
    (0x80000007, 0): Registers(0, 0, 0, 0x100),
}

#: QEMU 10's -cpu max under TCG: every leaf out of range shows leaf 0xd.
TCG_MAX: dict[Key, Registers] = {
    (0, 0): vendor(0xD, "AuthenticAMD"),
    (1, 0): Registers(0x663, 0x800, 0xFEFA3203, 0x0F8BFBFF),
    (6, 0): Registers(4, 0, 0, 0),
    (7, 0): Registers(1, 0x219C07AB, 0x00410004, 0),
    (0xD, 0): Registers(0x21F, 0x240, 0xA88, 0),
    (0x40000000, 0): hypervisor(0x40000001, "TCGTCGTCGTCG"),
    (0x40000001, 0): Registers(0, 0, 0, 0),
    (0x40000010, 0): Registers(0x21F, 0x240, 0xA88, 0),
    (0x80000000, 0): Registers(0x8000000A, 0, 0, 0),
    (0x80000001, 0): Registers(0x663, 0, 0, 0x2FD3FBFF),
    **brand("QEMU TCG CPU version 2.5+"),
    (0x80000007, 0): Registers(0, 0, 0, 0),
}

#: A KVM guest of QEMU with -cpu qemu64,+invtsc: it tells the frequencies in leaf 0x40000010.
KVM_INVTSC: dict[Key, Registers] = {
    (0, 0): vendor(0xD, "AuthenticAMD"),
    (1, 0): Registers(0x60FB1, 0x800, 0x80A02001, 0x078BFBFD),
    (0x40000000, 0): hypervisor(0x40000010, "KVMKVMKVM"),
    (0x40000001, 0): Registers(0x01007EFB, 0, 0, 0),
    (0x40000010, 0): Registers(2_596_132, 1_000_000, 0, 0),
    (0x80000000, 0): Registers(0x80000008, 0, 0, 0),
    (0x80000007, 0): Registers(0, 0, 0, 0x100),
}

#: A Xen guest whose Xen leaves are at the base 0x40000000.
XEN: dict[Key, Registers] = {
    (0, 0): vendor(1, "GenuineIntel"),
    (1, 0): Registers(0x000906EA, 0x00100800, 0xFFFAFBBF, 0xBFEBFBFF),
    (0x40000000, 0): hypervisor(0x40000005, "XenVMMXenVMM"),
    (0x40000003, 0): Registers(0x6, 0x2, 2_596_864, 0x3),
    (0x40000003, 1): Registers(0x6, 0x2, 0xA7A00000, 0xFFFFFFFF),
    (0x40000003, 2): Registers(2_596_865, 0, 0, 0),
}

#: Hyper-V's own leaves below, KVM's at the next base, as QEMU gives them with hv-* flags.
HYPERV_AND_KVM: dict[Key, Registers] = {
    (0, 0): vendor(1, "GenuineIntel"),
    (1, 0): Registers(0x000906EA, 0x00100800, 0xFFFAFBBF, 0xBFEBFBFF),
    (0x40000000, 0): hypervisor(0x40000005, "Microsoft Hv"),
    (0x40000001, 0): Registers(0x31237648, 0, 0, 0),
    (0x40000003, 0): Registers(0x0A02, 0, 0, 0x100),
    (0x40000100, 0): hypervisor(0x40000101, "KVMKVMKVM"),
    (0x40000101, 0): Registers(0x01000008, 0, 0, 1),
}

ALL = {"intel": INTEL, "tcg": TCG_MAX, "kvm": KVM_INVTSC, "xen": XEN, "hyperv": HYPERV_AND_KVM}


def table(answers: dict[Key, Registers], **changes: Registers | None) -> CpuidTable:
    """A table; ``x40000010=Registers(...)`` changes subleaf 0 of that leaf, None takes it away."""
    changed: dict[Key, Registers] = dict(answers)
    for name, registers in changes.items():
        key = (int(name[1:], 16), 0)
        changed.pop(key, None)
        if registers is not None:
            changed[key] = registers
    return CpuidTable(changed)
