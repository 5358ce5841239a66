"""A guest clock of known rate is simulated; what is told must contain that rate, whatever the
delays were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from recordings import DATE_NS, MS, Tape
from timehands.machines.initrd import MARK_AFTER, MARK_BEFORE
from timehands.story.rate import SHORTEST_BASELINE_NS, rate_of, readings, wall_clock_of
from timehands.watch.records import Kind


def _tape(*readings: tuple[float, float, int]) -> Tape:
    tape = Tape()
    tape.begins()
    for ms, until_ms, monotonic_ns in readings:
        tape.reading(ms=ms, until_ms=until_ms, monotonic_ns=monotonic_ns)
    tape.ends("guest-reset", ms=100_000)
    return tape


def test_readings_are_pairs_of_marks(tmp_path: Path) -> None:
    tape = _tape((10, 11, 500), (20, 22, 900))
    first, second = readings(tape.write(tmp_path))
    assert (first.monotonic_ns, second.monotonic_ns) == (500, 900)
    assert second.after.host_ns - second.before.host_ns == 2 * MS
    assert first.realtime_ns == DATE_NS + 11 * MS


def test_marks_without_their_other_half_are_no_readings(tmp_path: Path) -> None:
    tape = Tape()
    tape.event(Kind.CPUID, MARK_AFTER, 1, 2, ms=1)
    tape.cpuid(MARK_BEFORE, ms=2)
    tape.cpuid(MARK_BEFORE, ms=3)
    tape.event(Kind.CPUID, MARK_AFTER, 5, 6, ms=4)
    tape.event(Kind.CPUID, MARK_AFTER, 7, 8, ms=5)
    tape.cpuid(MARK_BEFORE, ms=6)
    (reading,) = readings(tape.write(tmp_path))
    assert reading.monotonic_ns == 5
    assert reading.after.host_ns - reading.before.host_ns == 1 * MS


def test_a_clock_that_keeps_pace_is_within_its_bounds(tmp_path: Path) -> None:
    rate = rate_of(_tape((0, 1, 0), (1000, 1001, 1000 * MS)).write(tmp_path), 1)
    assert rate is not None
    assert rate.low_ppm < 0 < rate.high_ppm
    assert rate.over_ns == 1001 * MS


def test_too_few_or_too_close_readings_tell_nothing(tmp_path: Path) -> None:
    shortest_ms = SHORTEST_BASELINE_NS / MS
    assert rate_of(_tape().write(tmp_path / "0"), 1) is None
    assert rate_of(_tape((0, 1, 0)).write(tmp_path / "1"), 1) is None
    near = _tape((0, 1, 0), (shortest_ms, shortest_ms + 1, 100 * MS))
    assert rate_of(near.write(tmp_path / "2"), 1) is None
    far = _tape((0, 1, 0), (shortest_ms + 1, shortest_ms + 2, 100 * MS))
    assert rate_of(far.write(tmp_path / "3"), 1) is not None


_DELAY_NS = st.integers(0, 20 * MS)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@example(
    ppm=-1_000_000, step_ns=4 * MS, offset_ns=0, start_ns=0, apart_ns=10**9, delays=(0, 0, 0, 0)
)
@given(
    ppm=st.integers(-1_500_000, 3_000_000),
    step_ns=st.sampled_from((1, 279, 838, 1 * MS, 4 * MS, 10 * MS)),
    offset_ns=st.integers(0, 10**12),
    start_ns=st.integers(0, 10**10),
    apart_ns=st.integers(SHORTEST_BASELINE_NS, 10**11),
    delays=st.tuples(_DELAY_NS, _DELAY_NS, _DELAY_NS, _DELAY_NS),
)
def test_the_true_rate_lies_within_the_sandwich(
    tmp_path: Path,
    *,
    ppm: int,
    step_ns: int,
    offset_ns: int,
    start_ns: int,
    apart_ns: int,
    delays: tuple[int, int, int, int],
) -> None:
    """The guest reads its clock at a moment that only the test knows, and the clock moves in steps.

    Negative true rates (a clock that goes back) are an instrument's failure, not a reason to lie.
    """
    moments = (start_ns + delays[0], start_ns + delays[0] + apart_ns)
    marks = [
        (moments[0] - delays[0], moments[0] + delays[1]),
        (moments[1] - delays[2], moments[1] + delays[3]),
    ]
    assume(marks[1][0] - marks[0][1] >= SHORTEST_BASELINE_NS)
    shown = [_shown_ns(moment, ppm, step_ns, offset_ns + 2 * 10**12) for moment in moments]
    tape = Tape()
    for (before_ns, after_ns), monotonic_ns in zip(marks, shown, strict=True):
        tape.cpuid(MARK_BEFORE, ms=before_ns / MS)
        tape.event(Kind.CPUID, MARK_AFTER, monotonic_ns, 0, ms=after_ns / MS)
    rate = rate_of(tape.write(tmp_path), step_ns)
    assert rate is not None
    assert rate.low_ppm <= ppm <= rate.high_ppm


def _shown_ns(moment_ns: int, ppm: int, step_ns: int, offset_ns: int) -> int:
    """What a clock of that rate shows, which moves by whole steps."""
    exact = offset_ns + Fraction(moment_ns * (1_000_000 + ppm), 1_000_000)
    return int(exact // step_ns) * step_ns


def test_the_bounds_are_no_wider_than_delays_and_step_make_them(tmp_path: Path) -> None:
    tape = _tape((0, 1, 0), (1000, 1001, 1000 * MS))
    exact = rate_of(tape.write(tmp_path / "exact"), 1)
    ticking = rate_of(tape.write(tmp_path / "ticking"), 4 * MS)
    assert exact is not None and ticking is not None
    assert exact.high_ppm - exact.low_ppm <= 2_010
    assert ticking.high_ppm - ticking.low_ppm <= 2_010 + 8_020


def test_the_wall_clock_is_held_against_the_hosts_at_the_same_moment(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    late_ns = 3_600 * 10**9
    tape.reading(ms=500, until_ms=501, monotonic_ns=0, realtime_ns=DATE_NS + 501 * MS - late_ns)
    wall = wall_clock_of(tape.write(tmp_path))
    assert wall is not None
    assert wall.offset_ns == -late_ns
    assert wall.evidence == ("e3",)


def test_without_a_reading_or_the_hosts_date_the_wall_clock_is_not_known(tmp_path: Path) -> None:
    silent = Tape()
    silent.begins()
    assert wall_clock_of(silent.write(tmp_path / "silent")) is None
    dateless = Tape()
    dateless.reading(ms=1, until_ms=2, monotonic_ns=0)
    assert wall_clock_of(dateless.write(tmp_path / "dateless")) is None
