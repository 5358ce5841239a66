"""A source of entropy: virtio's, from the host's (virtio 1.2, 5.4)."""

from __future__ import annotations

import os

from timehands.kvm.memory import GuestMemory
from timehands.monitor.devices.virtio.numbers import DeviceId
from timehands.monitor.devices.virtio.rings import Chain, RingBroken, write

#: No request gets more than this: it need not be filled.
MAX_BYTES = 64 << 10


class Entropy:
    """The device. It keeps nothing."""

    id = DeviceId.ENTROPY
    features = 0
    config = b""

    def serve(self, memory: GuestMemory, chain: Chain, _features: int) -> int:
        """Random bytes."""
        if chain.readable:
            raise RingBroken("entropy is asked for with something to read")
        data = os.urandom(min(chain.writable_bytes, MAX_BYTES))
        write(memory, chain, 0, data)
        return len(data)
