"""What KVM does when it is asked for a TSC frequency (KVM_SET_TSC_KHZ).

A frequency within `TOLERANCE_PPM` of the host's is taken without scaling: the guest is told one
frequency and gets the other, up to 21.6 s a day apart. kvmclock is not affected (its page is made
for the frequency that the guest really gets), a guest that uses the TSC by itself is.

Sources: Linux arch/x86/kvm/x86.c, kvm_set_tsc_khz, set_tsc_khz, adjust_tsc_khz; the module
parameter kvm.tsc_tolerance_ppm.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from timehands.clocks.tsc import U32, Scaling, drift_ns_per_day, true_khz, tsc_ratio
from timehands.errors import FrequencyOutOfRange

#: How far from the host's frequency KVM does not bother to scale.
TOLERANCE_PPM = 250


class Answer(StrEnum):
    """What became of the request."""

    UNSCALED = "unscaled"
    """Within the tolerance: the guest's TSC runs at the host's rate."""
    SCALED = "scaled"
    CATCH_UP = "catch-up"
    """No scaling, and faster than the host: KVM pushes the TSC forward at each entry."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Granted:
    """What a guest gets. ``ratio`` is None without scaling; ``really_khz`` None when refused."""

    answer: Answer
    asked_khz: int
    ratio: int | None
    really_khz: Fraction | None

    @property
    def drift_ns_per_day(self) -> Fraction | None:
        """How far a clock of this TSC is ahead after a day, if the guest trusts what it asked."""
        if self.really_khz is None:
            return None
        return drift_ns_per_day(self.asked_khz, self.really_khz)


def tolerated_khz(host_khz: int, tolerance_ppm: int = TOLERANCE_PPM) -> tuple[int, int]:
    """The lowest and the highest frequency that are taken without scaling.

    Both rounded down and cut to 32 bits, as KVM does it.
    """
    low = host_khz * (1_000_000 - tolerance_ppm) // 1_000_000
    high = host_khz * (1_000_000 + tolerance_ppm) // 1_000_000
    return low & U32, high & U32


def set_tsc_khz(
    asked_khz: int,
    host_khz: int,
    scaling: Scaling | None,
    tolerance_ppm: int = TOLERANCE_PPM,
) -> Granted:
    """What KVM answers on a host of ``host_khz``; ``scaling`` is None if its processor has none.

    A catch-up has no rate of its own: on average the guest gets what it asked for, in jumps.
    A request of 0 is refused. Raises `FrequencyOutOfRange` when one of them has more than 32 bits
    or the host's is 0.
    """
    for name, khz, least in (("asked_khz", asked_khz, 0), ("host_khz", host_khz, 1)):
        if not least <= khz <= U32:
            raise FrequencyOutOfRange(name, khz, U32)
    if asked_khz == 0:
        return Granted(Answer.REFUSED, asked_khz, None, None)
    low, high = tolerated_khz(host_khz, tolerance_ppm)
    if low <= asked_khz <= high:
        return Granted(Answer.UNSCALED, asked_khz, None, Fraction(host_khz))
    return _scaled(asked_khz, host_khz, scaling) if scaling else _unaided(asked_khz, host_khz)


def _scaled(asked_khz: int, host_khz: int, scaling: Scaling) -> Granted:
    ratio = tsc_ratio(asked_khz, host_khz, scaling)
    if not scaling.allows(ratio):
        return Granted(Answer.REFUSED, asked_khz, ratio, None)
    return Granted(Answer.SCALED, asked_khz, ratio, true_khz(host_khz, ratio, scaling))


def _unaided(asked_khz: int, host_khz: int) -> Granted:
    """Without hardware for it, the TSC can be pushed forward but not be slowed down."""
    if asked_khz > host_khz:
        return Granted(Answer.CATCH_UP, asked_khz, None, Fraction(asked_khz))
    return Granted(Answer.REFUSED, asked_khz, None, None)
