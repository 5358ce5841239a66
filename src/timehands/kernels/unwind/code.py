"""Callers by the code itself: what a function has pushed when it is at an instruction.

The function is followed from its first instruction along its jumps, and the stack pointer (and rbp,
where it is a frame pointer) counted along. That needs its symbol and its code, no tables, and is
exact also before, between and after the instructions that make and undo a frame. What the code does
to its stack by a number that is not in the code (alloca, alignment) is known no more.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory
from timehands.kernels.unwind.frames import TOP, WORD, Caller, Cursor, How, returned_to
from timehands.kernels.unwind.image import Function, Image, read_word

#: What is followed of one function at most, in bytes.
_MAX_CODE: Final = 1 << 16
_MAX_DEPTH: Final = 1 << 20
_KEPT_FUNCTIONS: Final = 2048
_MAX_NAMESAKES: Final = 8
_PRESERVED: Final = ("rbx", "rbp", "r12", "r13", "r14", "r15")
_OTHERS: Final = ("rbx", "r12", "r13", "r14", "r15")
_NUMBER: Final = r"(-?(?:0x[0-9a-f]+|\d+))"
_ADJUST: Final = re.compile(rf"rsp, {_NUMBER}")
_ADDRESS: Final = re.compile(rf"rsp, (?:qword ptr )?\[(rsp|rbp)(?: ([+-]) {_NUMBER})?\]")
_TARGET: Final = re.compile(r"0x[0-9a-f]+")
#: Nothing comes after these: the next instruction, if any, is reached from elsewhere.
_LAST: Final = frozenset(("ret", "iretq", "ud2", "hlt", "sysretq"))


@dataclass(frozen=True, slots=True)
class Shape:
    """The stack before an instruction, in bytes below where the caller's stack pointer will be.

    ``depth``: of the stack pointer; ``base``: of rbp, None when it is no frame pointer; ``saved``:
    where the caller's registers lie. ``depth`` None: it is not to be known.
    """

    depth: int | None = WORD
    base: int | None = None
    saved: tuple[tuple[str, int], ...] = ()


class Step(NamedTuple):
    """One instruction: address, bytes, mnemonic, operands as capstone prints them."""

    address: int
    size: int
    name: str
    operands: str


class Followed:
    """A function whose code was followed.

    Attributes:
        shapes: before each instruction that can be reached, by address.
        exits: where it jumps to outside of itself, with the shape there.
        switch: the shape at its last jump through a table: it is that of the table's cases.
    """

    def __init__(self) -> None:
        self.shapes: dict[int, Shape] = {}
        self.exits: list[tuple[int, Shape]] = []
        self.switch: Shape | None = None
        self._ends: dict[int, int] = {}
        self._places: list[int] | None = None

    def at(self, address: int) -> Shape | None:
        """The shape at the instruction that holds an address; None: it was not reached."""
        if self._places is None:
            self._places = sorted(self.shapes)
        index = bisect_right(self._places, address) - 1
        if index < 0 or address >= self._ends[self._places[index]]:
            return None
        return self.shapes[self._places[index]]

    def spread(self, steps: Mapping[int, Step], address: int, shape: Shape) -> None:
        """Follow the code from an instruction to where it was before."""
        pending = [(address, shape)]
        while pending:
            address, shape = pending.pop()
            step = steps.get(address)
            if step is None:
                self.exits.append((address, shape))
            elif address not in self.shapes:
                self.shapes[address] = shape
                self._ends[address] = address + step.size
                pending += _next(step, _after(step, shape))


class Code:
    """The functions of one kernel that were followed."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._followed: dict[int, Followed] = {}

    def caller(self, image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
        """The caller; None: the code does not tell. Raises `Unreadable`."""
        function = image.function(cursor.lookup)
        if function is None:
            return None if image.in_text(cursor.lookup) else _bad_call(image, cursor, memory)
        shape = self._follow(image, function).at(image.linked(cursor.lookup))
        return None if shape is None else _by_shape(image, cursor, memory, shape, function)

    def _follow(self, image: Image, function: Function) -> Followed:
        start = image.linked(function.start)
        if start not in self._followed:
            if len(self._followed) >= _KEPT_FUNCTIONS:
                self._followed.clear()
            code = image.code(function.start, min(function.size or _MAX_CODE, _MAX_CODE))
            self._followed[start] = follow(code, start, *self._entries(image, function))
        return self._followed[start]

    def _entries(self, image: Image, function: Function) -> list[tuple[int, Shape]]:
        """Where a function is entered, and how its stack is there.

        Of a part that gcc moved away (``name.cold``) that is where the function jumps into it.
        """
        start = image.linked(function.start)
        whole, _, _ = function.name.partition(".cold")
        if whole == function.name:
            return [(start, Shape())]
        entries: list[tuple[int, Shape]] = []
        for address in self._kernel.symbols.lookup(whole)[:_MAX_NAMESAKES]:
            if parent := image.function((address + image.slide) % TOP):
                followed = self._follow(image, parent)
                inside = [one for one in followed.exits if 0 <= one[0] - start < function.size]
                switch = [(start, followed.switch)] if followed.switch and not inside else []
                entries += inside or switch
        return entries


def _bad_call(image: Image, cursor: Cursor, memory: Memory) -> Caller | None:
    """What called a bad pointer: nothing has been pushed yet."""
    rip = read_word(memory, cursor.sp) if cursor.exact else 0
    if not image.after_call(rip):
        return None
    kept = {name: cursor.registers.get(name) for name in _PRESERVED}
    return returned_to(rip, cursor.sp + WORD, How.RETURN_ADDRESS, kept)


def _by_shape(
    image: Image, cursor: Cursor, memory: Memory, shape: Shape, function: Function
) -> Caller | None:
    """The caller by the frame pointer where there is one, else by the stack pointer."""
    places: list[tuple[int, How]] = []
    rbp = cursor.registers.get("rbp")
    if shape.base is not None and rbp is not None and rbp >= cursor.sp - WORD:
        places.append((rbp + shape.base, How.FRAME_POINTER))
    if shape.depth is not None:
        how = How.RETURN_ADDRESS if cursor.pc == function.start else How.CODE
        places.append((cursor.sp + shape.depth, how))
    for cfa, how in places:
        rip = read_word(memory, cfa - WORD)
        if rip == 0 or image.after_call(rip):
            kept = {name: cursor.registers.get(name) for name in _PRESERVED}
            # what lies below the stack pointer was taken back already
            saved = [one for one in shape.saved if cfa - one[1] >= cursor.sp]
            kept |= {name: read_word(memory, cfa - depth) for name, depth in saved}
            return returned_to(rip, cfa, how, kept)
    return None


def follow(code: bytes, start: int, *entries: tuple[int, Shape]) -> Followed:
    """Follow a function's code from where it is entered, each with the shape there."""
    steps = {step.address: step for step in _disassemble(code, start)}
    followed = Followed()
    for address, shape in entries:
        followed.spread(steps, address, shape)
    before = False
    for address, step in steps.items():
        if address in followed.shapes:
            if step.name == "jmp" and not _TARGET.fullmatch(step.operands):
                followed.switch = followed.shapes[address]
        elif followed.switch and before and "nop" not in step.name:
            followed.spread(steps, address, followed.switch)
        before = _ends(step) or (before and "nop" in step.name)
    return followed


def _disassemble(code: bytes, start: int) -> list[Step]:
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    engine = Cs(CS_ARCH_X86, CS_MODE_64)
    engine.skipdata = True
    return [
        Step(address, size, name.rpartition(" ")[2], operands)  # without notrack, bnd, rep
        for address, size, name, operands in engine.disasm_lite(code, start)
    ]


def _ends(step: Step) -> bool:
    """Whether the next instruction is reached from elsewhere, if at all."""
    return step.name in _LAST or step.name == "jmp"


def _next(step: Step, shape: Shape) -> list[tuple[int, Shape]]:
    """What may run after an instruction."""
    jumps = step.name.startswith(("j", "loop"))
    target = _TARGET.fullmatch(step.operands) if jumps else None
    there = [(int(target[0], 16), shape)] if target else []
    return there if _ends(step) else [*there, (step.address + step.size, shape)]


def _after(step: Step, shape: Shape) -> Shape:
    """The shape when an instruction is done."""
    name, operands = step.name, step.operands
    if name == "push":
        return _push(shape, operands)
    if name == "pop":
        return _pop(shape, operands)
    if name == "pushfq":
        return _moved(shape, WORD)
    if name == "popfq":
        return _moved(shape, -WORD)
    if name == "leave":
        depth = None if shape.base is None else shape.base - WORD
        return _forget(replace(shape, depth=depth, base=None), "rbp")
    if operands == "rbp, rsp" and name == "mov":
        return replace(shape, base=shape.depth)
    if operands == "rsp, rbp" and name == "mov":
        return replace(shape, depth=shape.base)
    if operands.startswith("rsp, ") or (name == "xchg" and "rsp" in operands):
        return _set(shape, name, operands)
    if operands.startswith(("rbp, ", "ebp, ")) and name not in ("cmp", "test"):
        return replace(shape, base=None)
    return shape


def _push(shape: Shape, operand: str) -> Shape:
    pushed = _moved(shape, WORD)
    known = {name for name, _ in shape.saved}
    if operand in _PRESERVED and operand not in known and pushed.depth is not None:
        return replace(pushed, saved=(*shape.saved, (operand, pushed.depth)))
    return pushed


def _pop(shape: Shape, operand: str) -> Shape:
    if operand == "rsp":
        return replace(shape, depth=None)
    popped = _moved(shape, -WORD)
    if operand == "rbp":
        popped = replace(popped, base=None)
    return _forget(popped, operand) if (operand, shape.depth) in shape.saved else popped


def _forget(shape: Shape, name: str) -> Shape:
    """A register that has its caller's value again."""
    return replace(shape, saved=tuple(one for one in shape.saved if one[0] != name))


def _moved(shape: Shape, by: int) -> Shape:
    depth = None if shape.depth is None else shape.depth + by
    return replace(shape, depth=depth if depth and 0 < depth <= _MAX_DEPTH else None)


def _set(shape: Shape, name: str, operands: str) -> Shape:
    """The stack pointer was set."""
    adjusted = _ADJUST.fullmatch(operands)
    if adjusted and name in ("sub", "add"):
        by = int(adjusted[1], 0)
        return _moved(shape, by if name == "sub" else -by)
    loaded = _ADDRESS.fullmatch(operands)
    if loaded and name == "lea":
        offset = int(loaded[3] or "0", 0) * (-1 if loaded[2] == "-" else 1)
        base = shape.depth if loaded[1] == "rsp" else shape.base
        return _moved(replace(shape, depth=base), -offset)
    return shape if name in ("cmp", "test") else replace(shape, depth=None)
