"""The fast engine gives what the reference gives, to the bit: on windows of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.clocks.pvclock.layout import TimeInfo
from timehands.errors import UsageError
from timehands.simulate.arrays import CHUNK, ArraysEngine
from timehands.simulate.arrays_reads import LONG
from timehands.simulate.readers import READERS, LastValue, Reader
from timehands.simulate.scalar import ScalarEngine
from timehands.simulate.segments import MAX_PRODUCT, MAX_SEGMENT_NS, Line, Segment, Window
from timehands.simulate.tally import Tallies, Tally

_EDGES = (0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 5, 2**64 - 1)
_U64 = st.one_of(st.sampled_from(_EDGES), st.integers(0, 2**64 - 1))
_WILD_PAGES = st.builds(
    TimeInfo,
    version=st.sampled_from((2, 2, 2, 4, 2**32 - 2, 0, 1)),
    tsc_timestamp=_U64,
    system_time=_U64,
    tsc_to_system_mul=st.sampled_from((0, 1, 2**31, 3435976585, 2**32 - 1)),
    tsc_shift=st.one_of(st.integers(-3, 3), st.integers(-128, 127)),
    flags=st.integers(0, 3),
)
_WILD_LINES = st.builds(
    Line,
    base=_U64,
    since_ns=st.just(0),
    hz=st.sampled_from((1, 543_000, 10**9, 2_499_998_000, 2**32, 10**12)),
)
#: As on a real machine: skewed by some cycles, of two updates.
_TAME_PAGES = st.builds(
    TimeInfo,
    version=st.just(2),
    tsc_timestamp=st.sampled_from((0, 10)),
    system_time=st.sampled_from((0, 1000)),
    tsc_to_system_mul=st.just(3435976585),
    tsc_shift=st.just(-1),
    flags=st.sampled_from((0, 1)),
)
_TAME_LINES = st.builds(
    Line,
    base=st.sampled_from((0, 5, 2**20)),
    since_ns=st.just(0),
    hz=st.sampled_from((19_200_000, 2_499_998_000)),
)
_READS = st.sampled_from((1, 2, 7, 60, LONG + 1))


@st.composite
def segments(draw: st.DrawFn, vcpu: int, start_ns: int, end_ns: int) -> list[Segment]:
    """One vCPU's segments in a window, one after the other; some of no length."""
    tame = draw(st.booleans())
    at, found = start_ns, []
    for _ in range(draw(st.integers(0, 3))):
        end = draw(st.integers(at, end_ns))
        line = draw(_TAME_LINES if tame else _WILD_LINES)
        page = draw(_TAME_PAGES if tame else _WILD_PAGES)
        if (end - at) * line.hz < MAX_PRODUCT:
            found.append(Segment(vcpu, at, end, line, page, draw(_READS)))
        at = max(end, at + 1)
        if at > end_ns:
            break
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Window]]:
    """A number of vCPUs, and windows that follow each other; the guest is paused now and then."""
    vcpus = draw(st.integers(1, 3))
    now_ns, paused_ns = draw(st.sampled_from((0, 10**9, 10**14))), 0
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        longest = draw(st.sampled_from((3, 1000, 10**6, MAX_SEGMENT_NS)))
        end_ns = now_ns + draw(st.integers(0, longest))
        inside = [one for v in range(vcpus) for one in draw(segments(v, now_ns, end_ns))]
        inside.sort(key=lambda one: one.start_ns)
        windows.append(Window(now_ns, end_ns, tuple(inside), paused_ns=paused_ns))
        pause_ns = draw(st.sampled_from((0, 0, 1, 10**6)))
        now_ns, paused_ns = end_ns + pause_ns, paused_ns + pause_ns
    return vcpus, windows


def both(reader: Reader, vcpus: int, windows: Sequence[Window]) -> tuple[Tallies, Tallies]:
    """The tallies of both engines after these windows."""
    ends = []
    for engine in (ScalarEngine, ArraysEngine):
        tallies = Tallies(reader, [Tally() for _ in range(vcpus)])
        runs = engine(tallies)
        for window in windows:
            runs.window(window)
        runs.flush()
        ends.append(tallies)
    return ends[0], ends[1]


@given(histories(), st.sampled_from(sorted(READERS)))
def test_both_engines_agree_on_whatever_may_happen(
    history: tuple[int, list[Window]], name: str
) -> None:
    reference, fast = both(READERS[name], *history)
    assert fast == reference


@given(histories())
def test_a_last_value_that_always_counts_is_the_same_too(
    history: tuple[int, list[Window]],
) -> None:
    always = READERS["linux"]._replace(name="always", last_value=LastValue.ALWAYS)
    reference, fast = both(always, *history)
    assert fast == reference


def long_windows(skews: Sequence[int], flags: int, reads: int, count: int = 3) -> list[Window]:
    """Windows that are a chunk each: all vCPUs read all the time, by TSCs that differ."""
    page = TimeInfo(2, 1000, 5000, 3435976585, -1, flags)
    length_ns = 50 * reads
    windows = []
    for start_ns in range(1_000_000, 1_000_000 + count * length_ns, length_ns):
        end_ns = start_ns + length_ns
        inside = tuple(
            Segment(vcpu, start_ns, end_ns, Line(skew, 0, 2_499_998_000), page, reads - 13 * vcpu)
            for vcpu, skew in enumerate(skews)
        )
        windows.append(Window(start_ns, end_ns, inside))
    return windows


