"""Callers without tables and without a known function: by rbp alone, and by guessing."""

from __future__ import annotations

from typing import Final

from timehands.kernels.memory import Memory, Unreadable
from timehands.kernels.unwind.frames import WORD, Caller, Cursor, How, returned_to
from timehands.kernels.unwind.image import Image, read_word

#: The furthest up the stack that a return address is looked for, in words.
_SCANNED: Final = 128
#: The largest frame that is believed, in bytes.
_LARGEST: Final = 1 << 16


def by_frame_pointer(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """The caller by rbp where no symbol tells whose code this is; None when rbp leads nowhere."""
    rbp = cursor.registers.get("rbp")
    if rbp is None or rbp % WORD or not cursor.sp <= rbp + WORD < cursor.sp + _LARGEST:
        return None
    if image.function(cursor.lookup) is not None:
        return None
    rip = read_word(memory, rbp + WORD)
    if not image.after_call(rip):
        return None
    kept = {"rbp": read_word(memory, rbp)}
    return returned_to(rip, rbp + 2 * WORD, How.FRAME_POINTER, kept)


def by_scan(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """The nearest word on the stack that may be a return address: a guess."""
    for at in range(cursor.sp, cursor.sp + _SCANNED * WORD, WORD):
        try:
            rip = read_word(memory, at)
        except Unreadable:
            return None
        if image.after_call(rip):
            kept = {"rbp": cursor.registers.get("rbp")}
            return returned_to(rip, at + WORD, How.SCAN, kept)
    return None
