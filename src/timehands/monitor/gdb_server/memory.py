"""A guest's memory as a debugger sees it: without the int3s that stand in it for us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timehands.kvm.vcpu import Vcpu
from timehands.monitor.breakpoints.patches import Patches
from timehands.monitor.linear import pieces


@dataclass(frozen=True, slots=True)
class View:
    """Memory by linear addresses of a vCPU that is out of the guest, or by ``physical`` ones."""

    vcpu: Vcpu
    patches: Patches
    physical: bool = False

    def read(self, address: int, length: int) -> bytes:
        """What lies there, up to the first page that is not mapped, or is no memory.

        Raises `KvmRefused`.
        """
        memory, parts = self.vcpu.vm.memory, []
        for at, size in self._pieces(address, length):
            try:
                data = memory.read(at, size)
            except ValueError:
                break
            parts.append(self.patches.hide(at, data))
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> bool:
        """Put it there; False, and nothing written, where not all of it is memory.

        Raises `KvmRefused`.
        """
        spans = list(self._pieces(address, len(data)))
        if sum(size for _, size in spans) < len(data):
            return False
        done = 0
        try:
            for at, size in spans:
                self.vcpu.vm.memory.read(at, size)
        except ValueError:
            return False
        for at, size in spans:
            self.patches.write(at, data[done : done + size])
            done += size
        return True

    def _pieces(self, address: int, length: int) -> Iterator[tuple[int, int]]:
        return iter([(address, length)]) if self.physical else pieces(self.vcpu, address, length)
