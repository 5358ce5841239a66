"""What a simulation's outcome means, in words: the verdict, and the figures of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from timehands.reports.units import count
from timehands.simulate.expectations import shown
from timehands.simulate.outcome import EventOutcome, Met, Outcome, VcpuOutcome
from timehands.simulate.segments import NS_PER_S
from timehands.simulate.units import in_words, ppm_in_words

#: A rate that is further off is trouble: NTP can make good so much (Linux MAXFREQ).
NTP_PPB = 500_000
#: A jump or an offset of this size is seen by people and their programs.
SEEN_NS = 10**6
NOTHING = "–"


class Column(NamedTuple):
    """A column of figures: its head, and its meaning for those who ask."""

    head: str
    meaning: str


VCPU_COLUMNS = (
    Column("vCPU", "which virtual CPU read its clock"),
    Column("reads", "how often it did"),
    Column("warps", "readings below the one before"),
    Column("worst", "the largest step backwards"),
    Column("stalls", "readings equal to the one before"),
    Column("longest", "the longest time for which the clock stood still"),
    Column("rate error", "of the worst stretch of a second or more between events; +: fast"),
    Column("offset at end", "how far the clock is from what its policy owes; positive: ahead"),
    Column("worst offset", "the offset furthest from 0"),
    Column("refused", "readings that gave no time: no valid page, or no TSC_STABLE"),
)

COMPARED_COLUMNS = (
    Column("warps", "readings below one that any vCPU took before"),
    Column("worst", "the largest step backwards"),
    *VCPU_COLUMNS[6:9],
    Column("worst jump", "how far the clock jumped at an event beyond the time due"),
    Column("date at end", "how far the guest's date is off at the end; positive: ahead"),
)


class Verdict(NamedTuple):
    """``mood`` is good, doubtful or bad; ``headline`` the first line, ``figures`` the next."""

    mood: str
    mark: str
    headline: str
    figures: str


def verdict(outcome: Outcome) -> Verdict:
    """What is to be said first: whether it is as expected, and how the clock was."""
    wrong = [one for one in outcome.expectations if not one.met]
    figures = summary(outcome)
    if wrong:
        return Verdict("bad", "✗", f"not as expected: {_unmet(wrong)}", figures)
    if outcome.expectations:
        return Verdict("good", "✓", "as expected", figures)
    if troubles(outcome):
        return Verdict("doubtful", "▲", "the clock does not keep time", figures)
    return Verdict("good", "✓", "the clock keeps time", figures)


def _unmet(wrong: list[Met]) -> str:
    first = str(wrong[0].expectation)
    value = figure_words(wrong[0])
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{first}, but it was {value}{more}"


def figure_words(met: Met) -> str:
    """The value that came, with its unit; that there is none."""
    return "not told" if met.value is None else shown(met.expectation.figure)(met.value)


def summary(outcome: Outcome) -> str:
    """The clock in a sentence: its troubles, or that there are none; what else is worth a word."""
    said, wall = [_clock(outcome)], outcome.wall_offset_ns
    if 0 < outcome.all.unstable_reads < outcome.all.reads:
        said.append("TSC_STABLE gets lost")
    if wall is not None and abs(wall) >= NS_PER_S:
        said.append(f"the guest's date ends {date_words(wall)}")
    return "; ".join(said)


def _clock(outcome: Outcome) -> str:
    told = troubles(outcome)
    if told:
        return "the clock " + "; ".join(told)
    worst = outcome.all.offset_worst_ns
    if worst is None:
        return "the clock was not read"
    return f"the clock never goes back and stays within {in_words(abs(worst))} of what is due"


def troubles(outcome: Outcome) -> list[str]:
    """What is wrong with the clock, each as the end of a sentence that begins with "the clock"."""
    moved = [*_rate_troubles(outcome), *_event_troubles(outcome)]
    return [*_reading_troubles(outcome), *(moved or _offset_troubles(outcome))]


def _offset_troubles(outcome: Outcome) -> Iterator[str]:
    """An offset that neither a rate nor an event accounts for."""
    worst = outcome.all.offset_worst_ns
    if worst is not None and abs(worst) >= SEEN_NS and not outcome.all.warps:
        yield f"is up to {in_words(abs(worst))} {'behind' if worst < 0 else 'ahead'}"


def _reading_troubles(outcome: Outcome) -> Iterator[str]:
    everything = outcome.all
    if everything.refused:
        whole = everything.refused == everything.reads
        yield f"cannot be read{'' if whole else f' {_times(everything.refused)}'}"
    if everything.warps:
        by = in_words(everything.worst_warp_ns)
        yield f"goes back {_times(everything.warps)}, by {by} at worst"
    elif outcome.warps_across:
        by = in_words(outcome.worst_warp_across_ns)
        yield f"goes back from one vCPU to another {_times(outcome.warps_across)}, by {by} at worst"
    if everything.worst_stall_ns >= SEEN_NS:
        yield f"stands still for up to {in_words(everything.worst_stall_ns)}"


def _rate_troubles(outcome: Outcome) -> Iterator[str]:
    """A rate beyond what NTP makes good; where the clock went back it has none to speak of."""
    rate = rate_of(outcome.all)
    if rate is not None and abs(rate) > NTP_PPB and not outcome.all.warps:
        yield per_second(rate)


def rate_of(row: VcpuOutcome) -> int | None:
    """The rate error to show, in ppb: between events, whose jumps are told by themselves."""
    return row.rate_error_ppb if row.worst_rate_error_ppb is None else row.worst_rate_error_ppb


def per_second(ppb: int) -> str:
    """``loses 41.2 ms a second``."""
    word = "loses" if ppb < 0 else "gains"
    return f"{word} {in_words(abs(ppb) * NS_PER_S // 10**9)} a second"


def _event_troubles(outcome: Outcome) -> Iterator[str]:
    jumps = [event.jump_ns for event in outcome.events if event.jump_ns is not None]
    worst = max(jumps, key=abs, default=0)
    if abs(worst) >= SEEN_NS:
        yield f"jumps by {in_words(worst)}"
    dropped = sum(event.dropped for event in outcome.events)
    if dropped:
        yield f"ignores a write to the TSC{'' if dropped == 1 else f' {_times(dropped)}'}"
    lockups = sum(event.lockup for event in outcome.events)
    if lockups:
        yield f"makes the guest's watchdog cry {_times(lockups)}"
    late = [event.timer_late_ns for event in outcome.events if event.timer_late_ns is not None]
    if any(abs(ns) >= SEEN_NS for ns in late):
        yield f"has a timer that fires {in_words(max(late, key=abs))} late"
    if any(event.timer_lost for event in outcome.events):
        yield "has a timer that never fires"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{count(number)} times"


# Tables


def vcpu_cells(row: VcpuOutcome) -> tuple[str, ...]:
    """A vCPU's row, in the order of `VCPU_COLUMNS`; -1 is all of them."""
    return (
        "all" if row.vcpu < 0 else str(row.vcpu),
        count(row.reads),
        count(row.warps),
        in_words(row.worst_warp_ns) if row.warps else NOTHING,
        count(row.stalls),
        in_words(row.worst_stall_ns) if row.stalls else NOTHING,
        NOTHING if row.warps else rate_words(rate_of(row)),
        time_words(row.offset_last_ns),
        time_words(row.offset_worst_ns),
        count(row.refused),
    )


