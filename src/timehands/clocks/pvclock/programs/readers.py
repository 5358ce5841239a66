"""What guests do to read pvclock: the memory accesses, the arithmetic, the clamps.

Each program says which source it was read from. The version protocol is the same everywhere: a
version, the data, the version again. What differs is where the TSC is read and whether it is
ordered, which barriers there are, and what happens to a time that is behind another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, Flag
from types import MappingProxyType

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.programs import functions as f
from timehands.clocks.pvclock.programs.ops import (
    Accept,
    Branch,
    CompareSwap,
    Compute,
    Fence,
    FenceKind,
    Label,
    Load,
    Op,
    Program,
    ReadTsc,
    Refuse,
    Update,
    program,
)
from timehands.clocks.pvclock.reading import nanoseconds


class Clamp(Flag):
    """What a reader does to a time that would go back."""

    NONE = 0
    #: A TSC before the page's timestamp counts as the timestamp itself.
    DELTA = 1
    #: A time below the last one that any vCPU was given becomes that one.
    LAST_VALUE = 2


class When(Enum):
    """When `Clamp.LAST_VALUE` is applied. `Clamp.DELTA` always is."""

    NEVER = "never"
    ALWAYS = "always"
    NOT_STABLE = "not stable"


@dataclass(frozen=True, slots=True)
class Reader:
    """One guest's way to read its clock.

    ``arithmetic`` gives ns (u64) from a page and a TSC value (u64), `Clamp.DELTA` included;
    ``when`` is for `Clamp.LAST_VALUE`. ``needs_stable``: without TSC_STABLE it gives no time.
    ``source`` is the file and function (and revision) that the program was read from.
    """

    name: str
    arithmetic: f.Arithmetic
    clamp: Clamp
    when: When
    needs_stable: bool
    source: str
    program: Program

    def nanoseconds(self, info: TimeInfo, tsc: int) -> int:
        """The time in ns (u64) before a last value is looked at."""
        return self.arithmetic(info, tsc)


_RMB = Fence(FenceKind.LOAD_LOAD)
_MB = Fence(FenceKind.FULL)
_ACQUIRE = Fence(FenceKind.ACQUIRE)
_LOADS = tuple(Load(name, name) for name in f.PAGE[1:])
_FLAGS = Load("flags", "flags")
_AGAIN = Load("version_again", "version")


def _now(arithmetic: f.Arithmetic) -> Op:
    return Compute("ns", f.page_time(arithmetic), f.PAGE)


def _begin(barrier: Fence) -> tuple[Op | Label, ...]:
    """pvclock_read_begin of Linux and OpenBSD."""
    return (
        Label("retry"),
        Load("version", "version"),
        Compute("begun", f.even_below, ("version",)),
        barrier,
    )


def _retry(barrier: Fence) -> tuple[Op, ...]:
    """pvclock_read_retry of Linux, pvclock_read_done of OpenBSD."""
    return (barrier, _AGAIN, Branch("retry", f.differ, ("version_again", "begun")))


_DONE = Accept("ns", "ns", "flags")
_GIVE_LAST = Accept("last", "ns", "flags")


def _linux() -> Program:
    return program(
        "linux",
        *_begin(_RMB),
        ReadTsc("tsc", ordered=True),
        *_LOADS,
        _now(nanoseconds),
        _FLAGS,
        *_retry(_RMB),
        Branch("ran", f.running, ("flags",)),
        Update("flags", f.clear_stopped),
        Label("ran"),
        Branch("done", f.stable, ("flags",)),
        Load("last", "last"),
        Label("clamp"),
        Branch("behind", f.at_most, ("ns", "last")),
        CompareSwap("seen_last", "last", "last", "ns"),
        Branch("done", f.equal, ("seen_last", "last")),
        Compute("last", f.same, ("seen_last",)),
        Branch("clamp"),
        Label("behind"),
        _GIVE_LAST,
        Label("done"),
        _DONE,
    )


def _linux_vdso() -> Program:
    return program(
        "linux-vdso",
        *_begin(_RMB),
        _FLAGS,
        Branch("syscall", f.unstable, ("flags",)),
        ReadTsc("tsc", ordered=True),
        *_LOADS,
        _now(nanoseconds),
        *_retry(_RMB),
        _DONE,
        Label("syscall"),
        Refuse("the vDSO leaves it to the system call"),
    )


def _freebsd() -> Program:
    return program(
        "freebsd",
        Label("retry"),
        Load("version", "version", acquire=True),
        ReadTsc("tsc", ordered=True),
        *_LOADS,
        _now(nanoseconds),
        _FLAGS,
        _ACQUIRE,
        Load("version_odd", "version"),
        Branch("retry", f.odd, ("version_odd",)),
        _AGAIN,
        Branch("retry", f.differ, ("version_again", "version")),
        Branch("done", f.stable, ("flags",)),
        Load("last", "last", acquire=True),
        Label("clamp"),
        Branch("behind", f.above, ("last", "ns")),
        CompareSwap("seen_last", "last", "last", "ns", full=False),
        Branch("done", f.equal, ("seen_last", "last")),
        Compute("last", f.same, ("seen_last",)),
        Branch("clamp"),
        Label("behind"),
        _GIVE_LAST,
        Label("done"),
        _DONE,
    )


def _openbsd(name: str, barrier: Fence) -> Program:
    return program(
        name,
        *_begin(barrier),
        *_LOADS,
        _FLAGS,
        ReadTsc("tsc", ordered=True),
        *_retry(barrier),
        _now(f.nanoseconds_delta_clamped),
        Branch("done", f.stable, ("flags",)),
        Label("clamp"),
        Load("last", "last"),
        Branch("behind", f.above, ("last", "ns")),
        CompareSwap("seen_last", "last", "last", "ns"),
        Branch("clamp", f.differ, ("seen_last", "last")),
        Label("done"),
        _DONE,
        Label("behind"),
        _GIVE_LAST,
    )


def _openbsd_1() -> Program:
    return program(
        "openbsd-1",
        *_begin(_MB),
        *_LOADS,
        _FLAGS,
        *_retry(_MB),
        Branch("panic", f.unstable, ("flags",)),
        ReadTsc("tsc", ordered=False),
        _now(f.nanoseconds_64),
        _DONE,
        Label("panic"),
        Refuse("panics: unstable result on stable clock"),
    )


#: The readers by name.
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        reader.name: reader
        for reader in (
            Reader(
                "linux",
                nanoseconds,
                Clamp.LAST_VALUE,
                When.NOT_STABLE,
                False,
                "Linux arch/x86/kernel/pvclock.c (__pvclock_clocksource_read), "
                "arch/x86/include/asm/pvclock.h (pvclock_read_begin, pvclock_read_retry)",
                _linux(),
            ),
            Reader(
                "linux-vdso",
                nanoseconds,
                Clamp.NONE,
                When.NEVER,
                True,
                "Linux arch/x86/include/asm/vdso/gettimeofday.h (vread_pvclock): any vCPU reads "
                "the page of vCPU 0",
                _linux_vdso(),
            ),
            Reader(
                "freebsd",
                nanoseconds,
                Clamp.LAST_VALUE,
                When.NOT_STABLE,
                False,
                "FreeBSD sys/x86/x86/pvclock.c (pvclock_read_time_info, pvclock_getsystime)",
                _freebsd(),
            ),
            Reader(
                "netbsd",
                f.nanoseconds_delta_clamped,
                Clamp.DELTA | Clamp.LAST_VALUE,
                When.NOT_STABLE,
                False,
                "the driver proposed for NetBSD, sys/dev/pv/pvclock.c (pvclock_get), a port of "
                "OpenBSD's; membar_consumer for virtio_membar_sync; one page for all vCPUs",
                _openbsd("netbsd", _RMB),
            ),
            Reader(
                "openbsd",
                f.nanoseconds_delta_clamped,
                Clamp.DELTA | Clamp.LAST_VALUE,
                When.NOT_STABLE,
                False,
                "OpenBSD sys/dev/pv/pvclock.c 1.15 (pvclock_get, pvclock_cmp_last); all vCPUs read "
                "the page of the one that attached",
                _openbsd("openbsd", _MB),
            ),
            Reader(
                "openbsd-1",
                f.nanoseconds_64,
                Clamp.NONE,
                When.NEVER,
                True,
                "OpenBSD sys/dev/pv/pvclock.c 1.1 (pvclock_get_timecount): the TSC is read after "
                "the loop, the product keeps 64 bits",
                _openbsd_1(),
            ),
        )
    }
)
