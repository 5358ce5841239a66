"""What a scenario expects of its outcome: bounds on the figures, in words that people write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from timehands.simulate.units import NS, PPB, exactly, in_words, ppm_in_words, quantity, span

#: What can be expected, and the units of its numbers (none: a count). `truth.Outcome.figures`.
FIGURES: Mapping[str, Mapping[str, int]] = {
    "warps": {},
    "worst_warp": NS,
    "warps_across": {},
    "worst_warp_across": NS,
    "stalls": {},
    "worst_stall": NS,
    "refused": {},
    "unstable_reads": {},
    "worst_offset": NS,
    "last_offset": NS,
    "rate_error": PPB,
    "worst_rate_error": PPB,
    "worst_jump": NS,
    "lockups": {},
    "wall_offset": NS,
    "worst_timer_late": NS,
    "timers_lost": {},
    "dropped": {},
}
_BOUND = re.compile(r"\s*(<=|>=|<|>|=)?(.*)", re.DOTALL)


class Expectation(NamedTuple):
    """``low <= figure <= high``; None is no bound. In ns, ppb, or a count."""

    figure: str
    low: int | None
    high: int | None

    def met(self, value: int) -> bool:
        """Whether a value is as expected."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        units = dict(FIGURES[self.figure])
        if self.low is None or self.high is None:
            sign, bound = ("<=", self.high) if self.low is None else (">=", self.low)
            return f"{self.figure} {sign} {exactly(bound or 0, units)}"
        if self.low == self.high:
            return f"{self.figure} = {exactly(self.low, units)}"
        return f"{self.figure} {exactly(self.low, units)} .. {exactly(self.high, units)}"


def shown(figure: str) -> Callable[[int], str]:
    """How a figure's values are written."""
    units = FIGURES[figure]
    return in_words if units is NS else ppm_in_words if units is PPB else _count


def _count(number: int) -> str:
    return f"{number:,}"


def parse(figure: str, text: str | int) -> Expectation:
    """``0``, ``"<= 1 us"``, ``"> 75 h"``, ``"15 us .. 68 us"``. Raises `ValueError`."""
    if figure not in FIGURES:
        raise ValueError(f"nothing is called {figure!r}; there are {', '.join(FIGURES)}")
    units = dict(FIGURES[figure])
    if isinstance(text, int):
        if units and text:
            raise ValueError(f'{text} needs a unit ({", ".join(units)}), as in "<= {text} us"')
        return Expectation(figure, text, text)
    found = _BOUND.fullmatch(text)
    sign, rest = (found[1] or "=", found[2]) if found else ("=", text)
    if sign == "=":
        return Expectation(figure, *span(rest, units))
    number = quantity(rest, units)
    bounds = {"<=": (None, number), "<": (None, number - 1), ">=": (number, None)}
    low, high = bounds.get(sign, (number + 1, None))
    return Expectation(figure, low, high)
