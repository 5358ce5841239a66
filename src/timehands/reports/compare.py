"""Two boots side by side: how each found its clocks, aligned by subject.

The two may be of two systems on the same machine, or of one before and after a change. Clocks are
aligned by what they are (FreeBSD's ``TSC-low`` stands beside NetBSD's ``TSC``), and a frequency is
held against the machine's own, where a survey knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from timehands.guests.base import ClockNames
from timehands.guests.registry import knowledge_named
from timehands.reports import words
from timehands.reports.compare_frequency import lapic, tsc
from timehands.reports.compare_values import Cell, cell, nanoseconds
from timehands.reports.done_words import callers, change
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import count, hz
from timehands.reports.verdict import ending, system
from timehands.story.model import Clock, ClockRole, Fact, Mark, References
from timehands.watch.recording import Recording
from timehands.watch.records import Kind

_HYPERVISOR_LEAVES = range(0x40000000, 0x40010000, 0x100)
#: What clocks are, by the beginning of their names in lower case.
_FAMILIES = (
    ("i8254", "i8254"), ("pit", "i8254"), ("attimer", "i8254"), ("lapic", "LAPIC"),
    ("hpet", "HPET"), ("acpi", "ACPI PM timer"), ("rtc", "RTC"), ("atrtc", "RTC"),
    ("mc146818", "RTC"), ("xen", "Xen time"), ("hyper", "Hyper-V time"), ("tsc", "TSC"),
)  # fmt: skip
_ROLES = {ClockRole.SOURCE: "", ClockRole.EVENTS: " (timers)", ClockRole.WALL: " (date)"}
_MOST_CLOCKS = 40
_MOST_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: its report, and its recording, where what the guest asked for is found."""

    report: Report
    recording: Recording | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One subject on both sides; None: it does not occur there.

    ``difference`` is B against A where both are numbers of one kind. ``measured`` values differ
    from boot to boot, and that they do is no difference between the two. ``comparable``: whether
    the numbers are of the same thing (a LAPIC's rate hangs on the divisor that the kernel chose).
    """

    subject: str
    a: Cell | None
    b: Cell | None
    measured: bool = False
    comparable: bool = True

    @property
    def same(self) -> bool:
        """Whether both sides say the same."""
        return self.a is not None and self.b is not None and self.a.text == self.b.text

    @property
    def differs(self) -> bool:
        """Whether the two differ in what does not change from boot to boot."""
        return not self.same and not self.measured

    @property
    def difference(self) -> str:
        """``+12 ms`` or ``-1,320 ppm``: B against A; empty where that makes no sense."""
        if self.a is None or self.b is None or not self.comparable:
            return ""
        return self.b.against(self.a)


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two boots side by side. ``a`` and ``b`` are their names, short and different."""

    a: str
    b: str
    sides: tuple[Side, Side]
    sections: tuple[Section, ...]


def compare(a: Side, b: Side) -> Comparison:
    """The two boots, subject by subject. Sections in which nothing was seen are left out."""
    sections = (
        Section("What was booted", tuple(_subjects(a, b))),
        Section("Frequencies", tuple(_frequencies(a, b))),
        Section("Clocks, in the order of registration", tuple(_clocks(a, b))),
        Section("What the kernel uses in the end", tuple(_chosen(a, b))),
        Section("Time", tuple(_times(a, b))),
        Section("Findings", tuple(_findings(a, b))),
    )
    name_a, name_b = _names(a.report, b.report)
    return Comparison(name_a, name_b, (a, b), tuple(s for s in sections if s.rows))


def _names(a: Report, b: Report) -> tuple[str, str]:
    """The systems' names; where these are equal with their versions, else A and B."""
    short = [system(r.kernel.os) for r in (a, b)]
    if short[0] != short[1]:
        return short[0], short[1]
    longer = [clipped(f"{name} {harmless(r.kernel.version, 40)}".strip(), 40)
              for name, r in zip(short, (a, b), strict=True)]  # fmt: skip
    if longer[0] != longer[1]:
        return longer[0], longer[1]
    return f"A: {longer[0]}", f"B: {longer[1]}"


def _row(
    subject: str, a: Side, b: Side, of: Callable[[Side], Cell | None], *, measured: bool = False
) -> Iterator[Row]:
    """A row, unless neither side has anything to say."""
    left, right = of(a), of(b)
    if left is not None or right is not None:
        yield Row(subject, left, right, measured)


# What was booted


def _subjects(a: Side, b: Side) -> Iterator[Row]:
    yield from _row("kernel", a, b, lambda side: cell(words.kernel(side.report.kernel)))
    yield from _row("machine", a, b, lambda side: cell(words.machine(side.report)))
    yield from _row("command line", a, b, lambda side: cell(side.report.load.command_line))
    yield from _row("we changed", a, b, _changed)
    yield from _row("hypervisor", a, b, _hypervisor)
    yield from _row("ended", a, b, _ended)


def _changed(side: Side) -> Cell | None:
    done = side.report.interventions
    said = [change(side.report, one) for one in done[:_MOST_CHANGES]]
    return cell("; ".join(said), references=tuple(one.reference for one in done))


def _hypervisor(side: Side) -> Cell | None:
    """What the kernel holds of the hypervisor, and the signature that CPUID gave it."""
    facts = {fact.name: fact for fact in side.report.story.facts}
    names = knowledge_named(side.report.kernel.os).names.hypervisor
    known = (_fact(facts[name]) for name in names if name in facts)
    held = next((text for text in known if text), "")
    signature, seen = _signature(side.recording)
    parts = [part for part in (held, f"CPUID says {signature}" if signature else "") if part]
    return cell(", ".join(parts), references=seen)


def _fact(fact: Fact) -> str:
    return harmless(fact.meaning, 60) or harmless(str(fact.value or ""), 60)


def _signature(recording: Recording | None) -> tuple[str, References]:
    """The twelve letters of the hypervisor's first leaf, as the kernel read them."""
    for event in recording.events if recording else ():
        if event.kind is Kind.CPUID and event.leaf[0] in _HYPERVISOR_LEAVES:
            _, ebx, ecx, edx = event.registers
            raw = b"".join(value.to_bytes(4, "little") for value in (ebx, ecx, edx))
            return harmless(raw.rstrip(b"\0").decode("latin-1"), 40), (event.reference,)
    return "", ()


def _ended(side: Side) -> Cell | None:
    outcome = side.report.story.outcome
    where = f" in {harmless(outcome.where, 120)}" if outcome.where else ""
    text = ending(side.report.story).split(" after ")[0]
    return cell(f"{text}{where}", references=outcome.evidence)


# Frequencies


def _frequencies(a: Side, b: Side) -> Iterator[Row]:
    for name, of in (("TSC frequency", tsc), ("LAPIC frequency", lapic)):
        left, right = of(a.report), of(b.report)
        rows = (
            Row(name, left.rate, right.rate, comparable=of is tsc),
            Row(f"{name}, against the true", left.truth, right.truth, measured=True),
            Row(f"{name}, found by", left.how, right.how),
        )
        yield from (row for row in rows if row.a is not None or row.b is not None)


# Clocks


def _clocks(a: Side, b: Side) -> Iterator[Row]:
    """One row for each clock that either side has: first A's in their order, then B's others.

    What time is read from comes before what wakes the kernel.
    """
    left, right = _by_family(a), _by_family(b)
    roles = list(ClockRole)
    both = sorted(dict.fromkeys((*left, *right)), key=lambda key: roles.index(key[0]))
    for role, family in both:
        found = (left.get((role, family)), right.get((role, family)))
        yield Row(f"{family}{_ROLES[role]}", _registered(a, found[0]), _registered(b, found[1]))


def _by_family(side: Side) -> dict[tuple[ClockRole, str], list[tuple[int, Clock]]]:
    """The clocks by use and by what they are, each with its place in the order of registration."""
    names = knowledge_named(side.report.kernel.os).names
    ordered = sorted(side.report.story.clocks, key=_registered_ns)[:_MOST_CLOCKS]
    found: dict[tuple[ClockRole, str], list[tuple[int, Clock]]] = {}
    numbers = dict.fromkeys(ClockRole, 0)
    for clock in ordered:
        numbers[clock.role] += 1
        family = (clock.role, family_of(clock.name, names))
        found.setdefault(family, []).append((numbers[clock.role], clock))
    return found


def _registered_ns(clock: Clock) -> int:
    """When a clock was registered: its first step with callers, else its last one."""
    called = [step.at_ns for step in clock.steps if step.backtrace and step.at_ns is not None]
    times = called[:1] or [step.at_ns for step in clock.steps if step.at_ns is not None][-1:]
    return times[0] if times else 0


def family_of(name: str, names: ClockNames) -> str:
    """What a clock is, whatever its system calls it: ``TSC-low`` is ``TSC``."""
    if name in names.tsc:
        return "TSC"
    if name in names.pvclock:
        return "pvclock"
    if name in names.ticks:
        return "timer ticks"
    low = name.lower()
    return next(
        (family for start, family in _FAMILIES if low.startswith(start)), harmless(name, 40)
    )


def _registered(side: Side, found: list[tuple[int, Clock]] | None) -> Cell | None:
    if not found:
        return None
    ranking = knowledge_named(side.report.kernel.os).names.ranking
    text = "; ".join(_clock(number, clock, ranking) for number, clock in found)
    return Cell(text, references=tuple(one for _, clock in found for one in clock.evidence))


def _clock(number: int, clock: Clock, ranking: str) -> str:
    """``2. TSC-low selected, 1.249999 GHz, quality 800, from tsc_calibrate < cpu_initclocks``."""
    parts = [f"{number}. {harmless(clock.name, 40)} {clock.state}"]
    if clock.frequency_hz is not None:
        parts.append(hz(clock.frequency_hz))
    if clock.rating is not None:
        parts.append(f"{ranking} {clock.rating}")
    trace = next((step.backtrace for step in clock.steps if step.backtrace), ())
    if trace:
        parts.append(f"from {callers(trace, 4)}")
    return ", ".join(parts)


# What the kernel uses


def _chosen(a: Side, b: Side) -> Iterator[Row]:
    yield from _row("time is read from", a, b, lambda side: cell(side.report.story.selected or ""))
    yield from _row("woken by", a, b, lambda side: cell(side.report.story.selected_timer or ""))
    yield from _row("busy waits (DELAY)", a, b, _delay)


def _delay(side: Side) -> Cell | None:
    steps = side.report.story.delay
    said = [harmless(step.what, 160) for step in steps[:6]]
    seen = tuple(one for step in steps for one in step.evidence)
    return cell(", then ".join(dict.fromkeys(said)), references=seen)


# Time


def _times(a: Side, b: Side) -> Iterator[Row]:
    yield from _row("calibrating clocks", a, b, _calibrating, measured=True)
    for mark, name in ((Mark.CLOCK_KNOWN, "until its clock is known"), (Mark.INIT, "until init")):
        yield from _row(name, a, b, partial(_until, mark), measured=True)
    yield from _row("guest time", a, b, _rate, measured=True)


def _calibrating(side: Side) -> Cell | None:
    found = side.report.story.calibrations
    if not found:
        return None
    total = nanoseconds(sum(max(0, one.duration_ns) for one in found))
    return Cell(f"{total.text} in {count(len(found))}", total.value, total.unit)


def _until(mark: Mark, side: Side) -> Cell | None:
    """From the first instruction to a boundary."""
    story = side.report.story
    start, end = story.boundary_ns(Mark.FIRST_INSTRUCTION), story.boundary_ns(mark)
    return None if start is None or end is None else nanoseconds(end - start)


def _rate(side: Side) -> Cell | None:
    rate = side.report.story.rate
    return cell(words.rate_words(rate), references=rate.evidence) if rate else None


# Findings


def _findings(a: Side, b: Side) -> Iterator[Row]:
    codes = [finding.code for side in (a, b) for finding in side.report.findings]
    for code in dict.fromkeys(codes):
        yield Row(harmless(code, 20), _found(a, code), _found(b, code))


def _found(side: Side, code: str) -> Cell | None:
    found = [finding for finding in side.report.findings if finding.code == code]
    titles = [f"{finding.severity}: {harmless(finding.title, 200)}" for finding in found]
    return cell("; ".join(dict.fromkeys(titles)))
