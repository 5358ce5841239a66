"""Cycles to ns: the factors (mul, shift), how KVM and Xen choose them, and their arithmetic.

``ns = ((cycles << shift) * mul) >> 32`` with a right shift when ``shift`` is negative; the product
has 96 bits, of which bits 32 to 95 are the result. Sources: Linux arch/x86/kvm/x86.c
(kvm_get_time_scale, div_frac), arch/x86/include/asm/pvclock.h (pvclock_scale_delta),
arch/x86/kernel/pvclock.c (pvclock_tsc_khz); Xen xen/arch/x86/time.c (set_time_scale, scale_delta);
FreeBSD sys/x86/x86/pvclock.c (pvclock_tsc_freq).
"""

from __future__ import annotations

from typing import NamedTuple

from timehands.clocks.pvclock.numbers import MASK_32, MASK_64, NS_PER_S
from timehands.errors import FrequencyOutOfRange


class Scale(NamedTuple):
    """``mul`` is tsc_to_system_mul (u32), ``shift`` is tsc_shift (s8)."""

    mul: int
    shift: int


def time_scale(tsc_khz: int) -> Scale:
    """The factors that KVM gives a guest whose TSC runs at ``tsc_khz`` (1 to 2^32 - 1).

    As kvm_guest_time_update calls kvm_get_time_scale(NSEC_PER_SEC, tsc_khz * 1000). Raises
    `FrequencyOutOfRange` (also a ValueError): at 0 KVM writes no page and tries again later, and
    what KVM_SET_TSC_KHZ gets is cut to 32 bits.
    """
    if not 0 < tsc_khz <= MASK_32:
        raise FrequencyOutOfRange("tsc_khz", tsc_khz, MASK_32)
    return get_time_scale(NS_PER_S, tsc_khz * 1000)


def get_time_scale(target_hz: int, base_hz: int) -> Scale:
    """kvm_get_time_scale: factors that turn counts at ``base_hz`` into counts at ``target_hz``.

    Both are u64 and above 0, else `FrequencyOutOfRange`: at 0 KVM's loops never end, nor do they
    at a target of 2^63, whose double is 0 in 64 bits.
    """
    for name, hz in (("target_hz", target_hz), ("base_hz", base_hz)):
        if not 0 < hz <= MASK_64:
            raise FrequencyOutOfRange(name, hz, MASK_64)
    scaled, base, shift = target_hz, base_hz, 0
    while base > scaled * 2 & MASK_64 or base > MASK_32:
        base >>= 1
        shift -= 1
    if base == 0:
        raise FrequencyOutOfRange("target_hz", target_hz, MASK_64)
    while base <= scaled or scaled > MASK_32:
        if scaled > MASK_32 or base >> 31:
            scaled >>= 1
        else:
            base <<= 1
        shift += 1
    return Scale((scaled << 32) // base, shift)


def xen_time_scale(tsc_hz: int) -> Scale:
    """Xen's set_time_scale for ``tsc_hz`` (u64, above 0, else `FrequencyOutOfRange`).

    The same factors as KVM's for the same Hz; Xen knows its frequency to the Hz, KVM to the kHz.
    """
    if not 0 < tsc_hz <= MASK_64:
        raise FrequencyOutOfRange("tsc_hz", tsc_hz, MASK_64)
    ticks, shift = tsc_hz, 0
    while ticks > 2 * NS_PER_S:
        ticks >>= 1
        shift -= 1
    while ticks <= NS_PER_S:
        ticks <<= 1
        shift += 1
    return Scale((NS_PER_S << 32) // ticks, shift)


def shift_delta(delta: int, shift: int) -> int:
    """``delta`` (u64) shifted by ``shift``: left modulo 2^64, or right, zeros coming in.

    A shift by 64 or more gives 0. (In C it is undefined; x86 would take it modulo 64.)
    """
    if shift < 0:
        return (delta & MASK_64) >> -shift
    return delta << shift & MASK_64 if shift < 64 else 0


def scale_delta(delta: int, mul: int, shift: int) -> int:
    """pvclock_scale_delta: ``delta`` cycles (u64) in ns (u64), by the whole 96-bit product."""
    return (shift_delta(delta, shift) * mul) >> 32


def scale_delta_64(delta: int, mul: int, shift: int) -> int:
    """The same where the product keeps 64 bits only, as in OpenBSD's pvclock.c 1.1.

    Wrong once ``delta << shift`` reaches 2^64 / mul: see `timehands.clocks.pvclock.rounding`.
    """
    return (shift_delta(delta, shift) * mul & MASK_64) >> 32


def least_delta(ns: int, mul: int, shift: int) -> int | None:
    """The inverse: the fewest cycles that `scale_delta` turns into ``ns`` or more.

    None when no u64 does, counting only cycles whose left shift loses nothing.
    """
    if ns <= 0:
        return 0
    if mul == 0:
        return None
    shifted = -(-(ns << 32) // mul)
    delta = shifted << -shift if shift < 0 else -(-shifted >> shift)
    limit = MASK_64 >> shift if shift > 0 else MASK_64
    return delta if delta <= limit else None


def linux_tsc_khz(scale: Scale) -> int:
    """Linux's pvclock_tsc_khz: the kHz that a guest takes from its page (u64).

    Rounded down before it is shifted, so a negative shift loses up to 2^-shift kHz. A multiplier
    of 0, by which Linux divides, gives 0 here.
    """
    return _inverse(1_000_000, scale)


def freebsd_tsc_hz(scale: Scale) -> int:
    """FreeBSD's pvclock_tsc_freq: the same in Hz (u64), 1000 times finer. 0 where mul is 0."""
    return _inverse(NS_PER_S, scale)


def linux_khz_lost(tsc_khz: int) -> int:
    """How many kHz of ``tsc_khz`` a Linux guest does not see. Raises as `time_scale`."""
    return tsc_khz - linux_tsc_khz(time_scale(tsc_khz))


def _inverse(per_s: int, scale: Scale) -> int:
    """Both kernels' way: divide first, then undo the shift in 64 bits."""
    mul, shift = scale
    return shift_delta((per_s << 32) // mul, -shift) if mul else 0
