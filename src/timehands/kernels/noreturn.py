"""Functions that never return: behind a call of one there is no code that was meant to run.

Sources: DW_AT_noreturn (DWARF 5 section 3.3.1; GCC and Clang give it in DWARF 4 too); the names are
those of the kernels' declarations (FreeBSD sys/sys/systm.h and proc.h, NetBSD sys/sys/systm.h and
reboot.h, OpenBSD sys/sys/systm.h, Linux include/linux/panic.h and sched/task.h).
"""

from __future__ import annotations

from typing import Final

from timehands.errors import KernelDamaged
from timehands.kernels.dwarf import numbers as n
from timehands.kernels.dwarf.units import Entry
from timehands.kernels.kernel import Kernel

#: Asked only where debug information does not tell.
NAMES: Final = frozenset(
    ("panic", "vpanic", "kern_reboot", "cpu_reboot", "reboot", "exit1", "do_exit",
     "make_task_dead", "__stack_chk_fail")
)  # fmt: skip


def never_returns(kernel: Kernel, address: int) -> bool:
    """Whether the function that begins at an address is one that never returns."""
    place = kernel.symbols.find(address)
    if place is None or place.offset:
        return False
    if kernel.dwarf is not None:
        try:
            function = kernel.dwarf.function_at(address)
            if function is not None and isinstance(function.entry, Entry):
                origin = kernel.dwarf.search.origin(function.entry)
                return any(one and one.has(n.AT_NORETURN) for one in (function.entry, origin))
        except KernelDamaged:
            pass
    return place.name.split(".")[0] in NAMES
