"""The world in motion: windows that follow each other, and vCPUs that do what their load says."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.made import scenarios
from timehands.simulate import events
from timehands.simulate.hosts import HostSpec
from timehands.simulate.readers import READERS
from timehands.simulate.run import effective_reader
from timehands.simulate.scenario import Away, Load, Scenario
from timehands.simulate.segments import MAX_PRODUCT, MAX_SEGMENT_NS, MAX_WINDOW_READS, Window
from timehands.simulate.units import Span
from timehands.simulate.world import World

MS = 10**6
S = 10**9
HOST = HostSpec(name="a", tsc_khz=1_000_000)


def windows(scenario: Scenario, seed: int = 0) -> list[Window]:
    return list(World(scenario, seed, scenario.provider, effective_reader(scenario)).windows())


@settings(max_examples=25)
@given(scenarios(), st.integers(0, 3))
def test_windows_are_as_engines_are_promised(scenario: Scenario, seed: int) -> None:
    found = windows(scenario, seed)
    assert found[0].start_ns == 0
    assert found[-1].end_ns == scenario.duration_ns
    for before, after in pairwise(found):
        assert before.end_ns <= after.start_ns
        assert before.paused_ns <= after.paused_ns
        assert before.paused_ns == after.paused_ns or after.event is not None
    for window in found:
        assert window.end_ns - window.start_ns <= MAX_SEGMENT_NS
        assert sum(segment.reads for segment in window.segments) <= MAX_WINDOW_READS
        last_ns = [window.start_ns] * scenario.vcpus
        for segment in window.segments:
            assert last_ns[segment.vcpu] <= segment.start_ns < segment.end_ns <= window.end_ns
            assert (segment.end_ns - segment.start_ns) * segment.tsc.hz < MAX_PRODUCT
            assert segment.reads >= 1
            last_ns[segment.vcpu] = segment.end_ns


@settings(max_examples=25)
@given(scenarios())
def test_every_event_comes_once_in_order_and_nobody_runs_in_a_stop(scenario: Scenario) -> None:
    found = windows(scenario)
    seen = [window.event for window in found if window.event is not None]
    # An event that begins a stop may be told before it and after it.
    assert set(seen) == set(range(len(scenario.events)))
    stops = [
        (event.at_ns, event.at_ns + events.stops_for(event))
        for event in scenario.events
        if events.stops_for(event)
    ]
    for window in found:
        for segment in window.segments:
            assert not any(
                segment.start_ns < end and start < segment.end_ns for start, end in stops
            )


def test_a_vcpu_reads_as_often_as_it_was_asked_while_it_runs() -> None:
    load = Load(exits=Away(every=Span(MS, MS), length=Span(MS // 4, MS // 4)))
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=S, reads_per_s=8000, load=load, vcpus=2
    )
    segments = [segment for window in windows(scenario) for segment in window.segments]
    for vcpu in range(2):
        mine = [segment for segment in segments if segment.vcpu == vcpu]
        assert sum(segment.end_ns - segment.start_ns for segment in mine) == 800 * MS
        assert sum(segment.reads for segment in mine) == 6400


def test_exits_come_when_their_load_says() -> None:
    load = Load(exits=Away(every=Span(3 * MS, 3 * MS), length=Span(MS, MS)))
    scenario = Scenario(title="", hosts=(HOST,), duration_ns=10 * MS, reads_per_s=10**6, load=load)
    runs: list[list[int]] = []
    for window in windows(scenario):
        for segment in window.segments:
            if runs and runs[-1][1] == segment.start_ns:
                runs[-1][1] = segment.end_ns
            else:
                runs.append([segment.start_ns, segment.end_ns])
    assert runs == [[0, 3 * MS], [4 * MS, 7 * MS], [8 * MS, 10 * MS]]


def test_what_was_in_hand_at_a_stop_is_finished_after_it() -> None:
    load = Load(exits=Away(every=Span(3 * MS, 3 * MS), length=Span(2 * MS, 2 * MS)))
    pauses = (events.Pause(at_ns=4 * MS, for_ns=10 * MS), events.Pause(at_ns=16 * MS, for_ns=MS))
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=20 * MS, reads_per_s=10**6, load=load, events=pauses
    )
    times = [(s.start_ns // MS, -(-s.end_ns // MS)) for w in windows(scenario) for s in w.segments]
    spans = sorted({t for start, end in times for t in range(start, end)})
    # Runs 0..3, is out 3..4, is stopped 4..14, is out 14..15, runs 15..16, is stopped, runs 17..19.
    assert spans == [0, 1, 2, 15, 17, 18]


def test_one_actor_s_random_numbers_do_not_depend_on_the_others() -> None:
    def first_exits(vcpus: int, load: Load) -> list[int]:
        scenario = Scenario(
            title="", hosts=(HOST,), duration_ns=50 * MS, reads_per_s=10**6, load=load, vcpus=vcpus
        )
        segments = [s for w in windows(scenario, 5) for s in w.segments if s.vcpu == 0]
        return [b.start_ns for a, b in pairwise(segments) if b.start_ns > a.end_ns][:3]

    exits = Away(every=Span(MS, 9 * MS), length=Span(1, MS))
    alone = first_exits(1, Load(exits=exits))
    assert alone == first_exits(4, Load(exits=exits))
    assert len(alone) == 3


def test_the_vdso_reads_the_first_vcpu_s_page() -> None:
    load = Load(migrations=Away(every=Span(MS, 5 * MS), length=Span(1000, 1000)))
    scenario = Scenario(
        title="", hosts=(HOST,), duration_ns=50 * MS, provider="kvm-no-masterclock",
        reader="linux-vdso", vcpus=2, load=load,
    )  # fmt: skip
    world = World(scenario, 0, scenario.provider, READERS["linux-vdso"])
    pages = {s.page for w in world.windows() for s in w.segments if s.vcpu == 1}
    firsts = {s.page for w in windows(scenario) for s in w.segments if s.vcpu == 0}
    assert pages <= firsts
