"""What to watch in a Linux kernel: its functions that find, calibrate, register and choose clocks.

A kernel may lack any of them (inlined, not configured, renamed): only what its symbol table has is
watched. Members are read at the offsets that its BTF gives; without BTF nothing is read through
pointers, and names come from the console.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from timehands.guests.base import code_at, entry_points
from timehands.kernels.kernel import Kernel
from timehands.watch.plan import Function, Plan, Read

NAME_BYTES = 64
MESSAGE_BYTES = 80
#: A function longer than this is cut: its end is the next symbol, which may be far away.
LONGEST_FUNCTION = 1 << 16


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a structure that an argument points to; ``string``: it is a char pointer."""

    name: str
    argument: int
    struct: str
    member: str
    string: bool = False


@dataclass(frozen=True, slots=True)
class _Global:
    """A global variable, read at entry or return."""

    name: str
    length: int = 4
    at_return: bool = True


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A function to watch, by the name that it has in the kernel's source."""

    name: str
    members: tuple[_Member, ...] = ()
    globals: tuple[_Global, ...] = ()
    string: int | None = None
    bytes: tuple[str, int, int] | None = None
    leave: bool = True
    device: bool = False
    anchor: bool = False


_CLOCKSOURCE = tuple(
    _Member(name, 0, "clocksource", name, string=name == "name")
    for name in ("name", "rating", "mult", "shift")
)
_TSC = (_Global("tsc_khz"), _Global("cpu_khz"))


def _clock_event(argument: int) -> tuple[_Member, ...]:
    members = ("name", "rating", "mult", "shift", "features")
    return tuple(
        _Member(name, argument, "clock_event_device", name, string=name == "name")
        for name in members
    )


#: Kernel files: arch/x86/kernel/{head64,tsc,kvmclock,hpet,time,i8253,rtc}.c, apic/apic.c,
#: kernel/time/{clocksource,clockevents,tick-common,timekeeping}.c, init/{main,calibrate}.c,
#: drivers/{rtc/rtc-cmos,input/serio/i8042,clocksource/acpi_pm}.c, kernel/panic.c.
WANTED = (
    _Wanted("x86_64_start_kernel", leave=False, anchor=True),
    _Wanted("start_kernel", leave=False, anchor=True),
    _Wanted("setup_arch"),
    _Wanted("init_hypervisor_platform"),
    _Wanted("kvmclock_init"),
    _Wanted("kvm_get_tsc_khz"),
    _Wanted("tsc_early_init"),
    _Wanted("determine_cpu_tsc_frequencies", globals=_TSC),
    _Wanted("native_calibrate_tsc"),
    _Wanted("native_calibrate_cpu_early"),
    _Wanted("native_calibrate_cpu"),
    _Wanted("cpu_khz_from_msr"),
    _Wanted("quick_pit_calibrate"),
    _Wanted("pit_hpet_ptimer_calibrate_cpu"),
    _Wanted("tsc_refine_calibration_work", globals=_TSC),
    _Wanted("tsc_init", globals=_TSC),
    _Wanted("mark_tsc_unstable", string=0, leave=False),
    _Wanted("__clocksource_unstable", members=_CLOCKSOURCE[:1], leave=False),
    _Wanted("clocksource_mark_unstable", members=_CLOCKSOURCE[:1], leave=False),
    _Wanted("timekeeping_init"),
    _Wanted("read_persistent_clock64"),
    _Wanted("mach_get_cmos_time"),
    _Wanted("time_init"),
    _Wanted("x86_late_time_init"),
    _Wanted("hpet_enable"),
    _Wanted("pit_timer_init"),
    _Wanted("apic_needs_pit"),
    _Wanted("setup_boot_APIC_clock", globals=(_Global("lapic_timer_period"),)),
    _Wanted("calibrate_APIC_clock", globals=(_Global("lapic_timer_period"),)),
    _Wanted("calibrate_delay", globals=(_Global("loops_per_jiffy", 8), *_TSC)),
    _Wanted("__clocksource_register_scale", members=_CLOCKSOURCE, leave=False),
    _Wanted("timekeeping_notify", members=_CLOCKSOURCE[:2]),
    _Wanted("tick_check_new_device", members=_clock_event(0), leave=False),
    _Wanted("tick_setup_device", members=_clock_event(1), leave=False),
    _Wanted("native_apic_mem_write", device=True, leave=False),
    _Wanted("native_apic_mem_read", device=True, leave=False),
    _Wanted("hpet_readl", device=True, leave=False),
    _Wanted("kernel_init", leave=False),
    _Wanted("do_one_initcall"),
    _Wanted("i8042_probe"),
    _Wanted("cmos_do_probe"),
    _Wanted("init_acpi_pm_clocksource"),
    _Wanted("do_settimeofday64", bytes=("ts", 0, 16), leave=False),
    _Wanted("prepare_namespace"),
    _Wanted("run_init_process", string=0, leave=False),
    _Wanted("panic", string=0, leave=False),
    _Wanted("vpanic", string=0, leave=False),
    _Wanted("native_machine_emergency_restart", leave=False),
)
#: Watched for the device memory that they touch; their calls are too many to be events.
_SILENT = frozenset({"native_apic_mem_write", "native_apic_mem_read", "hpet_readl"})


