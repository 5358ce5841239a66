"""Charts of simulations: each vCPU's offset and rate error over time, or providers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from timehands.reports import simulation_words as words
from timehands.reports.axes import RATE, TIME, Break, Unit
from timehands.reports.plots import PANEL, Line, Mark, Panel, Plot
from timehands.simulate.outcome import Outcome, Sample, VcpuOutcome
from timehands.simulate.segments import NS_PER_S

#: Of more vCPUs than these the first ones are drawn.
MOST_LINES = 64
#: A rate is told from a stretch of at least this share of the time that the vCPUs ran.
_RATE_SHARE = 50
#: Below these an axis goes no further: a read has 1 ns, and a sample's rate some ppb.
LEAST_NS, LEAST_PPB = 100, 1000
#: How much further off one must be for the others to have a panel of their own.
_FAR = 20
#: The height of a chart that stands beside others, in pixels.
SMALL = 110
OFFSET, RATE_ERROR = "clock against what is due", "rate error"

Run = tuple[Sample, ...]
Points = tuple[tuple[int, int], ...]


def chart(outcome: Outcome) -> Plot:
    """Offset and rate error over true time: one line for each vCPU, events marked and named."""
    return Plot(
        title=_title(outcome),
        end_ns=outcome.duration_ns,
        panels=(
            _panel(OFFSET, TIME, tuple(_offset_lines(outcome)), LEAST_NS),
            _panel(RATE_ERROR, RATE, tuple(_rate_lines(outcome)), LEAST_PPB),
        ),
        marks=marks(outcome),
        breaks=breaks(outcome),
    )


def _title(outcome: Outcome) -> str:
    drawn = f", {MOST_LINES} of {len(outcome.vcpus)} vCPUs"
    more = drawn if len(outcome.vcpus) > MOST_LINES else ""
    return f"{outcome.scenario or outcome.title}, provider {outcome.provider}{more}"


def _panel(title: str, unit: Unit, lines: tuple[Line, ...], least: int) -> Panel:
    """A panel whose axis does not blow up what is nothing but rounding."""
    tiny = all(abs(value) < least for line in lines for value in line.values)
    return Panel(title, unit, lines, (-least, least) if tiny else None)


def small(outcome: Outcome, beside: Sequence[Outcome]) -> Plot:
    """The offset alone, on the axis that holds those of all outcomes that it is shown beside."""
    values = [sample.offset_ns for other in beside for line in other.samples for sample in line]
    held = (min(values, default=0), max(values, default=0))
    panel = Panel(OFFSET, TIME, tuple(_offset_lines(outcome)), held)
    return Plot(
        title=f"{outcome.provider}, reader {outcome.reader}",
        end_ns=outcome.duration_ns,
        panels=(panel,),
        marks=marks(outcome),
        breaks=breaks(outcome),
        panel=SMALL,
    )


def together(outcomes: Sequence[Outcome]) -> Plot:
    """Each outcome has a line: that of its vCPU that ends furthest off.

    Where one is so far off that the others lie on each other, these have a second panel.
    """
    lines = [_furthest_line(outcome, number) for number, outcome in enumerate(outcomes)]
    lines.sort(key=_size, reverse=True)
    panels = [_panel(OFFSET, TIME, tuple(lines), LEAST_NS)]
    if len(lines) > 1 and _size(lines[0]) > _FAR * _size(lines[1]):
        title = f"{OFFSET}, without {lines[0].name}"
        panels.append(_panel(title, TIME, tuple(lines[1:]), LEAST_NS))
    return Plot(
        title=outcomes[0].title,
        end_ns=outcomes[0].duration_ns,
        panels=tuple(panels),
        marks=marks(outcomes[0]),
        breaks=breaks(outcomes[0]),
        panel=(PANEL + SMALL) // 2,
    )


def _furthest_line(outcome: Outcome, number: int) -> Line:
    worst = max(outcome.samples, key=lambda line: abs(line[-1].offset_ns) if line else 0)
    return Line(outcome.provider, _points(_runs(outcome, worst)), number, words.summary(outcome))


def _size(line: Line) -> int:
    return max(map(abs, line.values), default=0)


def marks(outcome: Outcome) -> tuple[Mark, ...]:
    """The events, at the moments at which they end, with the jump of the clock."""
    return tuple(
        Mark(
            event.at_ns,
            event.what,
            "jump " + words.time_words(event.jump_ns) if event.jump_ns is not None else "",
        )
        for event in outcome.events
    )


def breaks(outcome: Outcome) -> tuple[Break, ...]:
    """When the guest stood still."""
    return tuple(
        Break(event.at_ns, event.at_ns + event.stopped_ns)
        for event in outcome.events
        if event.stopped_ns
    )


def _drawn(outcome: Outcome) -> list[tuple[VcpuOutcome, tuple[Sample, ...]]]:
    """The vCPUs that have a line, with their samples."""
    return list(zip(outcome.vcpus, outcome.samples, strict=True))[:MOST_LINES]


def _offset_lines(outcome: Outcome) -> Iterator[Line]:
    for row, samples in _drawn(outcome):
        ends = f"{words.time_words(row.offset_last_ns)} at the end"
        worst = f"{words.time_words(row.offset_worst_ns)} at worst"
        points = _points(_runs(outcome, samples))
        yield Line(f"vCPU {row.vcpu}", points, row.vcpu, f"{ends}, {worst}")


def _rate_lines(outcome: Outcome) -> Iterator[Line]:
    running_ns = outcome.duration_ns - sum(stop.length_ns for stop in breaks(outcome))
    least_ns = max(1, running_ns // _RATE_SHARE)
    edges = [event.at_ns for event in outcome.events]
    for row, samples in _drawn(outcome):
        runs = [_rates(run, least_ns) for run in _split(samples, edges)]
        detail = f"{words.rate_words(words.rate_of(row))} in the worst stretch"
        yield Line(f"vCPU {row.vcpu}", tuple(run for run in runs if run), row.vcpu, detail)


def _runs(outcome: Outcome, samples: Sequence[Sample]) -> Iterator[Run]:
    """The samples, broken where the guest stood still."""
    return _split(samples, [stop.start_ns for stop in breaks(outcome)])


def _split(samples: Sequence[Sample], edges: Sequence[int]) -> Iterator[Run]:
    """The samples before the first edge, from there to the next, and so on; empty ones left out."""
    left = list(samples)
    for edge in edges:
        at = next((n for n, sample in enumerate(left) if sample.t_ns >= edge), len(left))
        if left[:at]:
            yield tuple(left[:at])
        left = left[at:]
    if left:
        yield tuple(left)


def _points(runs: Iterator[Run]) -> tuple[Points, ...]:
    return tuple(tuple((sample.t_ns, sample.offset_ns) for sample in run) for run in runs)


def _rates(run: Run, least_ns: int) -> Points:
    """Rate errors in ppb, drawn as steps: each of a stretch of at least ``least_ns``.

    What is left at the end may be shorter, down to a tenth.
    """
    points: list[tuple[int, int]] = []
    first, last = run[0], run[-1]
    for sample in run[1:]:
        passed = sample.t_ns - first.t_ns
        if passed >= least_ns or (sample is last and passed * 10 >= least_ns):
            ppb = (sample.offset_ns - first.offset_ns) * NS_PER_S // passed
            points += [(first.t_ns, ppb), (sample.t_ns, ppb)]
            first = sample
    return tuple(points)
