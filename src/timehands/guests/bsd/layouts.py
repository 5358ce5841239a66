"""Where the members of struct timecounter are, by a timecounter that every BSD kernel file holds.

``dummy_timecounter`` (sys/kern/kern_tc.c) has values that are known: mask ~0, frequency 1,000,000,
name "dummy", quality -1,000,000. So the file itself says where they are, without debug information
and whatever the release: OpenBSD dropped ``tc_poll_pps``, which moved the rest by eight bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from timehands.guests.base import code_at
from timehands.kernels.kernel import Kernel

Layout = dict[str, int]

DUMMY_HZ = 1_000_000
DUMMY_QUALITY = -1_000_000
_MASK = 0xFFFFFFFF
_NAME = b"dummy\0"
_BYTES = 96
#: sys/timetc.h of NetBSD, and of OpenBSD until it dropped ``tc_poll_pps``.
_LP64: Layout = {"tc_counter_mask": 16, "tc_frequency": 24, "tc_name": 32, "tc_quality": 40}


def timecounter_layout(kernel: Kernel, *, further: int = 0) -> Layout:
    """The offset in bytes of each member that is read.

    ``tc_next`` follows ``tc_priv``, which follows ``tc_quality``; ``further``: the bytes of what
    the system has between these two.
    """
    found = _from_dummy(kernel) or dict(_LP64)
    private = (found["tc_quality"] + 4 + 7) // 8 * 8
    return {**found, "tc_next": private + 8 + further}


def _from_dummy(kernel: Kernel) -> Layout | None:
    """The offsets that the dummy shows; None when the file has none that is one."""
    for address in kernel.symbols.lookup("dummy_timecounter")[:1]:
        raw = code_at(kernel, address, _BYTES)
        frequency = _find(raw, "<Q", lambda value: value == DUMMY_HZ)
        found = {
            "tc_counter_mask": _mask_before(raw, frequency),
            "tc_frequency": frequency,
            "tc_name": _find(raw, "<Q", lambda value: code_at(kernel, value, len(_NAME)) == _NAME),
            "tc_quality": _find(raw, "<i", lambda value: value == DUMMY_QUALITY),
        }
        known = {name: offset for name, offset in found.items() if offset is not None}
        return known if len(known) == len(found) else None
    return None


def _mask_before(raw: bytes, frequency: int | None) -> int | None:
    """The mask is the member before the frequency, which begins at a multiple of eight."""
    if not frequency or frequency < 8:
        return None
    offset = frequency - 8
    return offset if struct.unpack_from("<I", raw, offset)[0] == _MASK else None


def _find(raw: bytes, form: str, is_it: Callable[[int], bool]) -> int | None:
    """The offset of the first aligned value that is it."""
    size = struct.calcsize(form)
    for offset in range(0, len(raw) - size + 1, size):
        if is_it(struct.unpack_from(form, raw, offset)[0]):
            return offset
    return None
