"""Software breakpoints: an int3 in place of an instruction's first byte, and that byte kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from timehands.errors import BreakpointImpossible
from timehands.kvm.memory import GuestMemory
from timehands.monitor.breakpoints.model import Point

INT3 = 0xCC


@dataclass(slots=True)
class _Patch:
    physical: int
    kept: int
    lifted: int = 0


class Patches:
    """The int3s in a guest's memory, by the linear address that they were asked for.

    One stands at a physical address: whoever else maps that page meets it too. While one vCPU gets
    past it, it is away for all: another that runs meanwhile may pass it without a stop.
    """

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._patches: dict[Point, _Patch] = {}

    def __len__(self) -> int:
        return len(self._patches)

    def at_physical(self, physical: int) -> list[Point]:
        """The points whose int3 stands at that byte of memory, or is lifted."""
        return [p for p, each in self._patches.items() if each.physical == physical]

    def insert(self, point: Point, physical: int | None) -> None:
        """Put an int3. ``physical`` is where the point's page is mapped, None where it is not.

        Raises `BreakpointImpossible` where there is no memory.
        """
        try:
            if physical is None:
                raise ValueError("it is not mapped")
            kept = self._kept(physical)
            self._memory.write(physical, bytes([INT3]))
        except ValueError as error:
            raise BreakpointImpossible(point, f"{error}") from None
        self._patches[point] = _Patch(physical, kept)

    def remove(self, point: Point) -> None:
        """Put the byte back, unless another point's int3 stands there, or the guest wrote another
        byte meanwhile."""
        patch = self._patches.pop(point)
        if not self._others(patch.physical) and self._byte(patch.physical) == INT3:
            self._memory.write(patch.physical, bytes([patch.kept]))

    def lift(self, point: Point) -> None:
        """Put the byte back for one step of a vCPU; nothing for a point that has no int3."""
        with self._lock:
            patch = self._patches.get(point)
            if patch is None:
                return
            patch.lifted += 1
            if self._byte(patch.physical) == INT3:
                self._memory.write(patch.physical, bytes([patch.kept]))

    def lower(self, point: Point) -> None:
        """The step is done: put the int3 again, when it was the last one to want it away. Not when
        the point was removed meanwhile, or is none of ours, or the guest has changed its code."""
        with self._lock:
            patch = self._patches.get(point)
            if patch is None or not patch.lifted:
                return
            patch.lifted -= 1
            if not patch.lifted and self._byte(patch.physical) == patch.kept:
                self._memory.write(patch.physical, bytes([INT3]))

    def hide(self, physical: int, data: bytes) -> bytes:
        """Memory that was read, with the bytes that would stand there without us."""
        shown = bytearray(data)
        for patch in self._patches.values():
            at = patch.physical - physical
            if 0 <= at < len(shown) and shown[at] == INT3:
                shown[at] = patch.kept
        return bytes(shown)

    def write(self, physical: int, data: bytes) -> None:
        """Write memory around the int3s: what is written under one shows when it is removed.

        Raises `ValueError` where there is no memory.
        """
        held = bytearray(data)
        self._memory.write(physical, data)
        for patch in self._patches.values():
            at = patch.physical - physical
            if 0 <= at < len(held):
                patch.kept, held[at] = data[at], INT3
        self._memory.write(physical, bytes(held))

    def _kept(self, physical: int) -> int:
        for patch in self._others(physical):
            return patch.kept
        return self._byte(physical)

    def _others(self, physical: int) -> list[_Patch]:
        return [each for each in self._patches.values() if each.physical == physical]

    def _byte(self, physical: int) -> int:
        return self._memory.read(physical, 1)[0]
