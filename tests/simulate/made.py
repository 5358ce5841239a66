"""Scenarios made at random, small enough to run in milliseconds."""

from __future__ import annotations

from hypothesis import strategies as st

from timehands.simulate import events
from timehands.simulate.events import ClockAt, Ctrl, Event, TscAt, Vmm
from timehands.simulate.hosts import HostSpec
from timehands.simulate.policy import Policy
from timehands.simulate.providers import PROVIDERS
from timehands.simulate.readers import READERS
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.units import Span

MS = 10**6
S = 10**9
#: kHz that hosts have, and two that nobody has.
KHZ = (1_000_000, 1_999_999, 2_000_000, 2_100_000, 2_499_998, 2_500_000, 3_000_000, 543, 10_000_000)
REAL_KHZ = KHZ[:-2]


def hosts(
    name: str, *, khz: tuple[int, ...] = KHZ, agree: bool = False, drift: bool = True
) -> st.SearchStrategy[HostSpec]:
    """A host; ``agree``: its TSCs do, and it can scale them."""
    skew = st.integers(-10_000, 10_000)
    return st.builds(
        HostSpec,
        name=st.just(name),
        tsc_khz=st.sampled_from(khz),
        drift_ppb=st.integers(-50_000, 50_000) if drift else st.just(0),
        skew_cycles=st.just((0, 0, 0)) if agree else st.tuples(skew, skew),
        tsc_scaling=st.just(True) if agree else st.booleans(),
        tsc_start=st.integers(10**9, 10**15),
        realtime_offset_ns=st.integers(-S, S),
    )


def _away(low_ns: int, high_ns: int, longest_ns: int) -> st.SearchStrategy[Away]:
    def made(a: int, b: int, c: int, d: int) -> Away:
        return Away(every=Span(min(a, b), max(a, b)), length=Span(min(c, d), max(c, d)))

    every, length = st.integers(low_ns, high_ns), st.integers(0, longest_ns)
    return st.builds(made, every, every, length, length)


LOADS = st.builds(
    Load,
    exits=st.none() | _away(MS // 2, 20 * MS, 40_000),
    descheduled=st.none() | _away(5 * MS, 50 * MS, 10 * MS),
    migrations=st.none() | _away(5 * MS, 100 * MS, MS),
    commit_percent=st.integers(0, 100),
)

VMMS = st.builds(
    Vmm,
    clock=st.none() | st.sampled_from(ClockAt),
    clock_after_ns=st.sampled_from((0, 0, 5 * MS)),
    kvmclock_ctrl=st.sampled_from(Ctrl),
    tsc=st.none() | st.sampled_from(TscAt),
    tsc_gap_ns=st.sampled_from((0, 0, 30_000, 2 * S)),
    tsc_sync=st.booleans(),
    tsc_khz=st.booleans(),
    deadline_in_ns=st.none() | st.integers(0, S),
    deadline_before_tsc=st.booleans(),
)


@st.composite
def happenings(
    draw: st.DrawFn,
    duration_ns: int,
    vcpus: int,
    vmms: st.SearchStrategy[Vmm] = VMMS,
    writes: bool = True,
) -> tuple[Event, ...]:
    """Events one after the other, within the duration."""
    at_ns, found = 0, []
    for _ in range(draw(st.integers(0, 4))):
        at_ns += draw(st.integers(1, duration_ns // 4))
        stop_ns = draw(st.integers(1, duration_ns // 4))
        event = draw(
            st.one_of(
                st.builds(events.Pause, at_ns=st.just(at_ns), for_ns=st.just(stop_ns), vmm=vmms),
                st.builds(
                    events.Restore, at_ns=st.just(at_ns), after_ns=st.just(stop_ns),
                    host=st.integers(0, 1), vmm=vmms,
                ),
                st.builds(
                    events.ClockStep, at_ns=st.just(at_ns), host=st.integers(0, 1),
                    by_ns=st.integers(-S, S),
                ),
                st.builds(
                    events.ClockSlew, at_ns=st.just(at_ns), host=st.integers(0, 1),
                    ppb=st.integers(-500_000, 500_000), for_ns=st.integers(0, S),
                ),
                st.builds(events.SetDate, at_ns=st.just(at_ns)),
                *([_writes(at_ns, vcpus)] if writes else []),
            )
        )  # fmt: skip
        end_ns = at_ns + events.stops_for(event)
        if end_ns >= duration_ns:
            break
        found.append(event)
        at_ns = end_ns
    return tuple(found)


def _writes(at_ns: int, vcpus: int) -> st.SearchStrategy[events.TscWrite]:
    return st.builds(
        events.TscWrite,
        at_ns=st.just(at_ns),
        value=st.sampled_from((0, 1, 10**9, 2**63, 2**64 - 1)),
        vcpu=st.none() | st.integers(0, vcpus - 1),
        by_guest=st.booleans(),
    )


@st.composite
def scenarios(
    draw: st.DrawFn,
    *,
    providers: tuple[str, ...] = tuple(PROVIDERS),
    readers: tuple[str, ...] = tuple(READERS),
    agree: bool = False,
    khz: tuple[int, ...] = KHZ,
    vmms: st.SearchStrategy[Vmm] = VMMS,
    writes: bool = True,
    policies: tuple[Policy, ...] = tuple(Policy),
) -> Scenario:
    """Any scenario, or one of those providers, readers and hosts only."""
    duration_ns, vcpus = draw(st.integers(100 * MS, 400 * MS)), draw(st.integers(1, 3))
    return Scenario(
        title="made",
        hosts=(draw(hosts("a", agree=agree, khz=khz)), draw(hosts("b", agree=agree, khz=khz))),
        duration_ns=duration_ns,
        vcpus=vcpus,
        reads_per_s=draw(st.sampled_from((500, 3333, 20_000))),
        provider=draw(st.sampled_from(providers)),
        reader=draw(st.sampled_from(readers)),
        policy=draw(st.sampled_from(policies)),
        disciplined=draw(st.booleans()),
        load=draw(LOADS),
        events=draw(happenings(duration_ns, vcpus, vmms, writes)),
    )
