"""The TSC that a guest reads: the host's, scaled and offset by the processor.

A guest's RDTSC gives ``(host_tsc * ratio >> frac_bits) + offset`` modulo 2^64; the product has 128
bits. VMX and SVM differ only in how many bits of the ratio are a fraction.

A ratio is rounded down, so a scaled guest is slow by less than ``host_khz / (guest_khz * 2^bits)``
of its rate: `rate_error` gives the exact fraction.

Sources: Intel SDM volume 3, "TSC-offsetting and TSC scaling" (TSC multiplier, 48 fractional bits);
AMD APM volume 2, 15.30.5 (TSC ratio MSR C0000104h, 8.32 fixed point); Linux
arch/x86/kvm/x86.c: kvm_scale_tsc, kvm_compute_l1_tsc_offset, set_tsc_khz,
kvm_calc_nested_tsc_offset, kvm_calc_nested_tsc_multiplier; include/linux/math64.h:
mul_s64_u64_shr.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from timehands.errors import FrequencyOutOfRange

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1
NS_PER_DAY = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a kind of processor scales the TSC of its guests.

    ``frac_bits``: bits of the ratio that are a fraction. ``ratio_bits``: how wide the ratio is.
    """

    name: str
    frac_bits: int
    ratio_bits: int

    @property
    def unscaled(self) -> int:
        """The ratio 1.0, with which the hardware (and KVM) leaves the TSC as it is."""
        return 1 << self.frac_bits

    @property
    def limit(self) -> int:
        """KVM refuses ratios from this one on (max_tsc_scaling_ratio), and the ratio 0."""
        return (1 << self.ratio_bits) - 1

    def allows(self, ratio: int) -> bool:
        """Whether KVM takes this ratio."""
        return 0 < ratio < self.limit


#: The TSC multiplier of the VMCS: 16.48 fixed point.
VMX = Scaling("VMX", frac_bits=48, ratio_bits=64)
#: The TSC ratio MSR: bits 39:32 integer, 31:0 fraction, 63:40 reserved (a set bit faults).
SVM = Scaling("SVM", frac_bits=32, ratio_bits=40)
SCALINGS = (VMX, SVM)


def tsc_ratio(guest_khz: int, host_khz: int, scaling: Scaling) -> int:
    """The ratio that gives a guest ``guest_khz`` on a host of ``host_khz``, rounded down.

    As KVM computes it (set_tsc_khz). The result may be one that `Scaling.allows` refuses, also one
    of more than 64 bits. Raises `FrequencyOutOfRange` unless both rates are in 1 to 2^32 - 1.
    """
    for name, khz in (("guest_khz", guest_khz), ("host_khz", host_khz)):
        if not 0 < khz <= U32:
            raise FrequencyOutOfRange(name, khz, U32)
    return (guest_khz << scaling.frac_bits) // host_khz


def scale_tsc(tsc: int, ratio: int, scaling: Scaling) -> int:
    """A TSC (u64) times a ratio, without the offset; modulo 2^64."""
    return (tsc * ratio >> scaling.frac_bits) & U64


def guest_tsc(host_tsc: int, ratio: int, offset: int, scaling: Scaling) -> int:
    """What a guest reads when the host's TSC is ``host_tsc``. The offset may be signed or u64."""
    return (scale_tsc(host_tsc, ratio, scaling) + offset) & U64


def tsc_offset(wanted: int, host_tsc: int, ratio: int, scaling: Scaling) -> int:
    """The offset (u64) with which the guest reads ``wanted`` now (kvm_compute_l1_tsc_offset)."""
    return (wanted - scale_tsc(host_tsc, ratio, scaling)) & U64


def signed_offset(offset: int) -> int:
    """A u64 offset as the signed number that it is in two's complement: how people read it."""
    return offset - (1 << 64) if offset >> 63 else offset


def nested_ratio(l1_ratio: int, l2_ratio: int, scaling: Scaling) -> int:
    """The ratio to run a nested guest with: both in one, rounded down, modulo 2^64."""
    if l2_ratio == scaling.unscaled:
        return l1_ratio
    return (l1_ratio * l2_ratio >> scaling.frac_bits) & U64


def nested_offset(l1_offset: int, l2_offset: int, l2_ratio: int, scaling: Scaling) -> int:
    """The offset (u64) to run a nested guest with.

    The outer offset is scaled by the inner ratio as a signed number whose magnitude is rounded
    down: a negative one is rounded towards zero, not down.
    """
    if l2_ratio == scaling.unscaled:
        return (l1_offset + l2_offset) & U64
    outer = signed_offset(l1_offset & U64)
    size = (abs(outer) * l2_ratio >> scaling.frac_bits) & U64
    return ((-size if outer < 0 else size) + l2_offset) & U64


def true_khz(host_khz: int, ratio: int, scaling: Scaling) -> Fraction:
    """The rate at which a guest's TSC really runs with this ratio."""
    return Fraction(host_khz * ratio, 1 << scaling.frac_bits)


def rate_error(told_khz: int, really_khz: Fraction) -> Fraction:
    """By how much a TSC is faster than the guest was told, as a fraction of what it was told."""
    return (really_khz - told_khz) / told_khz


def drift_ns_per_day(told_khz: int, really_khz: Fraction) -> Fraction:
    """How far a clock made of that TSC is ahead after a day; negative: it is behind."""
    return rate_error(told_khz, really_khz) * NS_PER_DAY
