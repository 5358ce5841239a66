"""Numbers as people read them: exact integers in, short strings with their unit out.

All arithmetic is on integers; a digit that is shown is a digit of the number, rounded half up.
"""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "unknown"
_HZ = ((10**9, "GHz"), (10**6, "MHz"), (10**3, "kHz"), (1, "Hz"))
_NS = ((10**9, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes"))
_MINUTE_NS = 60 * 10**9
#: From here on a rate is easier to read in percent than in ppm.
_PERCENT_PPM = 10_000


def hz(value: int | None) -> str:
    """A frequency in Hz: ``2.596132 GHz``, ``250 Hz``; None is ``unknown``."""
    if value is None:
        return UNKNOWN
    if value < 0:
        return "-" + hz(-value)
    scale, unit = next((row for row in _HZ if value >= row[0]), _HZ[-1])
    return f"{_decimal(value, scale, 6, 3 if scale >= 10**6 else 0)} {unit}"


def measured_hz(value: int, low: int, high: int) -> str:
    """A measured frequency in Hz between two bounds, with the digits that they leave certain.

    ``measured_hz(1_000_042_000, 999_900_000, 1_000_100_000)`` is ``1.0000 GHz``; at most six
    decimals and at least three are shown.
    """
    scale, unit = _unit(value, _HZ)
    doubt = max(1, (high - low) // 2)
    places = max(3, min(6, len(str(scale // doubt)) - 1)) if scale > doubt else 3
    return f"{_decimal(value, scale, places, places)} {unit}"


def khz(value: int | None) -> str:
    """A frequency in kHz, shown as `hz` shows it."""
    return hz(None if value is None else value * 1000)


def duration(value_ns: int | None) -> str:
    """A time in ns, in the unit that suits it, three digits: ``2.18 s``, ``171 ms``, ``850 ns``.

    From ten minutes on in minutes and whole seconds.
    """
    if value_ns is None:
        return UNKNOWN
    if value_ns < 0:
        return "-" + duration(-value_ns)
    if value_ns >= 10 * _MINUTE_NS:
        minutes, rest = divmod(value_ns, _MINUTE_NS)
        return f"{count(minutes)} min {rest // 10**9} s"
    scale, unit = _unit(value_ns, _NS)
    return f"{_decimal(value_ns, scale, _places(value_ns, scale))} {unit}"


def ms(value_ns: int | None) -> str:
    """A time in ns, in whole ms: ``171 ms``, ``2,180 ms``; below 10 ms with one decimal."""
    if value_ns is None:
        return UNKNOWN
    if value_ns < 0:
        return "-" + ms(-value_ns)
    return f"{_decimal(value_ns, 10**6, 1 if value_ns < 10**7 else 0)} ms"


def seconds(value_ns: int | None) -> str:
    """A time in ns, in s with three decimals, for columns: ``2.180 s``."""
    if value_ns is None:
        return UNKNOWN
    if value_ns < 0:
        return "-" + seconds(-value_ns)
    return f"{_decimal(value_ns, 10**9, 3, 3)} s"


def ppm(value: int) -> str:
    """A difference of rates in ppm, with its sign: ``+120 ppm``; large ones in percent."""
    sign = "-" if value < 0 else "+" if value > 0 else ""
    if abs(value) < _PERCENT_PPM:
        return f"{sign}{count(abs(value))} ppm"
    return f"{sign}{_decimal(abs(value), 10_000, 1)} %"


def byte_size(value: int | None) -> str:
    """A size in bytes: ``14.2 MiB``, ``512 bytes``."""
    if value is None:
        return UNKNOWN
    scale, unit = _unit(abs(value), _BYTES)
    sign = "-" if value < 0 else ""
    return f"{sign}{_decimal(abs(value), scale, 1 if scale > 1 else 0)} {unit}"


def count(value: int | None) -> str:
    """A count with its thousands apart: ``151,023``."""
    return UNKNOWN if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """A share in percent: ``4.1 %``."""
    return UNKNOWN if value is None else f"{value:.1f} %"


def _unit(value: int, rows: Sequence[tuple[int, str]]) -> tuple[int, str]:
    """The largest unit that the value fills, or would fill once rounded to three digits."""
    return next((row for row in rows if value >= row[0] - row[0] // 2000), rows[-1])


def _places(value: int, scale: int) -> int:
    """How many decimals give three digits."""
    if scale == 1:
        return 0
    return max(0, 3 - len(str(value // scale)))


def _decimal(value: int, scale: int, places: int, least: int = 0) -> str:
    """value / scale, rounded half up to the places; zeros at its end go, down to ``least``."""
    unit = 10**places
    whole, part = divmod((value * unit * 2 + scale) // (scale * 2), unit)
    digits = str(part).rjust(places, "0") if places else ""
    kept = digits.rstrip("0").ljust(least, "0")
    return f"{whole:,}" + (f".{kept}" if kept else "")