def plan_for(kernel: Kernel) -> Plan:
    """The plan for a Linux kernel: entry points, and every wanted function that it has."""
    functions = list(entry_points(kernel))
    for wanted in WANTED:
        for address in kernel.symbols.lookup(wanted.name)[:1]:
            functions.append(_function(kernel, wanted, address))
    thunks = kernel.symbols.lookup("__x86_return_thunk")
    aside = kernel.elf_headers.section(".altinstr_aux")
    detour = (aside.address, aside.address + aside.size) if aside else None
    return Plan(tuple(functions), thunks[0] if thunks else None, detour)


def _function(kernel: Kernel, wanted: _Wanted, address: int) -> Function:
    function = Function(
        wanted.name,
        *_range(kernel, address),
        enter=wanted.name not in _SILENT,
        leave=wanted.leave,
        device=wanted.device,
        reads=_reads(kernel, wanted),
        parts=tuple(_range(kernel, part.address) for part in kernel.symbols.variants(wanted.name)),
    )
    if not wanted.anchor:
        return function
    code = code_at(kernel, address, 8)
    return replace(function, anchor=len(code) == 8, code=code)


def _range(kernel: Kernel, address: int) -> tuple[int, int]:
    place = kernel.symbols.find(address)
    size = min(place.size if place else 1, LONGEST_FUNCTION)
    return address, address + max(size, 1)


def _reads(kernel: Kernel, wanted: _Wanted) -> tuple[Read, ...]:
    reads = [read for m in wanted.members if (read := _member_read(kernel, m))]
    for variable in wanted.globals:
        for address in kernel.symbols.lookup(variable.name)[:1]:
            length, at_return = variable.length, variable.at_return
            reads.append(Read(variable.name, length, address=address, at_return=at_return))
    if wanted.string is not None:
        reads.append(Read("string", MESSAGE_BYTES, argument=wanted.string, string=True))
    if wanted.bytes:
        name, argument, length = wanted.bytes
        reads.append(Read(name, length, argument=argument))
    return tuple(reads)


def _member_read(kernel: Kernel, wanted: _Member) -> Read | None:
    member = kernel.btf.member(wanted.struct, wanted.member) if kernel.btf else None
    if member is None or kernel.btf is None:
        return None
    if wanted.string:
        path = (member.offset, 0)
        return Read(wanted.name, NAME_BYTES, path, argument=wanted.argument, string=True)
    size = kernel.btf.size_of(member.type_id)
    return Read(wanted.name, size, (member.offset,), argument=wanted.argument)
