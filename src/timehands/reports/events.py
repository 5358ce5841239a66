"""An event of a recording, in words: one line, to be read without the kernel's source.

Everything that came from the guest (strings, names) is made harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from timehands.clocks.msr import MSR_WORDS
from timehands.reports.plain import clipped, harmless
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

#: I/O ports of clocks, and of what stands beside them (IBM PC AT; ACPI's where QEMU has it).
PORT_WORDS: Mapping[int, str] = {
    0x20: "PIC 1 command",
    0x21: "PIC 1 mask",
    0x40: "PIT channel 0",
    0x41: "PIT channel 1",
    0x42: "PIT channel 2",
    0x43: "PIT mode",
    0x60: "i8042 data",
    0x61: "PIT channel 2 gate and output",
    0x64: "i8042 status and command",
    0x70: "RTC index",
    0x71: "RTC data",
    0xA0: "PIC 2 command",
    0xA1: "PIC 2 mask",
    0x608: "ACPI PM timer",
    0xB008: "ACPI PM timer",
}
#: Registers of the local APIC's timer, by offset (Intel SDM, volume 3, "Local APIC Register Map").
LAPIC_WORDS: Mapping[int, str] = {
    0x20: "LAPIC id",
    0x30: "LAPIC version",
    0x320: "LAPIC timer vector",
    0x380: "LAPIC initial count",
    0x390: "LAPIC current count",
    0x3E0: "LAPIC divider",
}
#: Registers of the HPET, by offset (IA-PC HPET specification 1.0a, 2.3.1).
HPET_WORDS: Mapping[int, str] = {
    0x00: "HPET capabilities and period",
    0x04: "HPET period",
    0x10: "HPET configuration",
    0xF0: "HPET counter",
}
_LAPIC, _HPET, _IOAPIC, _PAGE = 0xFEE00000, 0xFED00000, 0xFEC00000, 0x1000
_ARROW = " → "
_LONGEST = 240


def describe_event(recording: Recording, event: Event) -> str:
    """One line of at most 240 characters, with the place in the kernel where a symbol is known.

    ``cpuid leaf 0x15 → eax 0x0 ebx 0x0 ecx 0x0 edx 0x0 at native_calibrate_tsc+0x3c``
    """
    describe = _WORDS.get(event.kind)
    words = describe(recording, event) if describe else event.kind.name.lower()
    if event.passed:
        words += f", and {event.passed:,} more like it"
    return clipped(words, _LONGEST)


def place(recording: Recording, address: int) -> str:
    """A guest address as ``function+0x1f`` where that is known, else as a number."""
    name = recording.symbols.get(address)
    return harmless(name, 80) if name else f"{address:#x}"


def _at(recording: Recording, event: Event) -> str:
    return f" at {place(recording, event.pc)}" if event.pc else ""


def _result(event: Event, words: str) -> str:
    return _ARROW + ("not seen" if event.no_result else words)


def _cpuid(recording: Recording, event: Event) -> str:
    leaf, subleaf = event.leaf
    names = ("eax", "ebx", "ecx", "edx")
    registers = zip(names, event.registers, strict=True)
    values = " ".join(f"{name} {value:#x}" for name, value in registers)
    which = f"{leaf:#x}" + (f" subleaf {subleaf:#x}" if subleaf else "")
    return f"cpuid leaf {which}{_result(event, values)}{_at(recording, event)}"


def _rdtsc(recording: Recording, event: Event) -> str:
    return f"rdtsc{_at(recording, event)}"


def _msr(event: Event) -> str:
    words = MSR_WORDS.get(event.values[0])
    return f"{event.values[0]:#x}" + (f" ({words})" if words else "")


def _rdmsr(recording: Recording, event: Event) -> str:
    value = _result(event, f"{event.values[1]:#x}")
    return f"rdmsr {_msr(event)}{value}{_at(recording, event)}"


def _wrmsr(recording: Recording, event: Event) -> str:
    return f"wrmsr {_msr(event)} = {event.values[1]:#x}{_at(recording, event)}"


def _port(event: Event) -> str:
    port = event.values[0]
    return f"port {port:#x}" + (f" ({PORT_WORDS[port]})" if port in PORT_WORDS else "")


def _in(recording: Recording, event: Event) -> str:
    value = _result(event, f"{event.values[1]:#x}")
    return f"in {_port(event)}{value}{_at(recording, event)}"


def _out(recording: Recording, event: Event) -> str:
    return f"out {_port(event)} = {event.values[1]:#x}{_at(recording, event)}"


def _address(event: Event) -> str:
    address = event.values[0]
    page, offset = address - address % _PAGE, address % _PAGE
    words = {_LAPIC: LAPIC_WORDS.get(offset, "LAPIC"), _HPET: HPET_WORDS.get(offset, "HPET")}
    words[_IOAPIC] = "I/O APIC"
    return f"{address:#x}" + (f" ({words[page]})" if page in words else "")


def _mmio_read(recording: Recording, event: Event) -> str:
    value = _result(event, f"{event.values[1]:#x}")
    return f"read {_address(event)}{value}{_at(recording, event)}"


def _mmio_write(recording: Recording, event: Event) -> str:
    return f"write {_address(event)} = {event.values[1]:#x}{_at(recording, event)}"


def _function(recording: Recording, event: Event) -> str:
    return harmless(recording.function(event) or f"function {event.values[0]}", 80)


def _enter(recording: Recording, event: Event) -> str:
    caller = recording.symbols.get(event.values[4])
    came = f" from {harmless(caller, 80)}" if caller else ""
    return f"enter {_function(recording, event)}({_values(recording, event)}){came}"


def _leave(recording: Recording, event: Event) -> str:
    values = _values(recording, event)
    more = f", {values}" if values else ""
    return f"leave {_function(recording, event)}{_ARROW}{event.values[1]:#x}{more}"


def _values(recording: Recording, event: Event) -> str:
    """What was read with the event, by name."""
    number, known = event.values[0], recording.header.read_names
    names = known[number] if number < len(known) else ()
    values = ((name, event.read(i)) for i, name in enumerate(names))
    return ", ".join(f"{_name(name)}{_value(raw)}" for name, raw in values if raw is not None)


def _name(name: str) -> str:
    """A name before its value; one that only says that it is a string says nothing."""
    return "" if name == "string" else f"{harmless(name, 40)} "


def _value(raw: bytes) -> str:
    """Bytes as text where they are text, else as a number, long ones as hex digits."""
    text = raw.decode("latin-1")
    if raw and text.isascii() and text.isprintable():
        return f"'{clipped(text, 80)}'"
    if len(raw) <= 8:
        return f"{int.from_bytes(raw, 'little'):#x}"
    return clipped(raw.hex(), 64)


def _first(recording: Recording, event: Event) -> str:
    return f"first instruction of vCPU {event.vcpu}{_at(recording, event)}"


def _slide(_recording: Recording, event: Event) -> str:
    return f"KASLR moved the kernel by {event.values[0]:#x}"


def _count(_recording: Recording, event: Event) -> str:
    return f"counted {event.values[1]:,} times, {event.values[2]:,} of them not streamed"


_WORDS: Mapping[Kind, Callable[[Recording, Event], str]] = {
    Kind.FIRST: _first,
    Kind.CPUID: _cpuid,
    Kind.RDTSC: _rdtsc,
    Kind.RDMSR: _rdmsr,
    Kind.WRMSR: _wrmsr,
    Kind.IN: _in,
    Kind.OUT: _out,
    Kind.MMIO_READ: _mmio_read,
    Kind.MMIO_WRITE: _mmio_write,
    Kind.ENTER: _enter,
    Kind.LEAVE: _leave,
    Kind.SLIDE: _slide,
    Kind.COUNT: _count,
}
