"""Times and rates as people write them, in exact integers: "75 h", "50 us .. 200 us", "20 ppm"."""

from __future__ import annotations

import re
from typing import NamedTuple

NS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
PPB = {"ppb": 1, "ppm": 1000, "%": 10**7}
_MAX_DIGITS = 19
_NUMBER = re.compile(r"([+-]?)(\d[\d_]*)(?:\.(\d+))?\s*([a-z%]*)")


class Span(NamedTuple):
    """A range of numbers, both ends included."""

    low: int
    high: int


def quantity(text: str, units: dict[str, int]) -> int:
    """A number with a unit as a whole number of the smallest one. Raises `ValueError`.

    A fraction is exact: "1.5 ms" is 1,500,000 ns, and "0.5 ns" is an error. Without units only
    whole numbers without a unit are taken.
    """
    found = _NUMBER.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not {_wanted(units)}")
    sign, whole, fraction, unit = found.groups(default="")
    if unit not in (units or {"": 1}):
        raise ValueError(f"{text!r} is not {_wanted(units)}")
    whole = whole.replace("_", "")
    if len(whole) > _MAX_DIGITS or len(fraction) > _MAX_DIGITS:
        raise ValueError(f"{text!r} has too many digits")
    factor = units[unit] if units else 1
    parts: int = 10 ** len(fraction)
    number, rest = divmod(int(whole + fraction) * factor, parts)
    if rest:
        raise ValueError(f"{text!r} is not a whole number of {min(units, key=lambda u: units[u])}")
    return -number if sign == "-" else number


def _wanted(units: dict[str, int]) -> str:
    return f"a number with a unit ({', '.join(units)})" if units else "a whole number"


def duration(text: str) -> int:
    """A time in ns. Raises `ValueError`."""
    return quantity(text, NS)


def rate(text: str) -> int:
    """A ratio in ppb. Raises `ValueError`."""
    return quantity(text, PPB)


def span(text: str, units: dict[str, int]) -> Span:
    """``A .. B``, or one number for both ends. Raises `ValueError`."""
    low, dots, high = text.partition("..")
    ends = Span(quantity(low, units), quantity(high if dots else low, units))
    if ends.low > ends.high:
        raise ValueError(f"{text!r} begins above its end")
    return ends


def in_words(ns: int) -> str:
    """A time in the largest unit in which it is a number of three digits before the point."""
    size = abs(ns)
    unit = next(
        (u for u in ("h", "min", "s", "ms", "us") if size >= NS[u] * (2 if u in "hmin" else 1)),
        "ns",
    )
    if unit == "ns":
        return f"{ns} ns"
    return f"{'-' if ns < 0 else ''}{_decimal(size, NS[unit])} {unit}"


def exactly(number: int, units: dict[str, int]) -> str:
    """A number in the largest unit in which it has three decimals at most: nothing is rounded."""
    if not units:
        return f"{number:,}"
    size, sign = abs(number), "-" if number < 0 else ""
    fits = [u for u, factor in units.items() if size >= factor and size * 1000 % factor == 0]
    unit = max(fits, key=lambda u: units[u], default=min(units, key=lambda u: units[u]))
    return f"{sign}{_decimal(size, units[unit])} {unit}"


def ppm_in_words(ppb: int) -> str:
    """A ratio in ppm, or in % when it is large."""
    size, sign = abs(ppb), "-" if ppb < 0 else ""
    if size >= 10**7:
        return f"{sign}{_decimal(size, 10**7)} %"
    return f"{sign}{_decimal(size, 1000)} ppm"


def _decimal(number: int, factor: int) -> str:
    """Rounded to three decimals, without zeros at the end."""
    whole, part = divmod((number * 1000 * 2 + factor) // (2 * factor), 1000)
    return f"{whole:,}.{part:03}".rstrip("0").rstrip(".")
