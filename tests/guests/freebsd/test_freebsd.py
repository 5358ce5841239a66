from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from guest_kernels.build import Form, guest_kernel
from timehands.errors import CompilerMissing
from timehands.guests.base import PVH_ENTRY, Need
from timehands.guests.freebsd import FreeBSD
from timehands.guests.freebsd.messages import KNOWN
from timehands.guests.freebsd.plan import WANTED, plan_for
from timehands.guests.registry import knowledge_named, knowledge_of
from timehands.kernels.kernel import Kernel
from timehands.kernels.patch import changes
from timehands.machines.machine import Machine
from timehands.story.model import Mark
from timehands.watch.plan import MAX_READS, Function, Plan
from timehands.watch.records import Kind

KNOWN_TO_US = FreeBSD()


def _kernel(form: Form = "dwarf") -> Kernel:
    try:
        return Kernel.open(guest_kernel("freebsd", form))
    except CompilerMissing:
        pytest.skip("no C compiler is installed")


def _record(kind: Kind, function: int) -> tuple[int, ...]:
    return (int(kind), 0, 0, 0, 0, 0, function, 0, 0, 0, 0)


def test_it_is_known_by_the_file_and_by_name() -> None:
    assert knowledge_of(_kernel()).name == "freebsd"
    assert knowledge_named("freebsd").title == "FreeBSD"


def test_the_messages_about_clocks_are_asked_for_and_nothing_that_changes_them() -> None:
    assert KNOWN_TO_US.arguments(Machine()) == ("boot_verbose=1",)


def test_no_function_has_more_reads_than_the_plugin_takes() -> None:
    plan = plan_for(_kernel())
    assert max(len(function.reads) for function in plan.functions) <= MAX_READS
    assert {f.name for f in plan.functions} >= {"tc_init", "et_register", "DELAY", "clockcalib"}


def test_with_symbols_alone_the_same_is_watched() -> None:
    def told(form: Form) -> dict[str, list[tuple[str, int, tuple[int, ...]]]]:
        functions = plan_for(_kernel(form)).functions
        return {f.name: [(r.name, r.length, r.path) for r in f.reads] for f in functions}

    assert told("symbols") == told("dwarf")


def test_without_symbols_only_the_entries_are_watched() -> None:
    assert {f.name for f in plan_for(_kernel("stripped")).functions} <= {
        PVH_ENTRY, "64-bit entry",
    }  # fmt: skip


def test_every_trap_is_watched_only_where_the_fatal_ones_have_no_function() -> None:
    names = {"trap": 0x1000, "trap_fatal": 0x2000}

    def kernel(*there: str) -> Kernel:
        symbols = SimpleNamespace(
            lookup=lambda name: (names[name],) if name in there else (),
            find=lambda _address: None,
            variants=lambda _name: (),
        )
        made = SimpleNamespace(symbols=symbols, pvh_entry=None, entry64=None, type_source=None)
        return cast(Kernel, _hashable(made))

    assert [f.name for f in plan_for(kernel("trap", "trap_fatal")).functions] == ["trap_fatal"]
    assert [f.name for f in plan_for(kernel("trap")).functions] == ["trap"]


def _hashable(made: SimpleNamespace) -> object:
    class Made(SimpleNamespace):
        __hash__ = object.__hash__  # type: ignore[assignment]

    return Made(**vars(made))