@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("skews", [(2000,), (2000, 2000), (2000, 2010, 9000)])
def test_long_windows_agree(skews: tuple[int, ...], flags: int) -> None:
    windows = long_windows(skews, flags, reads=CHUNK // 8)
    reference, fast = both(READERS["linux"], len(skews), windows)
    assert fast == reference
    warps = reference.across.warps
    assert (warps > 0) == (len(set(skews)) > 1 and flags == 1)


def test_what_is_gathered_is_not_lost_nor_counted_twice() -> None:
    windows = long_windows((5, 7), 1, reads=300, count=40)
    reference, fast = both(READERS["netbsd"], 2, windows)
    assert fast == reference
    assert fast.vcpus[0].reads == 40 * 300


GHZ = 10**9
PAGE = TimeInfo(2, 0, 0, 2**31, 1, 1)  # one ns a cycle at 1 GHz; TSC_STABLE
LOOSE = replace(PAGE, flags=0)


def window(*segments: Segment, paused_ns: int = 0) -> Window:
    """A window that holds them."""
    ends = [one.start_ns for one in segments], [one.end_ns for one in segments]
    return Window(min(ends[0]), max(ends[1]), segments, paused_ns=paused_ns)


def in_turn(line: Line, page: TimeInfo, start_ns: int = 0) -> Window:
    """Two vCPUs that read the same, one 4 us long, then, a little later, the other."""
    first = Segment(0, start_ns, start_ns + 4000, line, page, 40)
    return window(first, first._replace(vcpu=1, start_ns=start_ns + 4500, end_ns=start_ns + 9000))


@pytest.mark.parametrize(
    ("name", "base", "page"),
    [
        ("linux", 2**64 - 4200, PAGE),  # the TSC wraps
        ("linux", 2**63 - 4200, PAGE),  # ... what is shifted left does
        ("linux", 0, replace(PAGE, system_time=2**64 - 4200)),  # ... the time
        ("netbsd", 2**63 - 4200, replace(PAGE, tsc_shift=0)),  # a TSC is taken for an earlier one
        ("openbsd-1", 2**33 - 4200, PAGE),  # the product of 64 bits wraps
    ],
)
def test_a_function_that_steps_back_between_two_vcpus_is_seen(
    name: str, base: int, page: TimeInfo
) -> None:
    reference, fast = both(READERS[name], 2, [in_turn(Line(base, 0, GHZ), page)])
    assert fast == reference
    assert fast.across.warps == 1


@pytest.mark.parametrize("name", ["linux", "netbsd"])
@pytest.mark.parametrize(
    ("base", "hz", "page"),
    [
        (0, 10**12, replace(PAGE, tsc_to_system_mul=2**32 - 1, tsc_shift=0)),  # x beyond 32 bits
        (2**63 - 10**6, GHZ, replace(PAGE, tsc_shift=0)),  # from where NetBSD sees a past
        (2**64 - 10**6, GHZ, replace(PAGE, tsc_shift=-1)),  # the TSC wraps
        (2**64 - 10**6 - 1, GHZ, replace(PAGE, tsc_timestamp=2**64 - 10**6)),  # begins before it
        (3, 2_499_998_001, replace(PAGE, tsc_timestamp=2**64 - 10**17, tsc_shift=-9)),
    ],
)
def test_long_segments_at_the_edges_agree(name: str, base: int, hz: int, page: TimeInfo) -> None:
    one = Segment(0, 0, 1 << 23, Line(base, 0, hz), page, LONG + 7)
    reference, fast = both(READERS[name], 1, [window(one)])
    assert fast == reference


def test_a_last_value_from_before_holds_all_vcpus() -> None:
    ahead = in_turn(Line(10**6, 0, GHZ), LOOSE)
    then = replace(in_turn(Line(0, 0, GHZ), LOOSE, start_ns=10_000), paused_ns=1)
    reference, fast = both(READERS["linux"], 2, [ahead, then])
    assert fast == reference
    assert fast.across.last_ns == fast.last_value_ns == 10**6 + 8887


def test_two_pages_at_one_moment_are_read_in_the_order_of_their_times() -> None:
    line = Line(0, 0, GHZ)
    at_once = Segment(0, 5, 5, line, replace(PAGE, system_time=500), 1)
    inside = at_once, Segment(0, 5, 9, line, PAGE, 2), Segment(1, 5, 9, line, PAGE, 2)
    reference, fast = both(READERS["linux"], 2, [window(*inside)])
    assert fast == reference


@pytest.mark.parametrize(("ahead_ns", "page"), [(2**62, PAGE), (2**34 - 2, LOOSE)])
def test_offsets_too_wide_to_be_packed_with_their_times_are_sorted_too(
    ahead_ns: int, page: TimeInfo
) -> None:
    line, end_ns = Line(0, 0, GHZ), MAX_SEGMENT_NS
    far = replace(page, system_time=ahead_ns)
    inside = Segment(0, 0, end_ns, line, page, 50), Segment(1, 7, end_ns, line, far, 60)
    reference, fast = both(READERS["linux"], 2, [window(*inside)])
    assert fast == reference
    assert (fast.across.warps > 40) == page.stable


def test_a_reader_with_an_arithmetic_of_its_own_is_refused() -> None:
    own = READERS["linux"]._replace(arithmetic=lambda _info, tsc: tsc)
    with pytest.raises(UsageError, match="scalar"):
        ArraysEngine(Tallies(own, [Tally()]))
