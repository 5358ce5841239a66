"""What FreeBSD's own variables say when the boot is over, read from guest memory.

What cannot be read is left out (`timehands.guests.bsd.variables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from timehands.guests.bsd.variables import Reader, Row
from timehands.guests.freebsd.layouts import layout
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
_MOST_WORDS = 400
_ENVIRONMENT_BYTES = 16 << 10
_WORD_BYTES = 512
_PIECE = 64
_TIMER = {"frequency": ("et_frequency", 8), "quality": ("et_quality", 4), "flags": ("et_flags", 4)}


def look(kernel: Kernel, memory: Memory) -> dict[str, Any]:
    """The variables, the lists of timecounters and event timers, and the environment."""
    reader, at = _Reader(kernel, memory), layout(kernel, "timecounter")
    found = {
        "variables": reader.variables(),
        "timecounter": reader.counter(reader.pointer(reader.address("timecounter")), at),
        "timecounters": reader.counters("timecounters", at),
        "eventtimer": reader.timer(reader.pointer(reader.address("timer"))),
        "eventtimers": reader.timers(),
        "early_delay": reader.early_delay(),
        "environment": reader.environment(),
        "tslog": look_at_log(kernel, memory),
    }
    return {name: value for name, value in found.items() if value}


class _Reader(Reader):
    """What only FreeBSD has: event timers, ``init_ops``, its environment."""

    def variables(self) -> dict[str, int | str]:
        found: dict[str, int | str] = {**self.numbers(NUMBERS)}
        vendor = self.text(self.address("hv_vendor"))
        return {**found, "hv_vendor": vendor} if vendor else found

    def timer(self, address: int | None) -> Row | None:
        """A struct eventtimer."""
        at = layout(self.kernel, "eventtimer")
        members = {key: (at[member], size) for key, (member, size) in _TIMER.items()}
        return self.row(address, at["et_name"], members)

    def timers(self) -> dict[str, Any] | None:
        return self.listed("eventtimers", self.timer, layout(self.kernel, "eventtimer")["et_all"])

    def early_delay(self) -> str | None:
        """Who serves DELAY while there is no better clock: a function's name."""
        variable = self.address("init_ops")
        offset = layout(self.kernel, "init_ops")["early_delay"]
        return self.function(variable + offset) if variable is not None else None

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
        array = self.pointer(self.address("kenvp"))
        if array is None:
            for variable in ("md_envp", "kern_envp"):
                start = self.pointer(self.address(variable))
                raw = self._piece(start, b"\0\0", _ENVIRONMENT_BYTES) if start else b""
                yield from raw.decode("ascii", errors="replace").split("\0")[:_MOST_WORDS]
            return
        for number in range(_MOST_WORDS):
            word = self.pointer(array + 8 * number)
            if word is None:
                return
            yield self._piece(word, b"\0", _WORD_BYTES).decode("ascii", errors="replace")

    def _piece(self, start: int, end: bytes, most: int) -> bytes:
        """Bytes up to an end mark, which is left out."""
        raw = b""
        while end not in raw and len(raw) < most:
            try:
                raw += self.memory.read(start + len(raw), _PIECE)
            except Unreadable:
                break
        return raw.split(end)[0]
