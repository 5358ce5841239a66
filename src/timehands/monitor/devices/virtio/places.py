"""Where a guest's virtio devices are: known from its settings, before it is made.

A kernel finds them only when its command line says so, and each system spells that its own way.
Who writes the command line takes the numbers from here.
"""

from __future__ import annotations

from typing import NamedTuple

from timehands.monitor.layout import VIRTIO_FIRST_IRQ, VIRTIO_MMIO, VIRTIO_MMIO_STEP


class VirtioPlace(NamedTuple):
    """A device's registers: ``size`` bytes at ``address``; ``irq`` is an ISA interrupt.

    ``name``: ``disk`` or ``entropy``.
    """

    name: str
    address: int
    size: int
    irq: int


def places(*names: str) -> tuple[VirtioPlace, ...]:
    """One page and one interrupt for each, in this order."""
    return tuple(
        VirtioPlace(
            name,
            VIRTIO_MMIO + number * VIRTIO_MMIO_STEP,
            VIRTIO_MMIO_STEP,
            VIRTIO_FIRST_IRQ + number,
        )
        for number, name in enumerate(names)
    )
