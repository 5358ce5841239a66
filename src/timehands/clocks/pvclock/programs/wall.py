"""How guests read the wall clock: two words that belong together.

KVM writes it only while the vCPU that asked for it by its WRMSR is outside of the guest; a page
that vCPUs share, or a provider that writes when it likes (Xen), needs the version.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from timehands.clocks.pvclock.programs import functions as f
from timehands.clocks.pvclock.programs.ops import (
    Accept,
    Branch,
    Fence,
    FenceKind,
    Label,
    Load,
    Program,
    program,
)

LOADS = (Load("sec", "wc_sec"), Load("nsec", "wc_nsec"))
DONE = Accept("sec", nsec="nsec")
_RMB = Fence(FenceKind.LOAD_LOAD)


def _linux() -> Program:
    """Linux arch/x86/kernel/pvclock.c (pvclock_read_wallclock)."""
    return program(
        "linux-wall",
        Label("retry"),
        Load("version", "wc_version"),
        _RMB,
        *LOADS,
        _RMB,
        Load("version_odd", "wc_version"),
        Branch("retry", f.odd, ("version_odd",)),
        Load("version_again", "wc_version"),
        Branch("retry", f.differ, ("version_again", "version")),
        DONE,
    )


def _freebsd() -> Program:
    """FreeBSD sys/x86/x86/pvclock.c (pvclock_read_wall_clock)."""
    return program(
        "freebsd-wall",
        Label("retry"),
        Load("version", "wc_version", acquire=True),
        *LOADS,
        Fence(FenceKind.ACQUIRE),
        Load("version_odd", "wc_version"),
        Branch("retry", f.odd, ("version_odd",)),
        Load("version_again", "wc_version"),
        Branch("retry", f.differ, ("version_again", "version")),
        DONE,
    )


def _openbsd() -> Program:
    """OpenBSD sys/dev/pv/pvclock.c 1.15 (pvclock_tick): waits for an even version, no more."""
    return program(
        "openbsd-wall",
        Label("wait"),
        Load("version", "wc_version"),
        Branch("written", f.odd, ("version",)),
        *LOADS,
        DONE,
        Label("written"),
        Fence(FenceKind.FULL),
        Branch("wait"),
    )


#: Programs that read the wall clock, by the guest's name.
WALL_READERS: Mapping[str, Program] = MappingProxyType(
    {"linux": _linux(), "freebsd": _freebsd(), "openbsd": _openbsd()}
)
