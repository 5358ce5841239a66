"""Callers without tables: by frame pointers, by the code around, and by guessing.

A function that keeps a frame pointer does it between ``push %rbp; mov %rsp, %rbp`` and its ``pop
%rbp`` or ``leave``. Outside of that the return address lies elsewhere: the code tells where.
"""

from __future__ import annotations

import re
from typing import Final

from timehands.kernels.memory import Memory, Unreadable
from timehands.kernels.unwind.frames import WORD, Caller, Cursor, How, returned_to
from timehands.kernels.unwind.image import Function, Image, read_word

#: push %rbp; up to 16 bytes of other instructions; mov %rsp, %rbp in either encoding.
_PROLOGUE: Final = re.compile(rb"\x55(.{0,16}?)\x48(?:\x89\xe5|\x8b\xec)", re.DOTALL)
#: The furthest into a function that its prologue is looked for, in bytes.
_FURTHEST: Final = 4096
#: ret, ret with a number, repz ret; or a jump right after pop %rbp or leave.
_RETURN: Final = re.compile(rb"\xc3|\xc2|\xf3\xc3")
_LEFT: Final = re.compile(rb"[\x5d\xc9](?:\xe9|\xeb|\xff|\x41\xff)", re.DOTALL)
#: The furthest up the stack that a return address is looked for, in words.
_SCANNED: Final = 128
#: The largest frame that is believed, in bytes.
_LARGEST: Final = 1 << 16


def by_code(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """The caller of a function that has no frame pointer yet, or no longer, or never."""
    if not cursor.exact:
        return None
    function = image.function(cursor.pc)
    if function is None and image.in_text(cursor.pc):
        return None
    # outside the code: it was called through a bad pointer
    pushed = _pushed(image, function, cursor.pc) if function else 0
    if pushed is None:
        return None
    at = cursor.sp + pushed
    rip = read_word(memory, at)
    if not image.after_call(rip):
        return None
    rbp = read_word(memory, cursor.sp) if pushed else cursor.registers.get("rbp")
    kept = {**_preserved(cursor), "rbp": rbp}
    return returned_to(rip, at + WORD, How.RETURN_ADDRESS, kept)


def _pushed(image: Image, function: Function, pc: int) -> int | None:
    """Bytes on the stack above the return address; None: a frame pointer is in force."""
    if pc == function.start or _RETURN.match(image.code(pc, 2)):
        return 0
    if _LEFT.match(image.code(pc - 1, 3)):
        return 0
    found = _prologue(image, function)
    offset = pc - function.start
    if found is None or offset <= found.start():
        return 0
    return WORD if offset < found.end() else None


def _prologue(image: Image, function: Function) -> re.Match[bytes] | None:
    length = min(function.size or _FURTHEST, _FURTHEST)
    return _PROLOGUE.search(image.code(function.start, length))


def by_frame_pointer(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """The caller by rbp; None when rbp is no frame pointer."""
    rbp = cursor.registers.get("rbp")
    if rbp is None or rbp % WORD or not cursor.sp <= rbp + WORD < cursor.sp + _LARGEST:
        return None
    function = image.function(cursor.lookup)
    if function is not None:
        found = _prologue(image, function)
        if found is None or cursor.pc - function.start < found.end():
            return None
    rip = read_word(memory, rbp + WORD)
    if rip and not image.after_call(rip):
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


def _preserved(cursor: Cursor) -> dict[str, int | None]:
    return {name: cursor.registers.get(name) for name in ("rbx", "r12", "r13", "r14", "r15")}
