"""The operating systems that Timehands knows. A new one is one file and one line here."""

from __future__ import annotations

from timehands.guests.base import Knowledge
from timehands.guests.freebsd import FreeBSD
from timehands.guests.linux import Linux
from timehands.guests.netbsd import NetBSD
from timehands.guests.openbsd import OpenBSD
from timehands.guests.unknown import Unknown
from timehands.kernels.kernel import Kernel

#: Asked in this order; the last one recognises every kernel.
KNOWLEDGE: tuple[Knowledge, ...] = (Linux(), FreeBSD(), NetBSD(), OpenBSD(), Unknown())


def knowledge_of(kernel: Kernel) -> Knowledge:
    """What we know of the system that this kernel is of."""
    return next(known for known in KNOWLEDGE if known.recognises(kernel))


def knowledge_named(name: str) -> Knowledge:
    """What we know of the system of that name, as a recording gives it; else nothing."""
    return next((known for known in KNOWLEDGE if known.name == name), KNOWLEDGE[-1])
