"""Something wrong, and what to do about it: plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from timehands.machines.machine import CLOCK_DEVICES, Accelerator, Machine
from timehands.story.model import References


class Severity(StrEnum):
    """How bad: ``error`` keeps time wrong or the boot from ending, ``note`` is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact, in words, and where in the recording it is (``e412``, ``c37``)."""

    text: str
    references: References = ()


class FixKind(StrEnum):
    """What a fix changes. ``advice`` cannot be applied from outside."""

    KERNEL_ARGUMENT = "kernel argument"
    CPU_FLAG = "CPU flag"
    DEVICE = "machine device"
    CLOCK = "monitor clock"
    ACCELERATOR = "accelerator"
    PATCH = "kernel patch"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that may mend a finding.

    ``value`` is what to apply: a kernel argument (``tsc_early_khz=2500000``; several that belong
    together have spaces between them), a CPU flag (``+invtsc``), a device and its state
    (``pit=on``; ``acpi=on,pic=off`` belong together), a clock of the monitor
    (``tsc-leaf=0x40000010``), an accelerator, a patch of the kernel's data
    in a temporary copy of its file (`timehands.kernels.patch`). ``why`` says
    what it does.
    """

    kind: FixKind
    value: str
    why: str

    @property
    def applies(self) -> bool:
        """Whether Timehands can apply it by itself."""
        return self.kind is not FixKind.ADVICE

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """What it sets, as (name, value): each device, each argument, each patched place."""
        apart = {FixKind.DEVICE: ",", FixKind.PATCH: ",", FixKind.KERNEL_ARGUMENT: None}
        words = self.value.split(apart[self.kind]) if self.kind in apart else [self.value]
        parts = (word.lstrip("+-").partition("=") for word in words)
        return tuple((name, value) for name, _, value in parts)

    def applied_to(self, machine: Machine) -> Machine:
        """The machine with this fix. An argument, a patch or an advice does not change it."""
        if self.kind is FixKind.CPU_FLAG:
            return machine.with_cpu_flag(self.value)
        if self.kind is FixKind.DEVICE:
            for name, state in self.settings:
                device = next(d for d in CLOCK_DEVICES[machine.type] if d == name)
                machine = machine.with_device(device, state == "on")
            return machine
        if self.kind is FixKind.CLOCK:
            return machine.with_clock(self.value)
        if self.kind is FixKind.ACCELERATOR:
            accelerator: Accelerator = "kvm" if self.value == "kvm" else "tcg"
            return replace(machine, accelerator=accelerator)
        return machine

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the guest's clocks.

    ``code`` is stable (TH101); ``cause`` is in the kernel's own terms; ``cost_ns`` is the host time
    that it cost the boot, where that was measured.
    """

    code: str
    title: str
    severity: Severity
    cause: str
    evidence: tuple[Evidence, ...]
    fixes: tuple[Fix, ...] = ()
    cost_ns: int | None = None


class Verdict(StrEnum):
    """What a trial showed."""

    MENDED = "mended"  # the findings that the fix is for are gone
    BETTER = "better"  # something is still wrong, but it came further, or to a better clock
    UNCHANGED = "unchanged"
    WORSE = "worse"
    FAILED = "failed"  # the machine did not start


@dataclass(frozen=True, slots=True)
class Trial:
    """The same boot again with some fixes: what came out.

    ``gained_ns`` is how much shorter the boot was (first instruction to init), negative when it
    was longer, None when the two boots did not reach the same boundary. ``measured_hz`` is the TSC
    frequency that the kernel measured in this boot, None when it did not; ``lapic_hz`` that of the
    bus its LAPIC counts. ``reached`` is by what it was seen that init was reached (``mountroot>``),
    empty when it was not.
    """

    fixes: tuple[Fix, ...]
    verdict: Verdict
    outcome: str
    selected: str | None
    frequency_hz: int | None
    boot_ns: int | None
    gained_ns: int | None
    mended: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    recording: str | None = None
    error: str | None = None
    measured_hz: int | None = None
    lapic_hz: int | None = None
    reached: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """The trials of one boot: fixes alone, and together with what each trial still called for."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial | None:
        """One that mended before one that only helped, then the one that mended most findings;
        among equals the one with the fewest fixes."""
        good = [t for t in self.trials if t.verdict in (Verdict.MENDED, Verdict.BETTER)]

        def merit(trial: Trial) -> tuple[bool, int, int]:
            return trial.verdict is Verdict.MENDED, len(trial.mended), -len(trial.fixes)

        return max(good, key=merit, default=None)


def codes(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The codes of the findings, each once, in their order."""
    return tuple(dict.fromkeys(finding.code for finding in findings))
