"""The survey: a bare guest of ours says what a machine offers, before a kernel has to find out.

::

    offers = await survey(Machine(), QemuVmm("/usr/bin/qemu-system-x86_64"))
    print(offers.tsc, offers.offers, offers.lacks)

The guest (``payloads/survey.c``) reads CPUID, MSRs and the clock devices. Then it answers bytes of
ours with the counts of all its counters: each answer lies between the moment before we sent the
byte and the moment after we read the answer, so the rates have bounds that hold whatever the
delays were (`timehands.clocks.rate`). On a deterministic machine, whose time is not the host's,
the ruler is the PIT.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from timehands.clocks.cpuid.table import CpuidTable
from timehands.clocks.i8254 import MODULUS, ticks_to_ns
from timehands.clocks.rate import Rate, Reading, fit, unwrap
from timehands.clocks.rtc import RtcTime
from timehands.errors import SurveyFailed
from timehands.machines.build import BARE_FLAGS, PAYLOADS, build
from timehands.machines.machine import Load, Machine
from timehands.machines.survey_lines import MAX_BYTES, Line, Sample, Words, read_lines
from timehands.machines.survey_values import (
    AcpiPm,
    Hpet,
    Lapic,
    Pit,
    Rtc,
    StartInfo,
    Survey,
)
from timehands.machines.vmm import Running, Vmm

__all__ = ["Survey", "interpret", "payload", "survey"]

TIMEOUT_SECONDS = 10.0
SOURCES = (
    "bare.S", "bare_serial.c", "survey.c", "survey_cpuid.c", "survey_devices.c", "survey_rtc.c",
    "survey_samples.c", "bare.h", "survey.h", "bare.ld",
)  # fmt: skip
#: The pause before each sample: two dense rows, far apart, with a few samples between them. The
#: quickest answer of each row makes the bounds; the few show whether the rate is constant.
_ROW_MS = (0,) * 100
PAUSES_MS = (*_ROW_MS, 35, 35, 35, 35, *_ROW_MS)
#: A dense row ends after this time if an answer came quickly, and after the longer one anyhow.
ROW_NS, LONG_ROW_NS = 12_000_000, 60_000_000
QUICK_NS = 250_000
#: A row without an answer quicker than this is taken again after a pause, so many times in all.
POOR_NS, ROWS_AGAIN = 1_000_000, 3


def payload() -> Path:
    """The survey guest, built on first use. Raises `CompilerMissing`."""
    flags = (*BARE_FLAGS, "-m32", "-march=i486", "-T", str(PAYLOADS / "bare.ld"))
    return build(SOURCES, flags, "survey")


async def survey(machine: Machine, vmm: Vmm, *, timeout_s: float = TIMEOUT_SECONDS) -> Survey:
    """What the machine offers. Takes about 0.4 s on a microvm.

    Raises `SurveyFailed` when the guest does not come to its end in time or makes no sense,
    `MachineError` when QEMU or the monitor refuses the machine, `CompilerMissing`.
    """
    load = Load(payload(), arguments=_arguments(machine))
    console = _Console()
    guest = await vmm.start(machine, load, console)
    try:
        console.answer = guest.send
        await guest.resume()
        reason = await _ended(guest, console, timeout_s)
        ended_ns = time.monotonic_ns()
    finally:
        await guest.kill()
    if console.overflowed:
        raise SurveyFailed(f"the survey guest wrote more than {MAX_BYTES >> 10} KiB")
    words = _read(console, reason, timeout_s)
    return interpret(words, console.sent_ns, machine, ended_ns - guest.started_ns)


def _arguments(machine: Machine) -> tuple[str, ...]:
    pace = "pace=self" if machine.deterministic else "pace=host"
    return (pace,) if machine.has("hpet") else (pace, "hpet=off")


async def _ended(guest: Running, console: _Console, timeout_s: float) -> str | None:
    """How the guest ended, or None when it did not in time; a flood on the console ends it too."""
    flood = asyncio.create_task(console.flood.wait())
    end = asyncio.create_task(guest.wait())
    try:
        await asyncio.wait({end, flood}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return end.result() if end.done() else None
    finally:
        for task in (flood, end):
            task.cancel()
        await asyncio.gather(flood, end, return_exceptions=True)


def _read(console: _Console, reason: str | None, timeout_s: float) -> Words:
    try:
        return read_lines(console.lines)
    except SurveyFailed as error:
        text = "\n".join(line.text for line in console.lines)
        message = error.message
        if reason is None:
            message = f"the survey guest did not end in {timeout_s:g} s: {message}"
        elif reason != "guest-reset":
            message = f"the survey guest ended by {reason}: {message}"
        raise SurveyFailed(message, output=text, advice=error.advice) from error


class _Console:
    """The sink of a survey: its lines, and the byte that asks for the next sample."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.sent_ns: list[int] = []
        self.answer = _nobody
        self.flood = asyncio.Event()
        self._rest = b""
        self._bytes = 0
        self._pauses = list(reversed(PAUSES_MS))
        self._row_ns = 0
        self._quickest_ns = LONG_ROW_NS
        self._again = ROWS_AGAIN

    @property
    def overflowed(self) -> bool:
        """Whether the guest wrote more than a survey may."""
        return self.flood.is_set()

    def console(self, host_ns: int, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            self.flood.set()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("ascii", errors="replace").rstrip("\r")
            self.lines.append(Line(host_ns, text))
            if text == "B host" or text.startswith("S "):
                self._ask(host_ns)

    def stream(self, host_ns: int, data: bytes) -> None:
        """A survey has no watcher."""

    def machine_event(self, host_ns: int, name: str, data: dict[str, Any]) -> None:
        """The guest's end is waited for by `Guest.wait`."""

    def _ask(self, answered_ns: int) -> None:
        self._end_row(answered_ns)
        pause_ms = self._pauses.pop() if self._pauses else None
        if pause_ms == 0:
            self._send(b"s")
        elif pause_ms is None:
            self._send(b"q")
        else:
            asyncio.get_running_loop().call_later(pause_ms / 1000, self._send, b"s")

    def _end_row(self, now_ns: int) -> None:
        """Begin a dense row, or end it when it has what it is for or has taken too long."""
        dense = bool(self._pauses) and self._pauses[-1] == 0
        if self._row_ns == 0:
            if dense:
                self._row_ns, self._quickest_ns = now_ns, LONG_ROW_NS
            return
        self._quickest_ns = min(self._quickest_ns, now_ns - self.sent_ns[-1])
        patience_ns = ROW_NS if self._quickest_ns <= QUICK_NS else LONG_ROW_NS
        if dense and now_ns - self._row_ns <= patience_ns:
            return
        self._row_ns = 0
        while self._pauses and self._pauses[-1] == 0:
            self._pauses.pop()
        if self._quickest_ns > POOR_NS and self._again:
            self._again -= 1
            self._pauses += [*_ROW_MS, 35]

    def _send(self, byte: bytes) -> None:
        self.sent_ns.append(time.monotonic_ns())
        self.answer(byte)


def _nobody(data: bytes) -> None:
    """Nobody listens yet."""


def interpret(words: Words, sent_ns: list[int], machine: Machine, duration_ns: int) -> Survey:
    """The survey that a guest's words make.

    ``sent_ns`` has the host time just before each sample was asked for. Raises `SurveyFailed` when
    an answer came without a question.
    """
    by_host = words.pace == "host"
    if by_host and len(words.samples) > len(sent_ns):
        raise SurveyFailed("the survey guest took samples that nobody asked for")
    readings = _by_host(words.samples, sent_ns) if by_host else _by_pit(words.samples)
    rates = {name: fit(values) for name, values in readings.items()}
    tsc = rates["tsc"]
    return Survey(
        cpuid=CpuidTable(words.cpuid),
        msrs=words.msrs,
        ruler="host" if by_host else "pit",
        tsc=tsc,
        pit=_pit(words, rates["pit"]),
        rtc=_rtc(words, tsc, machine),
        lapic=_lapic(words, rates["lapic"]),
        hpet=_hpet(words, rates["hpet"]),
        acpi_pm=_acpi_pm(words, rates["acpi_pm"]),
        pic=bool(words.devices["Q"][2]),
        i8042=words.devices["Q"][1] != 0xFF,
        start_info=_start_info(words),
        duration_ns=duration_ns,
    )


_COUNTERS = ("tsc", "pit", "lapic", "hpet", "acpi_pm")


def _by_host(samples: list[Sample], sent_ns: list[int]) -> dict[str, list[Reading]]:
    """Readings of each counter between the question and the answer."""
    pairs = list(zip(samples, sent_ns, strict=False))
    pit = _whole_pit(samples)
    readings: dict[str, list[Reading]] = {name: [] for name in _COUNTERS}
    for at, (sample, sent) in enumerate(pairs):
        values = {"tsc": sample.tsc, "pit": pit[at] if pit else None, "lapic": sample.lapic,
                  "hpet": sample.hpet, "acpi_pm": sample.acpi_pm}  # fmt: skip
        for name, value in values.items():
            if value is not None:
                readings[name].append(Reading(value, sent, sample.arrived_ns))
    return readings


def _by_pit(samples: list[Sample]) -> dict[str, list[Reading]]:
    """Readings of the other counters during the PIT tick in which they were taken.

    The sample is taken just as the PIT's count changes, the TSC once before and once after.
    """
    readings: dict[str, list[Reading]] = {name: [] for name in _COUNTERS}
    for sample in samples:
        if sample.pit is None:
            continue
        start_ns, end_ns = ticks_to_ns(sample.pit), ticks_to_ns(sample.pit + 1) + 1
        readings["tsc"].append(Reading(sample.tsc, start_ns, end_ns))
        for name in ("lapic", "hpet", "acpi_pm"):
            value = getattr(sample, name)
            if value is not None:
                readings[name].append(Reading(value, start_ns, end_ns))
    return readings


def _whole_pit(samples: list[Sample]) -> tuple[int, ...]:
    """The PIT's counts; wraps that the guest slept through are added by the TSC."""
    counts = [sample.pit for sample in samples if sample.pit is not None]
    if len(counts) != len(samples):
        return ()
    return unwrap(counts, [sample.tsc for sample in samples], MODULUS)


def _pit(words: Words, rate: Rate | None) -> Pit:
    counts, _, _, second, _, _ = words.devices["P"]
    return Pit(bool(counts), rate, bool(second), words.devices["Q"][0] != 0xFF)


def _lapic(words: Words, rate: Rate | None) -> Lapic:
    if not (line := words.devices["A"]):
        return Lapic(False)
    base, version, counts, _, _ = line
    return Lapic(bool(counts), rate, base, version)


def _hpet(words: Words, rate: Rate | None) -> Hpet:
    if not (line := words.devices["H"]):
        return Hpet(False)
    _, period_fs, counts, _, _ = line
    return Hpet(bool(counts), rate, period_fs)


def _acpi_pm(words: Words, rate: Rate | None) -> AcpiPm:
    if not (line := words.devices["K"]):
        return AcpiPm(False)
    port, counts, _, _ = line
    return AcpiPm(bool(counts), rate, port)


def _rtc(words: Words, tsc: Rate | None, machine: Machine) -> Rtc:
    line, date = words.devices["R"], words.devices.get("D")
    if not line or not date:
        return Rtc(False)
    shown = RtcTime(*(*date, line[1])).as_utc()
    offset_s = None
    if shown and not machine.deterministic:
        offset_s = _offset_s(shown, words.device_ns["D"])
    ticks, periodic_hz = _periodic(words, tsc)
    return Rtc(True, ticks, periodic_hz, shown.isoformat() if shown else None, offset_s)


def _periodic(words: Words, tsc: Rate | None) -> tuple[bool, int | None]:
    """Whether the RTC's periodic flag came more than once, and how often in a second."""
    edges, first, last, _ = words.devices.get("F", (0, 0, 0, 0))
    if edges < 2 or last <= first:
        return False, None
    return True, (edges - 1) * tsc.hz // (last - first) if tsc else None


def _offset_s(shown: datetime, host_ns: int) -> int:
    """How far the RTC was from the host's wall clock when its line came, in whole seconds.

    A clock that shows whole seconds is on average half a second behind.
    """
    wall_ns = time.time_ns() - (time.monotonic_ns() - host_ns)
    seconds = int((shown - datetime.fromtimestamp(0, UTC)).total_seconds())
    return round((seconds * 10**9 + 5 * 10**8 - wall_ns) / 10**9)


def _start_info(words: Words) -> StartInfo | None:
    if not words.start_info:
        return None
    version, flags, modules, rsdp, _ = words.start_info
    return StartInfo(version, flags, modules, rsdp, words.command_line, tuple(words.memory))
