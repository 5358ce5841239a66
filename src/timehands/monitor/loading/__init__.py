"""Putting a kernel and what it is told into a guest's memory, by the protocol that it knows.

PVH where an ELF kernel has the note, Linux's own 32-bit protocol for a bzImage, multiboot 1 for
what has that header (kvm-unit-tests' flat images).
"""

from timehands.monitor.loading.load import Load, load
from timehands.monitor.loading.model import Entry, Placed

__all__ = ["Entry", "Load", "Placed", "load"]
