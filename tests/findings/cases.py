"""Cases by hand: a story told on a tape, judged with a survey of a machine that offers what is
asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recordings import Tape
from timehands.boot import tell
from timehands.clocks.cpuid.table import CpuidTable, Registers
from timehands.clocks.rate import Rate
from timehands.findings.case import Case
from timehands.findings.model import Finding, Fix
from timehands.machines.machine import Machine
from timehands.machines.survey_values import AcpiPm, Hpet, Lapic, Pit, Rtc, Survey

TSC_HZ = 2_500_000_000
KVM_SIGNATURE = (0x4B4D564B, 0x564B4D56, 0x4D)


def rate(hz: int, ppm: int = 20) -> Rate:
    """A measured rate with bounds of so many ppm on either side."""
    return Rate(hz, hz - hz * ppm // 10**6, hz + hz * ppm // 10**6, 40, 10**9)


def survey(
    *,
    tsc_hz: int = TSC_HZ,
    pit: bool = True,
    gate: bool = True,
    rtc: bool = True,
    lapic: bool = True,
    hpet: bool = False,
    i8042: bool = True,
    pvclock: bool = False,
    hypervisor_max: int = 0x40000001,
    timing_leaf: tuple[int, int] | None = None,
) -> Survey:
    """A machine with a TSC of that rate and the devices that are asked for.

    ``timing_leaf`` is what CPUID 0x40000010 answers (eax, ebx): believable only when
    ``hypervisor_max`` reaches it.
    """
    leaves = {
        (0, 0): Registers(1, 0x756E6547, 0x6C65746E, 0x49656E69),
        (1, 0): Registers(0x906EA, 0, 1 << 31, 1 << 4),
        (0x40000000, 0): Registers(hypervisor_max, *KVM_SIGNATURE),
        (0x40000001, 0): Registers((1 << 3 | 1 << 24) if pvclock else 0, 0, 0, 0),
    }
    if timing_leaf:
        leaves[(0x40000010, 0)] = Registers(*timing_leaf, 0, 0)
    return Survey(
        cpuid=CpuidTable(leaves),
        msrs={},
        ruler="host",
        tsc=rate(tsc_hz),
        pit=Pit(pit, rate(1_193_182) if pit else None, pit, gate),
        rtc=Rtc(rtc, rtc),
        lapic=Lapic(lapic, rate(10**9) if lapic else None, 0xFEE00000 if lapic else None),
        hpet=Hpet(hpet, rate(10**8) if hpet else None),
        acpi_pm=AcpiPm(False),
        pic=True,
        i8042=i8042,
        start_info=None,
        duration_ns=0,
    )


def case(tape: Tape, folder: Path, surveyed: Survey | None = None) -> Case:
    """The case of a tape."""
    recording = tape.write(folder)
    return Case(recording, tell(recording)[0], surveyed)


def on(tape: Tape, **changes: object) -> Tape:
    """The tape, recorded on another machine."""
    tape.machine = replace(Machine(), **changes)  # type: ignore[arg-type]
    return tape


def values(fixes: tuple[Fix, ...]) -> list[str]:
    """What the fixes would apply."""
    return [fix.value for fix in fixes]


def only(findings: list[Finding]) -> Finding:
    """The one finding that there is to be."""
    (finding,) = findings
    return finding
