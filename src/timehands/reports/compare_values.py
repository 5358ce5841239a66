"""The cells of a comparison: words, and where they stand for a number, the number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from timehands.reports.plain import clipped, harmless
from timehands.reports.units import duration, hz, ms, ppm
from timehands.story.model import References

Unit = Literal["hz", "ns", "ppm"]
_LONGEST = 600


@dataclass(frozen=True, slots=True)
class Cell:
    """What one side says: words, the number and its unit (None: it is none), where it is seen."""

    text: str
    value: int | None = None
    unit: Unit | None = None
    references: References = ()

    def against(self, other: Cell) -> str:
        """This number against the other's; empty where they are not of one kind, or equal."""
        if self.value is None or other.value is None or self.unit != other.unit:
            return ""
        apart = self.value - other.value
        if not apart or self.unit == "ppm":
            return ""
        sign = "+" if apart > 0 else "-"
        if self.unit == "ns":
            return f"{sign}{ms(abs(apart))}"
        return ppm(parts_per_million(self.value, other.value)) if other.value > 0 else ""


def cell(text: str, references: References = ()) -> Cell | None:
    """Words as a cell; None when there are none. They are made harmless."""
    clean = clipped(harmless(text), _LONGEST)
    return Cell(clean, references=references) if clean else None


def hertz(value: int, references: References = ()) -> Cell:
    """A frequency as a cell."""
    return Cell(hz(value), value, "hz", references)


def nanoseconds(value: int) -> Cell:
    """A time as a cell."""
    return Cell(duration(value), value, "ns")


def parts_per_million(value: int, reference: int) -> int:
    """How far a value is from a reference above 0, in ppm of the reference, rounded."""
    return ((value - reference) * 2_000_000 + reference) // (2 * reference)
