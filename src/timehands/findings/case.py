"""What a rule looks at: one recorded boot, its story, and what the machine was found to offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from timehands.findings.model import Finding, Fix, FixKind
from timehands.guests.base import Knowledge, Need, Remedy
from timehands.guests.registry import knowledge_named
from timehands.machines.machine import Machine
from timehands.machines.survey import Survey
from timehands.story.instructions import Touched, touched_clocks
from timehands.story.model import Mark, Story
from timehands.watch.interventions import Did
from timehands.watch.recording import KernelIdentity, Recording


@dataclass(frozen=True)
class Case:
    """One boot to be judged. ``survey`` None: the machine was not surveyed."""

    recording: Recording
    story: Story
    survey: Survey | None

    @property
    def machine(self) -> Machine:
        """What it ran on."""
        return self.recording.header.machine

    @property
    def kernel(self) -> KernelIdentity:
        """What ran."""
        return self.recording.header.kernel

    @cached_property
    def knowledge(self) -> Knowledge:
        """What we know of the kernel's system."""
        return knowledge_named(self.kernel.os)

    @cached_property
    def touched(self) -> dict[str, Touched]:
        """The clocks that the guest's instructions touched."""
        return touched_clocks(self.recording.events)

    def offers(self, clock: str) -> bool:
        """Whether the survey saw the machine offer a clock (`timehands.machines.survey`)."""
        return self.survey is not None and self.survey.offer(clock) is not None

    def lacks(self, clock: str) -> bool:
        """Whether the machine is known not to have it: not surveyed is not known."""
        return self.survey is not None and self.survey.offer(clock) is None

    @property
    def tsc_hz(self) -> int | None:
        """The TSC's true frequency as far as the survey tells: by a leaf, else as measured."""
        if self.survey is None:
            return None
        told = self.survey.offer("tsc_frequency")
        measured = self.survey.offer("tsc")
        return (told.hz if told else None) or (measured.hz if measured else None)

    def arguments_for(self, need: Need, hz: int | None = None) -> tuple[Fix, ...]:
        """The system's answers to a need, as fixes; what was already given is left out."""
        remedies = self.knowledge.remedies(need, hz)
        return tuple(self._fix(remedy) for remedy in remedies if not self._given(remedy))

    def _fix(self, remedy: Remedy) -> Fix:
        if not remedy.patch:
            return Fix(FixKind.KERNEL_ARGUMENT, remedy.argument, remedy.why)
        if self.kernel.symbols:
            return Fix(FixKind.PATCH, remedy.argument, remedy.why)
        advice = f"a kernel file with symbols, and --patch '{remedy.argument}'"
        return Fix(FixKind.ADVICE, advice, remedy.why)

    def _given(self, remedy: Remedy) -> bool:
        """Whether all that the remedy sets was set in this boot, to whatever value."""
        if remedy.patch:
            done = [d.what for d in self.recording.interventions if d.kind is Did.PATCH]
            words = remedy.argument.split(",")
            places = [word.partition("=")[0].partition(":")[0] for word in words]
            return all(any(what.startswith(f"{place} =") for what in done) for place in places)
        given = {word.split("=", 1)[0] for word in self.recording.header.load.arguments}
        return {word.split("=", 1)[0] for word in remedy.argument.split()} <= given

    @property
    def on_monitor(self) -> bool:
        """Whether it ran on our own monitor."""
        return self.machine.type == "monitor"

    @property
    def leaf_fixes(self) -> tuple[Fix, ...]:
        """What has KVM's knowledge of the TSC's frequency published; none where it is already."""
        if self.machine.accelerator != "kvm" or not self.lacks("tsc_frequency"):
            return ()
        if self.on_monitor:
            why = "the monitor then publishes that leaf"
            return (Fix(FixKind.CLOCK, "tsc-leaf=0x40000010", why),)
        return (Fix(FixKind.CPU_FLAG, "+invtsc", "QEMU then publishes leaf 0x40000010"),)

    @property
    def acpi_fixes(self) -> tuple[Fix, ...]:
        """ACPI tables, where the machine has none and a LAPIC that they would tell of.

        Without the PIC: a kernel that finds hardware-reduced ACPI (microvm's) leaves the PIC as the
        firmware left it, and its first interrupt then comes as exception 0. Such a kernel does
        not use the i8254 either: it is advice as long as the TSC's frequency is not told.
        """
        if self.machine.has("acpi") or not self.offers("lapic"):
            return ()
        if self.on_monitor:
            return (Fix(FixKind.DEVICE, "acpi=on", "the kernel then finds its LAPIC"),)
        told = [c for c in self.story.calibrations if c.of == "tsc" and "i8254" not in c.against]
        known = self.story.boundary_ns(Mark.CLOCK_KNOWN) is not None
        measured = any("i8254" in c.against and c.result_hz for c in self.story.calibrations)
        if not known or (measured and not any(c.result_hz for c in told)):
            why = "ACPI tells of the LAPIC; the TSC's frequency must be told then, not measured"
            return (Fix(FixKind.ADVICE, "a machine with acpi=on,pic=off", why),)
        why = "the kernel then finds its LAPIC; without the PIC no stray interrupt can come"
        return (Fix(FixKind.DEVICE, "acpi=on,pic=off", why),)


#: A rule looks at a case and gives what it finds.
Rule = Callable[[Case], Iterable[Finding]]
