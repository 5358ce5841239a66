"""A number of which two bounds are known: what is measured between two moments is no point."""

from __future__ import annotations

from typing import NamedTuple, Self

PPM = 1_000_000


class Span(NamedTuple):
    """``low <= true value <= high``, integers of one unit."""

    low: int
    high: int

    @classmethod
    def around(cls, value: int, ppm: int) -> Self:
        """A value and so many parts per million to either side, at least 1."""
        slack = max(1, value * ppm // PPM)
        return cls(value - slack, value + slack)

    def wider(self, ppm: int, plus: int = 0) -> Span:
        """The same with slack: parts per million of its bounds, and a number of units."""
        slack = self.high * ppm // PPM + plus
        return Span(self.low - self.low * ppm // PPM - plus, self.high + slack)

    def meets(self, other: Span) -> bool:
        """Whether one true value can be in both."""
        return self.low <= other.high and other.low <= self.high

    @property
    def middle(self) -> int:
        """Half way between the bounds."""
        return (self.low + self.high) // 2

    def times(self, other: Span, per: int) -> Span:
        """The product of two spans of positive numbers, divided by ``per``."""
        return Span(self.low * other.low // per, -(-self.high * other.high // per))
