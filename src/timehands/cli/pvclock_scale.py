"""``timehands pvclock scale``: the factors for a TSC frequency, what guests make of them, and what
rounding costs.

``--json`` prints one object: ``schema`` (1), ``provider`` (``kvm`` or ``xen``), ``tsc_hz`` (the
frequency the factors were made for), ``true_hz``, ``mul``, ``mul_hex``, ``shift``; ``inverses``
(``exact_hz`` as a fraction in text, ``kvm_khz`` or null, ``linux_khz``, ``freebsd_hz``,
``linux_khz_lost``); ``error`` (``rate_ppb`` and ``drift_ns_per_day`` as fractions in text,
``truncation_ns``, and ``within``: for each of the times asked for ``seconds``, ``low_ns``,
``high_ns``); ``overflow`` (``shift`` and ``product_64``, each null or ``cycles`` and ``ns``).
Fractions are exact, as ``"-51/78125"``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timehands.clocks.pvclock.rounding import Horizon
    from timehands.clocks.pvclock.scale import Scale

JSON_SCHEMA = 1
_DEFAULT_SECONDS = (1, 60, 86_400)


@dataclass(frozen=True, slots=True)
class Asked:
    """Factors that were asked for: whose, for which Hz, against which truth, after which times."""

    provider: str
    scale: Scale
    tsc_hz: int
    true_hz: Fraction
    seconds: tuple[int, ...]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subverb to the verb's parser."""
    parser = subparsers.add_parser(
        "scale",
        help="work out mul and shift for a TSC frequency, and what rounding costs",
        description="Works out the factors (mul, shift) that KVM or Xen gives a guest for a TSC "
        "frequency, what guests read back from them, and the exact errors of rounding.",
    )
    rate = parser.add_mutually_exclusive_group(required=True)
    rate.add_argument("--tsc-khz", type=int, metavar="KHZ", help="the frequency in kHz, as KVM's")
    rate.add_argument(
        "--tsc-hz", type=int, metavar="HZ", help="in Hz; only Xen knows it so exactly"
    )
    parser.add_argument("--xen", action="store_true", help="as Xen (set_time_scale), not as KVM")
    parser.add_argument(
        "--true-hz",
        type=_fraction,
        metavar="HZ",
        help="the TSC's real frequency, to which errors refer (2499998321.5 or 5e9/2; default: "
        "the frequency given)",
    )
    parser.add_argument(
        "--after",
        type=_seconds,
        action="append",
        metavar="SECONDS",
        help="bound the errors within so many seconds of an update (again for more; default "
        "1, 60 and 86400)",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the factors. Raises `FrequencyOutOfRange`, `UsageError`."""
    asked = _asked(args)
    if args.json:
        print(json.dumps(as_json(asked), indent=2))
    else:
        print("\n".join(page(asked)))
    return 0


def _asked(args: argparse.Namespace) -> Asked:
    from timehands.clocks.pvclock.scale import time_scale, xen_time_scale
    from timehands.errors import UsageError

    xen = args.xen or args.tsc_hz is not None
    tsc_hz = args.tsc_hz if args.tsc_hz is not None else args.tsc_khz * 1000
    if args.tsc_hz is not None and not args.xen:
        raise UsageError(
            "KVM scales from whole kHz", advice="Give --tsc-khz, or --xen with --tsc-hz."
        )
    scale = xen_time_scale(tsc_hz) if xen else time_scale(args.tsc_khz)
    true_hz = args.true_hz if args.true_hz is not None else Fraction(tsc_hz)
    seconds = tuple(args.after or _DEFAULT_SECONDS)
    return Asked("xen" if xen else "kvm", scale, tsc_hz, true_hz, seconds)


def _fraction(text: str) -> Fraction:
    """``2499998321.5`` or ``2499998321/2``; powers are not expanded, so it stays small."""
    top, _, bottom = text.partition("/")
    try:
        if len(text) > 40 or "e" in text.lower():
            raise ValueError
        hz = Fraction(top) / Fraction(bottom or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no frequency in Hz") from error
    if hz <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 Hz")
    return hz


def _seconds(text: str) -> int:
    try:
        seconds = int(text) if len(text) < 20 else 0
    except ValueError:
        seconds = 0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of seconds above 0")
    return seconds


def as_json(asked: Asked) -> dict[str, Any]:
    """What ``--json`` prints; see the top of this file."""
    from timehands.clocks.pvclock import rounding
    from timehands.clocks.pvclock.numbers import NS_PER_S

    scale, hz = asked.scale, asked.true_hz
    bounds = {s: rounding.error_within(scale, hz, s * NS_PER_S) for s in asked.seconds}
    return {
        "schema": JSON_SCHEMA,
        "provider": asked.provider,
        "tsc_hz": asked.tsc_hz,
        "true_hz": str(hz),
        "mul": scale.mul,
        "mul_hex": f"{scale.mul:#010x}",
        "shift": scale.shift,
        "inverses": _inverses(asked),
        "error": {
            "rate_ppb": str(rounding.rate_error(scale, hz) * 10**9),
            "drift_ns_per_day": str(rounding.drift_ns_per_day(scale, hz)),
            "truncation_ns": str(rounding.truncation_ns(scale)),
            "within": [
                {"seconds": s, "low_ns": str(b.low_ns), "high_ns": str(b.high_ns)}
                for s, b in bounds.items()
            ],
        },
        "overflow": {
            "shift": _horizon_json(rounding.shift_horizon(scale)),
            "product_64": _horizon_json(rounding.product_horizon_64(scale)),
        },
    }


def _inverses(asked: Asked) -> dict[str, Any]:
    from timehands.clocks.pvclock.rounding import implied_hz, kvm_tsc_khz
    from timehands.clocks.pvclock.scale import freebsd_tsc_hz, linux_tsc_khz

    return {
        "exact_hz": str(implied_hz(asked.scale)),
        "kvm_khz": kvm_tsc_khz(asked.scale),
        "linux_khz": linux_tsc_khz(asked.scale),
        "freebsd_hz": freebsd_tsc_hz(asked.scale),
        "linux_khz_lost": asked.tsc_hz // 1000 - linux_tsc_khz(asked.scale),
    }


def _horizon_json(horizon: Horizon | None) -> dict[str, Any] | None:
    return {"cycles": horizon.cycles, "ns": str(horizon.ns)} if horizon else None


def page(asked: Asked) -> Iterator[str]:
    """The lines for a terminal."""
    from timehands.cli.pvclock_rows import row
    from timehands.clocks.pvclock import rounding
    from timehands.clocks.pvclock.numbers import NS_PER_S

    scale, hz = asked.scale, asked.true_hz
    who = {"kvm": "KVM (kvm_get_time_scale)", "xen": "Xen (set_time_scale)"}[asked.provider]
    yield from row("factors", f"mul {scale.mul:,} ({scale.mul:#010x}), shift {scale.shift}")
    yield from row("", f"as {who} gives them for {asked.tsc_hz:,} Hz")
    yield from _inverse_rows(asked)
    rate, drift = rounding.rate_error(scale, hz), rounding.drift_ns_per_day(scale, hz)
    yield from row("rate", f"{_number(rate * 10**9)} ppb, {_number(drift / 1000)} us a day")
    yield from row("", f"against a TSC of {_number(hz)} Hz")
    yield from row(
        "one read", f"loses at most {_number(rounding.truncation_ns(scale))} ns by rounding"
    )
    for s in asked.seconds:
        low, high = rounding.error_within(scale, hz, s * NS_PER_S)
        yield from row("", f"within {s:,} s of an update: {_number(low)} to {_number(high)} ns off")
    yield from _overflow_rows(scale)


def _inverse_rows(asked: Asked) -> Iterator[str]:
    from timehands.cli.pvclock_rows import row
    from timehands.clocks.pvclock.rounding import implied_hz

    told, hz = _inverses(asked), implied_hz(asked.scale)
    lost = told["linux_khz_lost"]
    yield from row("stands for", f"{_number(hz or Fraction(0))} Hz")
    note = f" ({lost} kHz lost: it divides before it shifts)" if lost else ""
    yield from row("", f"Linux reads {told['linux_khz']:,} kHz{note}")
    yield from row("", f"FreeBSD reads {told['freebsd_hz']:,} Hz")


def _overflow_rows(scale: Scale) -> Iterator[str]:
    from timehands.cli.pvclock_rows import row
    from timehands.clocks.pvclock.rounding import product_horizon_64, shift_horizon

    shifted, product = shift_horizon(scale), product_horizon_64(scale)
    words = "never leaves 64 bits" if shifted is None else f"leaves 64 bits {_when(shifted)}"
    yield from row("overflow", f"cycles << shift {words}")
    if product:
        yield from row("", f"a product of only 64 bits is wrong {_when(product)}")


def _when(horizon: Horizon) -> str:
    seconds = horizon.ns / 10**9
    return f"from {horizon.cycles:,} cycles on, {_number(seconds)} s after an update"


def _number(value: Fraction) -> str:
    """A fraction for people, to three places."""
    from timehands.clocks.pvclock.describe import decimal

    return decimal(value)