def compared_cells(outcome: Outcome) -> tuple[str, ...]:
    """An outcome's row beside others', in the order of `COMPARED_COLUMNS`."""
    whole = outcome.all
    return (
        count(outcome.warps_across),
        in_words(outcome.worst_warp_across_ns) if outcome.warps_across else NOTHING,
        rate_words(rate_of(whole)),
        time_words(whole.offset_last_ns),
        time_words(whole.offset_worst_ns),
        time_words(outcome.figures()["worst_jump"]),
        time_words(outcome.wall_offset_ns),
    )


def date_words(wall_ns: int) -> str:
    """How the guest's date is: ``75 h behind``."""
    if abs(wall_ns) < SEEN_NS:
        return f"right within {in_words(abs(wall_ns))}"
    return f"{in_words(abs(wall_ns))} {'behind' if wall_ns < 0 else 'ahead'}"


def rate_words(ppb: int | None) -> str:
    """``-41,203 ppm``; a dash where there is none."""
    return NOTHING if ppb is None else ppm_in_words(ppb)


def time_words(ns: int | None) -> str:
    """``-12.5 ms``; a dash where there is none."""
    return NOTHING if ns is None else in_words(ns)


def jump_words(outcome: Outcome, place: int) -> str:
    """By how much the clock jumped at an event; a dash where there is no such event."""
    return time_words(outcome.events[place].jump_ns) if place < len(outcome.events) else NOTHING


def event_notes(event: EventOutcome) -> str:
    """What an event did besides a jump."""
    notes = []
    if event.told:
        notes.append("guest told that it was stopped")
    if event.lockup:
        notes.append("the guest's watchdog cries")
    if event.dropped:
        notes.append("the write had no effect")
    if event.timer_lost:
        notes.append("the deadline timer never fires")
    elif event.timer_late_ns:
        word = "late" if event.timer_late_ns > 0 else "early"
        notes.append(f"the deadline timer fires {in_words(abs(event.timer_late_ns))} {word}")
    return "; ".join(notes)


def ran_words(outcome: Outcome) -> str:
    """``10 s of true time, 2 vCPUs, 20,000 reads``."""
    vcpus = len(outcome.vcpus)
    return (
        f"{in_words(outcome.duration_ns)} of true time, {vcpus} vCPU{'s' if vcpus != 1 else ''}, "
        f"{count(outcome.all.reads)} reads"
    )


def setting_words(outcome: Outcome) -> str:
    """``provider nvmm, reader tsc, policy monotonic, seed 0``."""
    return (
        f"provider {outcome.provider}, reader {outcome.reader}, policy {outcome.policy}, "
        f"seed {outcome.seed}"
    )


def across_words(outcome: Outcome) -> str:
    """What happened from one vCPU to another; empty where there is one only."""
    number = outcome.warps_across
    if len(outcome.vcpus) < 2:
        return ""
    if not number:
        return "no reading is below one that any vCPU took before"
    by = in_words(outcome.worst_warp_across_ns)
    if number == 1:
        return f"one reading is below one taken before, by {by}"
    return f"{count(number)} readings are below one taken before, by {by} at worst"


def unstable_words(outcome: Outcome) -> str:
    """How often the page did not say TSC_STABLE, which costs guests their fast path; or empty."""
    number = outcome.all.unstable_reads
    if not number:
        return ""
    every = "Every reading" if number == outcome.all.reads else f"{count(number)} readings"
    return f"{every} found a page without TSC_STABLE."
