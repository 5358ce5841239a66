"""Random numbers that are the same on every Python: a stream for each actor, from one seed.

SplitMix64 (Steele, Lea, Flood 2014; as in Java's SplittableRandom and Vigna's splitmix64.c). An
actor's stream depends on the seed and on its own name alone, so that what one does never changes
what another does.
"""

from __future__ import annotations

import hashlib

U64 = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


class Stream:
    """An actor's random numbers."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self._state = int.from_bytes(digest[:8], "little")

    def next(self) -> int:
        """64 bits."""
        self._state = (self._state + _GAMMA) & U64
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & U64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & U64
        return z ^ (z >> 31)

    def between(self, low: int, high: int) -> int:
        """Uniform in ``low..high``, both included: the high bits of a product (bias < 2**-32 for
        ranges below 2**32).
        """
        return low + (self.next() * (high - low + 1) >> 64)

    def percent(self, chance: int) -> bool:
        """True in ``chance`` of 100 cases."""
        return self.next() * 100 >> 64 < chance
