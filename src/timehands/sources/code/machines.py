"""Which folders of a tree belong to which machine's kernel, by system: the table behind `files`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from timehands.sources.tree import Kind


@dataclass(frozen=True, slots=True)
class Machines:
    """Where a system's machines have their folders.

    ``below``: in which folder of the kernel's, empty for itself; ``names``: those of it that are a
    machine's (None: all); ``shared``: what a machine's kernel takes of others' folders.
    """

    below: str
    shared: Mapping[str, frozenset[str]]
    names: frozenset[str] | None = None


#: FreeBSD's stand beside those of the kernel's other parts.
_FREEBSD: Final = Machines(
    "",
    {"arm64": frozenset(("arm",))},
    frozenset(
        ("amd64", "arm", "arm64", "i386", "powerpc", "riscv", "mips", "sparc64", "ia64", "pc98")
    ),
)
_IN_ARCH: Final = Machines(
    "arch",
    {
        "amd64": frozenset(("x86", "i386", "xen", "x86_64")),
        "i386": frozenset(("x86", "xen")),
        "evbarm": frozenset(("arm", "aarch64")),
    },
)
_BY_SYSTEM: Final[Mapping[Kind, Machines]] = {"freebsd": _FREEBSD}
#: This folder among them is everybody's.
EVERYBODYS: Final = "include"


def machines_of(system: Kind) -> Machines:
    """Where a system's tree has its machines' folders."""
    return _BY_SYSTEM.get(system, _IN_ARCH)
