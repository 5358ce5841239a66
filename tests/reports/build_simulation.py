"""Outcomes of simulations, made by hand for the tests of their reports."""

from __future__ import annotations

from dataclasses import replace

from reports.build import HOSTILE
from timehands.simulate.expectations import parse
from timehands.simulate.outcome import (
    EventOutcome,
    Outcome,
    Sample,
    VcpuOutcome,
    judged,
)
from timehands.simulate.truth import together

MS, S, H = 10**6, 10**9, 3600 * 10**9


def vcpu(number: int, **changes: int | None) -> VcpuOutcome:
    """A vCPU that loses 41.2 ms a second."""
    row = VcpuOutcome(
        vcpu=number,
        reads=5000,
        refused=0,
        unstable_reads=0,
        warps=0,
        worst_warp_ns=0,
        stalls=0,
        worst_stall_ns=0,
        rate_error_ppb=-41_200_000 - number,
        worst_rate_error_ppb=-43_000_000,
        offset_last_ns=-412 * MS,
        offset_worst_ns=-412 * MS,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def outcome(number: int = 2, name: str = "nvmm-loaded", **changes: object) -> Outcome:
    """NVMM on a loaded host, for 10 s of running, with a pause of 75 h after 5 s."""
    rows = tuple(map(vcpu, range(number)))
    edge = 75 * H + 5 * S
    line = [Sample(i * 100 * MS, -i * 4 * MS) for i in range(50)]
    line += [Sample(edge + i * 100 * MS, -(i + 50) * 4 * MS) for i in range(50)]
    made = Outcome(
        scenario=name,
        title="TSC as timecounter on a loaded host",
        digest="0123456789abcdef" * 4,
        seed=7,
        provider="nvmm",
        reader="tsc",
        policy="monotonic",
        duration_ns=75 * H + 10 * S,
        vcpus=rows,
        all=together(rows),
        warps_across=12,
        worst_warp_across_ns=28_639_000,
        wall_offset_ns=-75 * H - 412 * MS,
        events=(
            EventOutcome(
                5 * S,
                "paused for 75 h",
                -194_335,
                (-194_335,) * number,
                stopped_ns=75 * H,
                told=True,
            ),
        ),
        samples=(tuple(line),) * number,
    )
    expect = (parse("warps", 0), parse("worst_jump", "<= 1 us"))
    made = replace(made, expectations=judged(expect, made))
    return replace(made, **changes)  # type: ignore[arg-type]


def good() -> Outcome:
    """A clock that keeps time, of which nothing was expected."""
    row = vcpu(0, rate_error_ppb=-1, worst_rate_error_ppb=-1, offset_last_ns=-3, offset_worst_ns=-4)
    return outcome(
        1,
        provider="kvm",
        reader="linux",
        vcpus=(row,),
        all=together((row,)),
        warps_across=0,
        worst_warp_across_ns=0,
        wall_offset_ns=-4,
        events=(),
        expectations=(),
        duration_ns=10 * S,
        samples=((Sample(0, 0), Sample(5 * S, -4), Sample(10 * S, -3)),),
    )


def hostile() -> Outcome:
    """What a file from anywhere could call things."""
    event = EventOutcome(5 * S, HOSTILE * 3, None, (), dropped=True, timer_lost=True, lockup=True)
    return outcome(
        3, name=HOSTILE, title=HOSTILE * 9, provider=HOSTILE, reader=HOSTILE, events=(event,) * 40
    )


def extreme() -> Outcome:
    """Figures as large as they get, and none at all."""
    row = vcpu(
        0,
        reads=2 * 10**10,
        refused=10**10,
        warps=10**10,
        worst_warp_ns=2**63,
        stalls=10**9,
        worst_stall_ns=10**18,
        rate_error_ppb=-(10**9),
        offset_last_ns=-(2**63),
        offset_worst_ns=2**63 - 1,
    )
    silent = vcpu(
        1, reads=0, rate_error_ppb=None, worst_rate_error_ppb=None, offset_last_ns=None,
        offset_worst_ns=None,
    )  # fmt: skip
    return outcome(
        vcpus=(row, silent), all=together((row, silent)), samples=((), (Sample(0, -(2**63)),))
    )  # type: ignore[arg-type]
