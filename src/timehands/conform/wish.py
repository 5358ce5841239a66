"""How the conformance guest is to run, whatever it runs on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

MEMORY_MIB = 64
#: How much of what a VMM says may wait for us, in pieces.
WAITING = 100_000
#: How long a machine is stopped for.
STILL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Wish:
    """``vcpus``, and words of the guest's command line."""

    vcpus: int = 2
    arguments: tuple[str, ...] = ()


async def stand_still() -> int:
    """Wait while a machine is stopped. Returns how long it certainly was, in ns."""
    began_ns = time.monotonic_ns()
    await asyncio.sleep(STILL_SECONDS)
    return time.monotonic_ns() - began_ns
