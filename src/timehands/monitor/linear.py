"""Memory of a guest by linear (virtual) addresses, as one of its vCPUs maps them now.

To be asked while the vCPU is out of the guest.
"""

from __future__ import annotations

from collections.abc import Iterator

from timehands.errors import KvmRefused
from timehands.kvm.vcpu import Vcpu
from timehands.monitor.layout import PAGE

_TOP = 1 << 64


def pieces(vcpu: Vcpu, address: int, length: int) -> Iterator[tuple[int, int]]:
    """The physical address and the size of each piece, page by page, up to one that is not mapped.

    KVM walks the page tables for each (KVM_TRANSLATE). Raises `KvmRefused`.
    """
    end = min(address + length, _TOP)
    while address < end:
        physical = vcpu.translate(address)
        if physical is None:
            return
        size = min(end - address, PAGE - address % PAGE)
        yield physical, size
        address += size


def read_linear(vcpu: Vcpu, address: int, length: int) -> bytes:
    """What lies there, as far as it is mapped, and memory: fewer bytes than ``length``, or none."""
    parts: list[bytes] = []
    try:
        for physical, size in pieces(vcpu, address, length):
            parts.append(vcpu.vm.memory.read(physical, size))
    except (KvmRefused, ValueError):
        pass
    return b"".join(parts)
