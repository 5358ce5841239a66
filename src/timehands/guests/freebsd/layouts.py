"""Where the members are that Timehands reads from FreeBSD's structures.

The kernel's own types say it where the file has them. Else the layout that LP64 gives to what the
sources declare (sys/timetc.h, sys/timeet.h, x86/include/init.h, x86/include/frame.h), unchanged
since FreeBSD 10; what is read by it is checked for plausibility.
"""

from __future__ import annotations

import functools

from timehands.errors import KernelError
from timehands.kernels.kernel import Kernel

Layout = dict[str, int]

_LP64: dict[str, Layout] = {
    "timecounter": {
        "tc_counter_mask": 16,
        "tc_frequency": 24,
        "tc_name": 32,
        "tc_quality": 40,
        "tc_flags": 44,
        "tc_next": 56,
    },
    "eventtimer": {
        "et_all": 0,
        "et_name": 8,
        "et_flags": 16,
        "et_quality": 20,
        "et_frequency": 32,
    },
    "init_ops": {"early_clock_source_init": 8, "early_delay": 16},
    "trapframe": {"tf_rbp": 64, "tf_trapno": 120, "tf_addr": 128, "tf_rip": 152},
}


@functools.lru_cache(maxsize=64)
def layout(kernel: Kernel, struct: str) -> Layout:
    """The offset of each member that is read, in bytes."""
    known = _by_types(kernel, struct)
    return {name: known.get(name, offset) for name, offset in _LP64[struct].items()}


def _by_types(kernel: Kernel, struct: str) -> Layout:
    """What the kernel's own types say; nothing where it has none, or they are damaged."""
    try:
        kind = kernel.type_source.struct(struct) if kernel.type_source else None
        members = kind.named_members() if kind else ()
        return {member.name: member.offset for member in members}
    except KernelError:
        return {}
