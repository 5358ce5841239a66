"""What providers do to update a vCPU's page, and the wall clock: stores in order.

The registers ``new_...`` hold what is to be published. A record is stored field by field here,
where a provider's memcpy may store 8 bytes at once: what holds for the smaller stores holds for
the larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from timehands.clocks.pvclock.programs import functions as f
from timehands.clocks.pvclock.programs.ops import (
    Branch,
    Compute,
    Fence,
    FenceKind,
    Label,
    Load,
    Op,
    Program,
    ReadTsc,
    Store,
    program,
)

#: The fields of a page besides its version, in the order of their offsets.
DATA = ("tsc_timestamp", "system_time", "tsc_to_system_mul", "tsc_shift", "flags")
#: The fields of the wall clock besides its version.
WALL = ("wc_sec", "wc_nsec")
INPUTS = tuple(f"new_{name}" for name in DATA)
WALL_INPUTS = tuple(f"new_{name}" for name in WALL)


@dataclass(frozen=True, slots=True)
class Writer:
    """One provider's way to update a page. ``source`` is the file and function it is read from."""

    name: str
    source: str
    program: Program


WMB = Fence(FenceKind.STORE_STORE)
#: The provider takes its own time, from which the page's times follow, before it begins to write.
SNAPSHOT: tuple[Op, ...] = (
    ReadTsc("host_tsc", ordered=True),
    Compute("stamp", f.at_snapshot, ("host_tsc", "new_tsc_timestamp")),
    Compute("time", f.at_snapshot, ("host_tsc", "new_system_time")),
)
_TIMES = {"tsc_timestamp": "stamp", "system_time": "time"}


def store_all(names: tuple[str, ...] = DATA, **other: str) -> tuple[Store, ...]:
    """A store of each field from its input, or from the register that ``other`` names."""
    registers = {**_TIMES, **other}
    return tuple(Store(name, registers.get(name, f"new_{name}")) for name in names)


def begin(field: str = "version") -> tuple[Op, ...]:
    """The version becomes odd."""
    return (
        Load("old_version", field),
        Compute("odd_version", f.next_odd, ("old_version",)),
        Store(field, "odd_version"),
    )


def end(field: str = "version") -> tuple[Op, ...]:
    """The version becomes even again."""
    return (Compute("even_version", f.successor, ("odd_version",)), Store(field, "even_version"))


def _kvm() -> Program:
    return program(
        "kvm",
        *SNAPSHOT,
        *begin(),
        WMB,
        Load("old_flags", "flags"),
        Compute("kept_flags", f.keep_stopped, ("new_flags", "old_flags")),
        Store("version", "odd_version"),
        *store_all(flags="kept_flags"),
        WMB,
        *end(),
        inputs=INPUTS,
    )


def _xen() -> Program:
    return program(
        "xen",
        *SNAPSHOT,
        *begin(),
        WMB,
        Store("version", "odd_version"),
        *store_all(),
        WMB,
        *end(),
        inputs=INPUTS,
    )


def _kvm_wall() -> Program:
    return program(
        "kvm-wall",
        Load("old_version", "wc_version"),
        Compute("odd_version", f.successor, ("old_version",)),
        Branch("even", f.odd, ("odd_version",)),
        Compute("odd_version", f.successor, ("odd_version",)),
        Label("even"),
        Store("wc_version", "odd_version"),
        Store("wc_version", "odd_version"),
        *store_all(WALL),
        *end("wc_version"),
        inputs=WALL_INPUTS,
    )


def _xen_wall() -> Program:
    return program(
        "xen-wall",
        *begin("wc_version"),
        WMB,
        *store_all(WALL),
        WMB,
        *end("wc_version"),
        inputs=WALL_INPUTS,
    )


#: Providers of the time information by name.
WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "kvm": Writer(
            "kvm",
            "Linux arch/x86/kvm/x86.c (kvm_setup_guest_pvclock): the copy of 32 bytes writes the "
            "odd version again",
            _kvm(),
        ),
        "xen": Writer("xen", "Xen xen/arch/x86/time.c (__update_vcpu_system_time)", _xen()),
    }
)

#: Providers of the wall clock by name.
WALL_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "kvm": Writer(
            "kvm",
            "Linux arch/x86/kvm/x86.c (kvm_write_wall_clock): three writes to guest memory, no "
            "barrier between them",
            _kvm_wall(),
        ),
        "xen": Writer(
            "xen",
            "Xen xen/common/time.c (update_domain_wallclock_time)",
            _xen_wall(),
        ),
    }
)
