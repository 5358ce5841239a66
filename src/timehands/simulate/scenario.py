"""A scenario: hosts, vCPUs, what they do, what happens to them, and what is expected of the clock.

A scenario is a value: made in Python, or read from a file (`timehands.simulate.scenario_file`). It
is checked when it is made; `ScenarioError` names the field and says what is possible.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise

from timehands.errors import ScenarioError
from timehands.simulate.events import Event, Restore, TscWrite, stops_for
from timehands.simulate.expectations import Expectation
from timehands.simulate.hosts import HostSpec
from timehands.simulate.policy import Policy
from timehands.simulate.segments import MAX_PRODUCT, MAX_SEGMENT_NS, NS_PER_S
from timehands.simulate.units import Span, in_words

MIN_KHZ, MAX_KHZ = 1, 10**9
MAX_DRIFT_PPB = 10**8
MAX_VCPUS = 256
MAX_CPUS = 1024
MAX_EVENTS = 2_000
MAX_DURATION_NS = 100 * 365 * 86400 * NS_PER_S
#: What a run may take: minutes, not hours.
MAX_READS = 2 * 10**10
MAX_STEPS = 10**8


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Something that takes a vCPU out of its guest now and then, in ns: after a run of ``every``,
    for ``length``.
    """

    every: Span
    length: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What else happens on the hosts. None: it does not.

    ``exits``: to the hypervisor, for emulation. ``commit_percent`` of them go to the VMM, which
    writes the vCPU's state back, MSRs included. ``descheduled``: another thread gets the CPU.
    ``migrations``: between exits or not, a vCPU's thread is moved to another CPU of the host;
    their ``length`` is what that takes.
    """

    exits: Away | None = None
    descheduled: Away | None = None
    migrations: Away | None = None
    commit_percent: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a simulation needs but the seed.

    ``reads_per_s``: how often each vCPU reads its clock in a second of running. ``guest_khz``: the
    TSC frequency that the guest believes in, that of the first host when None. ``provider`` and
    ``reader`` by name. ``disciplined``: the hosts' KVM bases its clock on the disciplined clock,
    as before Linux 5.6, not on the raw one.
    """

    title: str
    hosts: tuple[HostSpec, ...]
    duration_ns: int
    vcpus: int = 1
    reads_per_s: int = 1000
    provider: str = "kvm"
    reader: str = "linux"
    policy: Policy = Policy.MONOTONIC
    guest_khz: int | None = None
    disciplined: bool = False
    load: Load = Load()
    events: tuple[Event, ...] = ()
    expect: tuple[Expectation, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        _check_names(self)
        _check_hosts(self)
        _bound("vcpus", self.vcpus, 1, MAX_VCPUS)
        _bound("duration", self.duration_ns, 1, MAX_DURATION_NS, time=True)
        _bound("reads_per_second", self.reads_per_s, 1, MAX_READS)
        _check_load(self.load)
        _check_events(self)
        _check_size(self)

    @property
    def khz(self) -> int:
        """The TSC frequency that the guest believes in, in kHz."""
        return self.hosts[0].tsc_khz if self.guest_khz is None else self.guest_khz

    @property
    def longest_ns(self) -> int:
        """The longest segment for these frequencies (see `segments.MAX_PRODUCT`)."""
        fastest = max(h.tsc_khz for h in self.hosts) * 2000
        return min(MAX_SEGMENT_NS, MAX_PRODUCT // max(fastest, self.khz * 2000))

    @property
    def digest(self) -> str:
        """What tells this scenario from another, whatever their names and titles are."""
        parts = [f"{n}={getattr(self, n)!r}" for n in self.__slots__ if n not in ("title", "name")]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _bound(what: str, number: int, low: int, high: int, *, time: bool = False) -> None:
    if type(number) is not int:
        raise ScenarioError(f"{what} is {number!r}, no whole number", possible="an int", key=what)
    if not low <= number <= high:
        shown, least, most = ((in_words(n) if time else f"{n:,}") for n in (number, low, high))
        raise ScenarioError(f"{what} is {shown}", possible=f"{least} to {most}", key=what)


def _check_names(scenario: Scenario) -> None:
    from timehands.simulate.providers import PROVIDERS
    from timehands.simulate.readers import READERS

    for key, name, known in (
        ("provider", scenario.provider, PROVIDERS),
        ("reader", scenario.reader, READERS),
    ):
        if name not in known:
            raise ScenarioError(f"no {key} is called {name!r}", possible=", ".join(known), key=key)


def _check_hosts(scenario: Scenario) -> None:
    if not 1 <= len(scenario.hosts) <= 64:
        raise ScenarioError("there is no host, or too many", possible="1 to 64", key="host")
    for host in scenario.hosts:
        where = f"host {host.name}: "
        _bound(f"{where}tsc_khz", host.tsc_khz, MIN_KHZ, MAX_KHZ)
        _bound(f"{where}drift (ppb)", host.drift_ppb, -MAX_DRIFT_PPB, MAX_DRIFT_PPB)
        _bound(f"{where}number of CPUs", len(host.skew_cycles), 1, MAX_CPUS)
        for skew in host.skew_cycles:
            _bound(f"{where}skew_cycles", skew, -(2**63), 2**63)
        _bound(f"{where}tsc_start", host.tsc_start, 0, 2**64 - 1)
        _bound(
            f"{where}realtime_offset", host.realtime_offset_ns, -MAX_DURATION_NS, MAX_DURATION_NS,
            time=True,
        )  # fmt: skip
    names = [host.name for host in scenario.hosts]
    if len(set(names)) < len(names):
        raise ScenarioError("two hosts have one name", possible="a name for each", key="host")
    if scenario.guest_khz is not None:
        _bound("guest_khz", scenario.guest_khz, MIN_KHZ, MAX_KHZ)


def _check_load(load: Load) -> None:
    _bound("load: commit_percent", load.commit_percent, 0, 100)
    for what in ("exits", "descheduled", "migrations"):
        away: Away | None = getattr(load, what)
        if away is None:
            continue
        _bound(f"load: {what}: every", away.every.low, 1, MAX_DURATION_NS, time=True)
        _bound(f"load: {what}: every", away.every.high, away.every.low, MAX_DURATION_NS, time=True)
        _bound(f"load: {what}: length", away.length.low, 0, MAX_DURATION_NS, time=True)
        longest = away.length.high
        _bound(f"load: {what}: length", longest, away.length.low, MAX_DURATION_NS, time=True)


def _check_events(scenario: Scenario) -> None:
    if len(scenario.events) > MAX_EVENTS:
        raise ScenarioError(
            f"there are {len(scenario.events):,} events", possible=f"up to {MAX_EVENTS:,}",
            key="event",
        )  # fmt: skip
    for number, event in enumerate(scenario.events, 1):
        _check_event(scenario, event, f"event {number}: ")
    for number, (before, after) in enumerate(pairwise(scenario.events), 2):
        if after.at_ns < before.at_ns:
            raise ScenarioError(
                f"event {number} is at {in_words(after.at_ns)}, before the one above it",
                possible=f"{in_words(before.at_ns)} or later", key="at",
            )  # fmt: skip
    stopped_until = 0
    for number, event in enumerate(scenario.events, 1):
        if stops_for(event) or isinstance(event, TscWrite):
            if event.at_ns < stopped_until:
                raise ScenarioError(
                    f"event {number} is at {in_words(event.at_ns)}, when the guest is stopped",
                    possible=f"{in_words(stopped_until)} or later", key="at",
                )  # fmt: skip
            stopped_until = event.at_ns + stops_for(event)


def _check_event(scenario: Scenario, event: Event, where: str) -> None:
    end_ns = scenario.duration_ns - 1
    _bound(f"{where}at", event.at_ns, 1, end_ns, time=True)
    lasting = event.at_ns + stops_for(event)
    _bound(f"{where}its end", lasting, event.at_ns, end_ns, time=True)
    host = getattr(event, "host", 0)
    if not 0 <= host < len(scenario.hosts):
        raise ScenarioError(f"{where}there is no host {host}", possible="a host", key="host")
    if isinstance(event, Restore):
        _bound(f"{where}after", event.after_ns, 1, MAX_DURATION_NS, time=True)
    if isinstance(event, TscWrite):
        _bound(f"{where}value", event.value, 0, 2**64 - 1)
        if event.vcpu is not None:
            _bound(f"{where}vcpu", event.vcpu, 0, scenario.vcpus - 1)
    for name in ("by_ns", "for_ns", "gap_ns"):
        amount = getattr(event, name, 0)
        low = -MAX_DURATION_NS if name == "by_ns" else 0
        _bound(f"{where}{name[:-3]}", amount, low, MAX_DURATION_NS, time=True)
    _bound(f"{where}slew (ppb)", getattr(event, "ppb", 0), -(5 * 10**8), 5 * 10**8)
    vmm = getattr(event, "vmm", None)
    if vmm is not None:
        for name in ("clock_after_ns", "tsc_gap_ns", "deadline_in_ns"):
            amount = getattr(vmm, name) or 0
            _bound(f"{where}{name[:-3]}", amount, 0, MAX_DURATION_NS, time=True)


def _check_size(scenario: Scenario) -> None:
    running_ns = scenario.duration_ns - sum(stops_for(e) for e in scenario.events)
    reads = running_ns * scenario.reads_per_s * scenario.vcpus // NS_PER_S
    if reads > MAX_READS:
        raise ScenarioError(
            f"that makes {reads:,} clock reads, which would take hours",
            possible=f"up to {MAX_READS:,}: a shorter duration, fewer vcpus or reads_per_second",
            key="reads_per_second",
        )
    aways = [getattr(scenario.load, name) for name in ("exits", "descheduled", "migrations")]
    steps = running_ns // scenario.longest_ns + sum(
        2 * running_ns // max(1, (a.every.low + a.every.high + a.length.low + a.length.high) // 2)
        for a in aways
        if a is not None
    )
    if steps * scenario.vcpus > MAX_STEPS:
        raise ScenarioError(
            f"that makes {steps * scenario.vcpus:,} exits and entries, which would take hours",
            possible=f"up to {MAX_STEPS:,}: a shorter duration, or a load that comes less often",
            key="load",
        )
