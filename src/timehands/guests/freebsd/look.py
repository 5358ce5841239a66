"""What FreeBSD's own variables say when the boot is over, read from guest memory.

Everything is bounded: a list may go in a circle, a string may have no end, a pointer may lead
nowhere. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timehands.guests.freebsd.layouts import Layout, layout
from timehands.guests.tslog import look_at_log
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory, Unreadable

#: Variables that are numbers, with their sizes in bytes (CLOCKS: sys/x86/x86/{tsc,local_apic,
#: identcpu,pvclock}.c, sys/x86/isa/clock.c, sys/kern/{kern_clock,subr_param,kern_tslog}.c).
NUMBERS = {
    "tsc_freq": 8,
    "tsc_disabled": 4,
    "tsc_skip_calibration": 4,
    "tsc_early_calib_exact": 4,
    "tsc_is_invariant": 4,
    "smp_tsc": 4,
    "lapic_timer_divisor": 8,
    "count_freq": 8,
    "lapic_timer_tsc_deadline": 4,
    "lapic_ipi_wait_mult": 8,
    "x2apic_mode": 4,
    "hv_base": 4,
    "hv_high": 4,
    "vm_guest": 4,
    "cpu_high": 4,
    "i8254_freq": 4,
    "i8254_max_count": 4,
    "HYPERVISOR_shared_info": 8,
    "pvclock_last_systime": 8,
    "hz": 4,
    "tick": 4,
    "stathz": 4,
    "nrecs": 8,
}
#: Words of the kernel's environment that have to do with clocks or with how far the boot gets.
_ENVIRONMENT = (
    "machdep.", "kern.timecounter.", "kern.eventtimer.", "hw.apic.", "hw.i8254", "hint.attimer.",
    "hint.atrtc.", "hint.hpet.", "hint.apic.", "hint.acpi.", "debug.acpi.disabled", "kern.hz",
    "vfs.root.", "virtio_mmio.", "boot_verbose",
)  # fmt: skip
_MOST_LISTED = 32
_MOST_WORDS = 400
_NAME_BYTES = 32
_ENVIRONMENT_BYTES = 16 << 10
_WORD_BYTES = 512
_PIECE = 64
_KERNEL_HALF = 1 << 63


def look(kernel: Kernel, memory: Memory) -> dict[str, Any]:
    """The variables, the lists of timecounters and event timers, and the environment."""
    reader = _Reader(kernel, memory)
    found = {
        "variables": reader.variables(),
        "timecounter": reader.selected("timecounter", _counter),
        "timecounters": reader.listed("timecounters", _counter),
        "eventtimer": reader.selected("timer", _timer),
        "eventtimers": reader.listed("eventtimers", _timer),
        "early_delay": reader.early_delay(),
        "environment": reader.environment(),
        "tslog": look_at_log(kernel, memory),
    }
    return {name: value for name, value in found.items() if value}


class _Reader:
    """A kernel's symbols and a guest's memory, read together."""

    def __init__(self, kernel: Kernel, memory: Memory) -> None:
        self.kernel = kernel
        self.memory = memory

    def layout(self, struct: str) -> Layout:
        return layout(self.kernel, struct)

    def address(self, name: str) -> int | None:
        """Where a variable is; a compiler that splits a structure adds a number to its name."""
        known = self.kernel.symbols
        return next((a for n in (name, f"{name}.0") for a in known.lookup(n)), None)

    def number(self, address: int, size: int, *, signed: bool = False) -> int | None:
        try:
            return int.from_bytes(self.memory.read(address, size), "little", signed=signed)
        except Unreadable:
            return None

    def pointer(self, address: int) -> int | None:
        """A pointer into the kernel's half; None: it is none, or cannot be read."""
        value = self.number(address, 8)
        return value if value is not None and value >= _KERNEL_HALF else None

    def text(self, address: int | None) -> str | None:
        """A string of printable ASCII of at most 31 characters; None: there is none."""
        if address is None:
            return None
        try:
            raw = self.memory.read(address, _NAME_BYTES)
        except Unreadable:
            return None
        head, end, _ = raw.partition(b"\0")
        text = head.decode("ascii", errors="replace")
        return text if end and head and text.isprintable() and "\ufffd" not in text else None

    def variables(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {}
        for name, size in NUMBERS.items():
            address = self.address(name)
            value = self.number(address, size) if address is not None else None
            if value is not None:
                found[name] = value
        vendor = self.text(self.address("hv_vendor"))
        return {**found, "hv_vendor": vendor} if vendor else found

    def selected(self, variable: str, read: Any) -> dict[str, Any] | None:
        """What a pointer variable points to."""
        target = self._pointed(variable)
        return read(self, target) if target is not None else None

    def listed(self, head: str, read: Any) -> dict[str, Any] | None:
        """A list from its head: ``rows``, and how it ``ends``.

        ``end``, ``cycle``, ``long`` (more than 32), or ``broken`` (memory that holds no entry).
        """
        variable = self.address(head)
        if variable is None or self.number(variable, 8) is None:
            return None
        rows: list[dict[str, Any]] = []
        seen, at = set[int](), self.number(variable, 8) or 0
        while at:
            if at in seen or len(rows) == _MOST_LISTED:
                return {"rows": rows, "ends": "cycle" if at in seen else "long"}
            row = read(self, at) if at >= _KERNEL_HALF else None
            following = self.number(at + self.layout(_STRUCTS[read])[_NEXT[read]], 8)
            if row is None or following is None:
                return {"rows": rows, "ends": "broken"}
            seen.add(at)
            rows.append(row)
            at = following
        return {"rows": rows, "ends": "end"}

    def early_delay(self) -> str | None:
        """Who serves DELAY while there is no better clock: a function's name."""
        variable = self.address("init_ops")
        offset = self.layout("init_ops")["early_delay"]
        target = self.pointer(variable + offset) if variable is not None else None
        place = self.kernel.symbols.find(target) if target is not None else None
        return place.name if place and not place.offset else None

    def environment(self) -> dict[str, str]:
        """Words about clocks; the first of a name holds.

        sys/kern/kern_environment.c: ``kenvp``, an array of pointers to strings, once memory can be
        allocated (the words before are erased then); until then ``md_envp`` (the command line) and
        ``kern_envp`` (built in): strings one after the other, ended by an empty one.
        """
        found: dict[str, str] = {}
        for word in self._words():
            name, sign, value = word.partition("=")
            if sign and name.startswith(_ENVIRONMENT) and word.isprintable():
                found.setdefault(name, value)
        return found

    def _words(self) -> Iterator[str]:
        array = self._pointed("kenvp")
        if array is None:
            for variable in ("md_envp", "kern_envp"):
                start = self._pointed(variable)
                raw = self._piece(start, b"\0\0", _ENVIRONMENT_BYTES) if start else b""
                yield from raw.decode("ascii", errors="replace").split("\0")[:_MOST_WORDS]
            return
        for number in range(_MOST_WORDS):
            word = self.pointer(array + 8 * number)
            if word is None:
                return
            yield self._piece(word, b"\0", _WORD_BYTES).decode("ascii", errors="replace")

    def _pointed(self, variable: str) -> int | None:
        address = self.address(variable)
        return self.pointer(address) if address is not None else None

    def _piece(self, start: int, end: bytes, most: int) -> bytes:
        """Bytes up to an end mark, which is left out."""
        raw = b""
        while end not in raw and len(raw) < most:
            try:
                raw += self.memory.read(start + len(raw), _PIECE)
            except Unreadable:
                break
        return raw.split(end)[0]


def _counter(reader: _Reader, address: int) -> dict[str, Any] | None:
    at = reader.layout("timecounter")
    name = reader.text(reader.pointer(address + at["tc_name"]))
    frequency = reader.number(address + at["tc_frequency"], 8)
    quality = reader.number(address + at["tc_quality"], 4, signed=True)
    mask = reader.number(address + at["tc_counter_mask"], 4)
    flags = reader.number(address + at["tc_flags"], 4)
    if name is None or None in (frequency, quality, mask, flags):
        return None
    return {"name": name, "frequency": frequency, "quality": quality, "mask": mask, "flags": flags}


def _timer(reader: _Reader, address: int) -> dict[str, Any] | None:
    at = reader.layout("eventtimer")
    name = reader.text(reader.pointer(address + at["et_name"]))
    frequency = reader.number(address + at["et_frequency"], 8)
    quality = reader.number(address + at["et_quality"], 4, signed=True)
    flags = reader.number(address + at["et_flags"], 4)
    if name is None or None in (frequency, quality, flags):
        return None
    return {"name": name, "frequency": frequency, "quality": quality, "flags": flags}


_STRUCTS = {_counter: "timecounter", _timer: "eventtimer"}
_NEXT = {_counter: "tc_next", _timer: "et_all"}