@pytest.mark.parametrize(
    ("mark", "kind", "function", "passed"),
    [
        (Mark.FIRST_INSTRUCTION, Kind.FIRST, "", True),
        (Mark.KERNEL_ENTRY, Kind.ENTER, "hammer_time_xen", True),
        (Mark.KERNEL_ENTRY, Kind.ENTER, "tc_init", False),
        (Mark.CLOCK_KNOWN, Kind.ENTER, "set_cputicker", True),
        (Mark.TIMER_ARMED, Kind.ENTER, "cpu_initclocks_bsp", True),
        (Mark.INIT, Kind.ENTER, "cngets", True),
        (Mark.INIT, Kind.LEAVE, "vfs_mountroot", True),
        (Mark.INIT, Kind.ENTER, "vfs_mountroot", False),
        (Mark.ENDED, Kind.ENTER, "cngets", True),
        (Mark.ENDED, Kind.ENTER, "kdb_enter", True),
        (Mark.ENDED, Kind.ENTER, "vpanic", False),
        (Mark.VM_READY, Kind.ENTER, "cngets", False),
    ],
)
def test_boundaries_are_seen_as_they_come(
    mark: Mark, kind: Kind, function: str, passed: bool
) -> None:
    names = list(dict.fromkeys(["", *(wanted.name for wanted in WANTED)]))
    plan = Plan(tuple(Function(name, 0, 1) for name in names))
    record = _record(kind, names.index(function))
    assert KNOWN_TO_US.reaches(mark, plan, record) is passed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        (Mark.KERNEL_ENTRY, "---<<BOOT>>---"),
        (Mark.CLOCK_KNOWN, "Early TSC frequency 2500368650Hz calibrated from 8254 PIT"),
        (Mark.TIMER_ARMED, "Timecounters tick every 10.000 msec"),
        (Mark.INIT, "  <empty line>    Abort manual input"),
        (Mark.ENDED, "  <empty line>    Abort manual input"),
        (Mark.ENDED, "KDB: enter: panic"),
        (Mark.ENDED, "Automatic reboot in 15 seconds - press a key on the console to abort"),
    ],
)
def test_boundaries_are_seen_on_the_console(mark: Mark, line: str) -> None:
    assert KNOWN_TO_US.told(mark, line)
    assert not KNOWN_TO_US.told(mark, f"echo {line}")


def test_its_remedies_fit_the_kernel() -> None:
    (patch,) = KNOWN_TO_US.remedies(Need.EARLY_DELAY, None)
    assert patch.patch and len(changes(_kernel("symbols"), patch.argument)) == 2
    (calibrate,) = KNOWN_TO_US.remedies(Need.TSC_CALIBRATION, None)
    assert calibrate.argument == "machdep.disable_tsc_calibration=0"
    (hints,) = KNOWN_TO_US.remedies(Need.CALIBRATION_REFERENCE, None)
    assert len(hints.argument.split()) == 3
    assert KNOWN_TO_US.remedies(Need.TSC_FREQUENCY, 10**9) == ()


def test_any_ramdisk_is_warned_of() -> None:
    said = KNOWN_TO_US.on_ramdisk(_kernel(), b"\x1f\x8b")
    assert said is not None and "resets" in said
    assert KNOWN_TO_US.ramdisk() is None


@pytest.mark.parametrize(
    ("line", "name", "part"),
    [
        ("Statistical TSC calibration took 5 us and 5 data points", "took", "counts its own reads"),
        ("Statistical TSC calibration took 5 us and 6 data points", "took", "to 1 ppm"),
        ("LAPIC: ipi_wait() us multiplier 1 (r 8 tsc 0)", "multiplier", "unknown (tsc 0)"),
        ("LAPIC: ipi_wait() us multiplier 9 (r 8 tsc 7)", "multiplier", "reads of the ICR"),
        ('Event timer "LAPIC" frequency 5 Hz quality 600', "event timer", "LAPIC can give"),
        ('Timecounter "TSC" frequency 5 Hz -- Insufficient hz, needs at least 7', "insufficient",
         "-2000"),
        ("mountroot> SMP: passed TSC synchronization test", "SMP test", "passed"),
        ("fault virtual address\t= 0x20", "fault", "0x20"),
        ("panic: TSC not initialized", "assertion", "tsc_freq"),
        ("calcru: runtime went backwards from 6 usec to 3", "backwards", "lay before"),
        ("kvmclock0: <KVM paravirtual clock>", "kvmclock", "pvclock"),
    ],
)  # fmt: skip
def test_a_message_is_known_with_its_meaning(line: str, name: str, part: str) -> None:
    known, match = next((k, m) for k in KNOWN if (m := k.pattern.search(line)))
    assert known.name == name
    assert part in known.meaning(match)
