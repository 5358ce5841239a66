"""The clocks of a guest in words, as they are given on a command line.

::

    clocks_from(("pvclock=ours", "tsc-leaf=off", "jump=wall@5s+1h"))

A word sets one clock; the last one of a name counts, but for ``jump``: each is one more. Durations
are a number and a unit: ``250ms``, ``1.5s``, ``1h``; units are ns, us, ms, s, m, h, d.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from timehands.errors import MachineError
from timehands.monitor.settings import Clocks, IrqChips, Jump, Maker, Policy, Published

#: What a boot has unless it is told otherwise: clocks of ours, whose every access can be seen.
WATCHED = Clocks(pvclock=Maker.OURS, pit=Maker.OURS)
_UNITS_NS: Mapping[str, int] = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9,
}  # fmt: skip
_DURATION = re.compile(r"([+-]?)(\d{1,18}(?:\.\d{1,18})?)(ns|us|ms|s|m|h|d)")
_JUMP = re.compile(r"([a-z]+)@([0-9.]+[a-z]+)([+-][0-9.]+[a-z]+)")
_LEAVES: Mapping[str, tuple[Published, ...]] = {
    "0x40000010": (Published.TIMING,),
    "0x15": (Published.CRYSTAL,),
    "both": (Published.TIMING, Published.CRYSTAL),
    "off": (),
}
_MOST_DIGITS = 18


def duration_ns(text: str) -> int:
    """``-1.5s`` in ns, cut off below 1 ns. Raises `MachineError`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise MachineError(
            f"{text!r} is no duration", advice="A number and a unit: 250ms, 1.5s, 1h, 2d."
        )
    sign, number, unit = match.groups()
    whole = int(Fraction(number) * _UNITS_NS[unit])
    return -whole if sign == "-" else whole


def clocks_from(words: Iterable[str], start: Clocks = WATCHED) -> Clocks:
    """The clocks that these words set, the others as in ``start``. Raises `MachineError`."""
    settings: dict[str, Any] = {}
    jumps: list[Jump] = []
    for word in words:
        name, given, value = word.partition("=")
        if name not in _SETTINGS or not given:
            raise MachineError(f"no clock is set by {word!r}", advice=f"There are:\n{HELP}")
        field, read, _ = _SETTINGS[name]
        if field == "jumps":
            jumps.append(read(value))
        else:
            settings[field] = _read(word, read, value)
    if jumps:
        settings["jumps"] = tuple(jumps)
    return replace(start, **settings)


def _read(word: str, read: Callable[[str], Any], value: str) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise MachineError(f"{word!r}: {error}") from error


def _switch(value: str) -> bool:
    if value not in ("on", "off"):
        raise ValueError("it is on or off")
    return value == "on"


def _number(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
        raise ValueError("it is a whole number")
    return int(value)


def _one_of(kind: type[StrEnum], *choices: StrEnum) -> Callable[[str], StrEnum]:
    def read(value: str) -> StrEnum:
        if value not in choices:
            raise ValueError(f"it is one of {', '.join(choices)}")
        return kind(value)

    return read


def _leaf(value: str) -> tuple[Published, ...]:
    if value not in _LEAVES:
        raise ValueError(f"it is one of {', '.join(_LEAVES)}")
    return _LEAVES[value]


def _jump(value: str) -> Jump:
    match = _JUMP.fullmatch(value)
    if match is None:
        raise MachineError(
            f"{value!r} is no jump", advice="A clock, when, and by how much: pvclock@5s+1h."
        )
    clock, when, distance = match.groups()
    return Jump(clock, duration_ns(when), duration_ns(distance))


_Setting = tuple[str, Callable[[str], Any], str]
_SETTINGS: Mapping[str, _Setting] = {
    "pvclock": (
        "pvclock", _one_of(Maker, *Maker),
        "ours (MSR writes are seen), kvm, or none",
    ),
    "pvclock-stable": ("stable", _switch, "on or off: TSC_STABLE in the records of ours"),
    "pit": (
        "pit", _one_of(Maker, Maker.OURS, Maker.KVM),
        "ours (accesses are seen) or kvm; --pit off takes it away",
    ),
    "irqchip": (
        "irqchip", _one_of(IrqChips, *IrqChips),
        "kvm, or split: IOAPIC and 8259s are the monitor's (KVM_CAP_SPLIT_IRQCHIP)",
    ),
    "tsc-leaf": (
        "published", _leaf,
        "where CPUID tells the TSC's frequency: 0x40000010, 0x15, both, off",
    ),
    "tsc-khz": ("tsc_khz", _number, "the TSC's true rate (needs KVM_CAP_TSC_CONTROL)"),
    "told-tsc-khz": ("told_tsc_khz", _number, "what CPUID says instead: a lie"),
    "invariant-tsc": ("invariant_tsc", _switch, "on or off: what CPUID says"),
    "tsc-deadline": ("tsc_deadline", _switch, "on or off: a LAPIC timer with TSC deadline"),
    "lapic-ns": ("apic_bus_ns", _number, "the LAPIC timer's cycle in ns"),
    "date": ("wall_offset_ns", duration_ns, "by how much the guest's date is ahead: +1h, -2d"),
    "pause": (
        "policy", _one_of(Policy, *Policy),
        "monotonic or wall: after a pause pvclock goes on, or catches up",
    ),
    "jump": ("jumps", _jump, "CLOCK@WHEN+DISTANCE of tsc, pvclock, wall: pvclock@5s+1h"),
}  # fmt: skip
#: All names, each with what it takes: a line each.
HELP = "\n".join(f"  {name}= {words}" for name, (_, _, words) in _SETTINGS.items())
