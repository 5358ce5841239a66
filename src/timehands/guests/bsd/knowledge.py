"""What the `Knowledge` of every BSD does alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from timehands.guests.base import enters, left
from timehands.guests.bsd.messages import without_stamp
from timehands.guests.bsd.story import Teller
from timehands.kernels.kernel import Kernel
from timehands.story.model import Mark, Story
from timehands.watch.plan import Plan
from timehands.watch.recording import Recording
from timehands.watch.records import Kind, RawRecord


@dataclass(frozen=True, slots=True)
class Passed:
    """The functions that show that a boundary is passed: one is entered, or returns."""

    entered: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()


class BSD:
    """The part of a `timehands.guests.base.Knowledge` that all BSDs have.

    ``teller`` tells a recording, and the boundaries by functions and lines; ``passed`` tells them
    live. `Mark.ENDED` is passed when the kernel waits for a person, at a question or in its
    debugger.
    """

    name: str
    teller: Teller
    passed: Mapping[Mark, Passed]

    def recognises(self, kernel: Kernel) -> bool:
        """Whether the file says that it is this system."""
        return kernel.os == self.name

    def ramdisk(self) -> Path | None:
        """None: no BSD has a ramdisk of ours with which a boot ends cleanly."""
        return None

    def reaches(self, mark: Mark, plan: Plan, record: RawRecord) -> bool:
        """Whether a live record shows that the boundary is passed."""
        if mark is Mark.FIRST_INSTRUCTION:
            return record[0] == Kind.FIRST
        if mark is Mark.KERNEL_ENTRY:
            return enters(plan, record, *self.teller.words.entries)
        passed = self.passed.get(mark, Passed())
        return enters(plan, record, *passed.entered) or left(plan, record) in passed.returned

    def told(self, mark: Mark, text: str) -> bool:
        """Whether a console line shows that the boundary is passed."""
        known = self.teller.words.lines.get(mark)
        return known is not None and bool(known.search(without_stamp(text)))

    def tell(self, recording: Recording) -> Story:
        """The story of a recording of this system."""
        return self.teller.tell(recording)
