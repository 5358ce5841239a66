"""TSLOG: the boot log that FreeBSD and NetBSD keep of themselves, read from guest memory.

::

    log = read_tslog(kernel, memory)        # works for a kernel that is stuck in its boot, too
    spans(log, tsc_hz=2_500_000_000)        # what ran in what, for a flame chart
    to_text(log)                            # as sysctl -b debug.tslog prints it

A kernel built with ``options TSLOG`` writes a record with the TSC's value whenever a function of
the boot is entered or left. Nothing in the guest is needed to read them but its memory.

Sources: FreeBSD sys/kern/kern_tslog.c, sys/sys/tslog.h; NetBSD the same files, by lwp numbers
instead of pointers (struct timestamp has 40 bytes there, 32 here).
"""

from timehands.guests.tslog.kept import log_of, log_spans, look_at_log
from timehands.guests.tslog.log import MOST_RECORDS, Record, Tslog, What, from_text, to_text
from timehands.guests.tslog.memory import read_tslog
from timehands.guests.tslog.spans import spans

__all__ = [
    "MOST_RECORDS",
    "Record",
    "Tslog",
    "What",
    "from_text",
    "log_of",
    "log_spans",
    "look_at_log",
    "read_tslog",
    "spans",
    "to_text",
]
