"""What whole numbers cost: the errors of a pair (mul, shift), exact, and where overflows begin.

A pair says ``mul * 2^(shift - 32)`` ns for each cycle. The multiplier is rounded down: a guest's
clock runs slow by less than 2^-31 of its rate (0.47 ppb, 41 us a day). Where the frequency lost
bits before (odd Hz above 2 GHz under Xen, kHz above 16 GHz under KVM) it may run as little too
fast. Each read is rounded down besides. All results are `Fraction`: nothing is lost here.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from timehands.clocks.pvclock.numbers import MASK_64, NS_PER_S
from timehands.clocks.pvclock.scale import Scale, time_scale

NS_PER_DAY = 86_400 * NS_PER_S


class Bounds(NamedTuple):
    """Of an error in ns: ``low <= clock - truth <= high``. Negative: the clock is late."""

    low_ns: Fraction
    high_ns: Fraction


class Horizon(NamedTuple):
    """The first ``cycles`` since the update with which arithmetic is wrong, and the ``ns`` then."""

    cycles: int
    ns: Fraction


def ns_per_cycle(scale: Scale) -> Fraction:
    """What the pair says that a cycle lasts, in ns."""
    return Fraction(scale.mul) * Fraction(2) ** (scale.shift - 32)


def implied_hz(scale: Scale) -> Fraction | None:
    """The frequency that the pair stands for, in Hz; None when ``mul`` is 0."""
    return NS_PER_S / ns_per_cycle(scale) if scale.mul else None


def kvm_tsc_khz(scale: Scale) -> int | None:
    """The kHz for which KVM gives this very pair; None when there is none.

    The one inverse that loses nothing: KVM starts from whole kHz, whose pairs differ below 2^31.
    """
    hz = implied_hz(scale)
    if hz is None or hz > MASK_64:
        return None
    khz = int(hz // 1000)
    near = (at for at in (khz, khz - 1, khz + 1) if 0 < at < 1 << 32)
    return next((at for at in near if time_scale(at) == scale), None)


def rate_error(scale: Scale, true_hz: Fraction | int) -> Fraction:
    """How much too fast the clock runs (negative: slow), as a part of the true rate.

    ``true_hz`` is the TSC's real frequency, above 0.
    """
    return ns_per_cycle(scale) * true_hz / NS_PER_S - 1


def drift_ns_per_day(scale: Scale, true_hz: Fraction | int) -> Fraction:
    """The same in ns a day."""
    return rate_error(scale, true_hz) * NS_PER_DAY


def truncation_ns(scale: Scale) -> Fraction:
    """The most that one read loses by rounding down, in ns: it happens, and nothing loses more.

    Two things are cut: the bits of the cycles that a negative shift drops, and what is left of the
    product below 1 ns.
    """
    dropped = (1 << max(0, -scale.shift)) - 1
    step = math.gcd(scale.mul << max(0, scale.shift), 1 << 32)
    return dropped * ns_per_cycle(scale) + 1 - Fraction(step, 1 << 32)


def error_within(scale: Scale, true_hz: Fraction | int, ns: Fraction | int) -> Bounds:
    """Bounds of the error of every read within ``ns`` of true time since the page's update.

    Truth is ``cycles / true_hz``. They hold until a `Horizon` is passed.
    """
    drift = rate_error(scale, true_hz) * ns
    return Bounds(min(Fraction(0), drift) - truncation_ns(scale), max(Fraction(0), drift))


def shift_horizon(scale: Scale) -> Horizon | None:
    """Where ``cycles << shift`` leaves 64 bits; None when it never does (shift of 0 or less)."""
    if scale.shift <= 0:
        return None
    return _horizon(scale, max(1, 1 << max(0, 64 - scale.shift)))


def product_horizon_64(scale: Scale) -> Horizon | None:
    """Where a product of 64 bits overflows (`scale.scale_delta_64`); None when it never does.

    That is when the result reaches 2^32 ns: 4.29 s after the update, whatever the frequency.
    """
    if not scale.mul:
        return None
    shifted = -(-(1 << 64) // scale.mul)
    cycles = shifted << -scale.shift if scale.shift < 0 else -(-shifted >> scale.shift)
    return _horizon(scale, cycles) if cycles <= MASK_64 else None


def _horizon(scale: Scale, cycles: int) -> Horizon:
    return Horizon(cycles, cycles * ns_per_cycle(scale))
