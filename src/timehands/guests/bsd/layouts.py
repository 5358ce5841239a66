"""Where the members of the structures are that hold a BSD kernel's clocks.

The kernel's own types say it where the file has them. Else a timecounter does that every BSD kernel
holds: ``dummy_timecounter`` (sys/kern/kern_tc.c) has values that are known, mask ~0, frequency
1,000,000, name "dummy", quality -1,000,000. So the file says where they are, whatever the release:
OpenBSD dropped ``tc_poll_pps``, which moved the rest by eight bytes.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable

from timehands.errors import KernelError
from timehands.guests.base import code_at
from timehands.kernels.kernel import Kernel
from timehands.kernels.types import Struct

Layout = dict[str, int]

DUMMY_HZ = 1_000_000
DUMMY_QUALITY = -1_000_000
_MASK = 0xFFFFFFFF
_NAME = b"dummy\0"
_BYTES = 96
_MEMBERS = ("tc_counter_mask", "tc_frequency", "tc_name", "tc_quality", "tc_next")
#: sys/timetc.h of NetBSD, and of OpenBSD until it dropped ``tc_poll_pps``.
_LP64: Layout = {"tc_counter_mask": 16, "tc_frequency": 24, "tc_name": 32, "tc_quality": 40}


def timecounter_layout(kernel: Kernel, *, further: int = 0) -> Layout:
    """The offset in bytes of each member that is read.

    Without types ``tc_next`` is taken to follow ``tc_priv``, which follows ``tc_quality``;
    ``further``: the bytes of what the system has between these two.
    """
    found = [offset_of(kernel, "timecounter", member) for member in _MEMBERS]
    known = {m: offset for m, offset in zip(_MEMBERS, found, strict=True) if offset is not None}
    if len(known) == len(_MEMBERS):
        return known
    seen = _from_dummy(kernel) or dict(_LP64)
    private = (seen["tc_quality"] + 4 + 7) // 8 * 8
    return {**seen, "tc_next": private + 8 + further}


def offset_of(kernel: Kernel, name: str, *members: str) -> int | None:
    """The offset of a member, or of one in a member's structure; None: no types tell it."""
    with contextlib.suppress(KernelError):
        types = kernel.type_source
        of = types.struct(name) if types else None
        offset = 0
        for member in members:
            found = of.member(member) if of else None
            if found is None:
                return None
            offset += found.offset
            of = found.type if isinstance(found.type, Struct) else None
        return offset
    return None


def name_of(kernel: Kernel, enum: str, value: int | None) -> str | None:
    """The name of an enumeration's value; None: no types tell it."""
    with contextlib.suppress(KernelError):
        types = kernel.type_source
        names = types.enum(enum) if types and value is not None else None
        return next((n for n, v in names.values.items() if v == value), None) if names else None
    return None


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
