"""Backtraces of a kernel that stands still: each frame by the best way that there is.

::

    trace = backtrace(kernel, registers, memory)
    print(trace)            # numbered lines, each naming how it was found
    trace.names             # ("pvclock_get_timecount", "xen_delay", "ns8250_bus_attach", ...)
    trace.ended             # why there are no more frames

The ways, best first: a trap frame (in entry code), ORC, DWARF CFI, the function's own code
(what it has pushed, its frame pointer), rbp alone, and a scan of the stack, which is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory, Unreadable
from timehands.kernels.unwind.cfi import Cfi
from timehands.kernels.unwind.code import Code
from timehands.kernels.unwind.frames import Backtrace, Caller, Cursor, End, Frame, How
from timehands.kernels.unwind.image import Image
from timehands.kernels.unwind.orc import Orc
from timehands.kernels.unwind.pointers import by_frame_pointer, by_scan
from timehands.kernels.unwind.source import in_source
from timehands.kernels.unwind.traps import by_trap_frame

Way = Callable[[Image, Cursor, Memory], Caller | None]
#: More frames than this are never looked for.
MOST: Final = 1024
#: Where boots and threads begin: nothing called these.
_BEGINNINGS: Final = {
    # sys/amd64/amd64/{locore,exception,mpboot,xen-locore}.S
    "freebsd": r"btext|xen_start|xen_start32|start_kernel|fork_trampoline|mptramp_start",
    # sys/arch/amd64/amd64/{locore,mptramp}.S
    "netbsd": r"start|longmode_hi|start_pvh|start_genpvh|lwp_trampoline|cpu_spinup_trampoline",
    # sys/arch/amd64/amd64/{locore,mptramp}.S
    "openbsd": r"start|locore|proc_trampoline|cpu_spinup_trampoline",
    # arch/x86/kernel/head_64.S, arch/x86/platform/pvh/head.S, arch/x86/entry/entry_64.S
    "linux": r"startup_64|secondary_startup_64\w*|pvh_start_xen|ret_from_fork(?:_asm)?",
}
_kept: WeakKeyDictionary[Kernel, tuple[Image, tuple[Way, ...]]] = WeakKeyDictionary()


def backtrace(
    kernel: Kernel,
    registers: Mapping[str, int],
    memory: Memory,
    most: int = 32,
    *,
    slide: int = 0,
    source: bool = True,
) -> Backtrace:
    """Who called what is under way, innermost first.

    Args:
        kernel: of the guest.
        registers: by name, in lower case: ``rip`` and ``rsp`` at least, with ``rbp``, ``rbx`` and
            ``r12`` to ``r15`` it goes further.
        memory: of the guest, by virtual address. Only its stack is read.
        most: this many frames at most (and at most `MOST`).
        slide: how far the kernel was moved from where it was linked (KASLR), in bytes.
        source: tell places in the source and inlined functions where the kernel has DWARF; the
            first time that takes some 50 ms a frame. Inlined ones do not count for ``most``.

    Returns:
        The frames; the first is where ``rip`` is. Memory that cannot be read ends it (``ended``
        says so), it never raises for what the guest or the kernel's tables hold.
    """
    if "rip" not in registers or "rsp" not in registers:
        return Backtrace((), "rip and rsp are not known")
    if kernel not in _kept:
        _kept[kernel] = Image(kernel), _ways(kernel)
    image, ways = _kept[kernel]
    walk = _Walk(Image(kernel, slide) if slide else image, ways, memory)
    frames: list[Frame] = []
    for frame, address in walk.frames(Cursor(dict(registers)), max(0, min(most, MOST))):
        frames += in_source(kernel, frame, address) if source else [frame]
    return Backtrace(frames, walk.ended)


def _ways(kernel: Kernel) -> tuple[Way, ...]:
    orc, cfi = Orc(kernel), Cfi(kernel)
    tables: list[Way] = [orc.caller] if orc.usable else []
    tables += [cfi.caller] if cfi.usable else []
    return (by_trap_frame, *tables, Code(kernel).caller, by_frame_pointer, by_scan)


class _Walk:
    """One backtrace in the making; ``ended`` is set when it is over."""

    def __init__(self, image: Image, ways: tuple[Way, ...], memory: Memory) -> None:
        self._image = image
        self._ways = ways
        self._memory = memory
        self.ended = ""

    def frames(self, cursor: Cursor, most: int) -> Iterator[tuple[Frame, int]]:
        """The frames, the cursor's first, each with an address (as linked) within the instruction
        that was under way."""
        how, seen = How.REGISTER, set[tuple[int, int]]()
        for _ in range(most):
            caller = self._caller(cursor)
            yield self._frame(cursor, how, caller), self._image.linked(cursor.lookup)
            if caller is None:
                return
            seen.add((cursor.pc, cursor.sp))
            if (caller.cursor.pc, caller.cursor.sp) in seen:
                self.ended = "the stack leads back to itself"
                return
            cursor, how = caller.cursor, caller.how
        self.ended = f"more than {most} frames"

    def _frame(self, cursor: Cursor, how: How, caller: Caller | None) -> Frame:
        function = self._image.function(cursor.lookup)
        returns = caller is not None and not caller.cursor.exact
        return Frame(
            pc=cursor.pc,
            name=function.name if function else "",
            offset=cursor.pc - function.start if function else 0,
            how=how,
            cfa=caller.cursor.sp if caller and returns else None,
        )

    def _caller(self, cursor: Cursor) -> Caller | None:
        """The caller; None: there is none, and ``ended`` says why."""
        function = self._image.function(cursor.lookup)
        beginnings = _BEGINNINGS.get(self._image.kernel.os, "start|_start")
        if function and re.fullmatch(beginnings, function.name):
            self.ended = f"{function.name} is where it began"
            return None
        try:
            return self._checked(self._nearest(cursor), cursor)
        except Unreadable as error:
            self.ended = f"memory at {error.address:#x} cannot be read"
        except End as end:
            self.ended = str(end)
        return None

    def _nearest(self, cursor: Cursor) -> Caller:
        """The caller by the first way that leads into the kernel."""
        astray: Caller | None = None
        for way in self._ways:
            found = way(self._image, cursor, self._memory)
            if found is None:
                continue
            if self._image.in_text(found.cursor.lookup):
                return found
            if astray is None:
                astray = found
            if not found.cursor.pc:
                break
        if astray is not None:
            return astray
        raise End("no return address was found")

    def _checked(self, caller: Caller, cursor: Cursor) -> Caller:
        """The caller, if it may be one: in the kernel, and further up the stack (that of an
        interrupt may lie anywhere, and Linux' tables lead from it to the one before)."""
        pc = caller.cursor.pc
        if not caller.cursor.exact:
            if pc == 0:
                raise End("the return address is null")
            if not self._image.in_text(pc - 1):
                raise End(f"the return address {pc:#x} is outside the kernel's code")
            if caller.how is not How.ORC and not cursor.sp < caller.cursor.sp:
                raise End("the stack does not go on upwards")
        return caller
