"""A simulation in a terminal: the verdict first, then vCPUs, events and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from timehands.reports import simulation_words as words
from timehands.reports.page import LEAST_WIDTH, WIDTH, Page
from timehands.reports.units import count
from timehands.simulate.outcome import Met, Outcome
from timehands.simulate.units import in_words

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"good": "bold green", "doubtful": "bold yellow", "bad": "bold red"}
_LABEL = 9
#: What the table of a comparison needs.
_WIDE = 96
#: More vCPUs or events than these are not listed one by one.
MOST_VCPUS, MOST_EVENTS = 64, 100


def render(outcome: Outcome, *, width: int = WIDTH, color: bool, unicode: bool = True) -> str:
    """The outcome as text that ends in a line break; no line is wider than ``width`` columns."""
    page = _Simulated(max(width, LEAST_WIDTH), color, unicode)
    page.head(outcome)
    page.vcpus(outcome)
    page.events(outcome)
    page.expected(outcome.expectations)
    return page.text()


def render_comparison(
    outcomes: Sequence[Outcome], *, width: int = WIDTH, color: bool, unicode: bool = True
) -> str:
    """Several providers on one scenario, one row each, and in words what each of them does."""
    page = _Simulated(max(width, LEAST_WIDTH), color, unicode)
    page.side_by_side(outcomes)
    return page.text()


class _Simulated(Page):
    """The sections of a simulation."""

    def head(self, outcome: Outcome) -> None:
        """The verdict, how the clock was, and of what."""
        told = words.verdict(outcome)
        met = sum(one.met for one in outcome.expectations)
        expected = f"{met} of {len(outcome.expectations)} expectations met"
        first = self.styled(f"{told.mark} {told.headline}", _STYLES[told.mood])
        self.ends(first, self.styled(expected if outcome.expectations else "nothing was expected"))
        self.print(self.indented(self.styled(told.figures), 2))
        self.gap()
        rows = [
            (
                "Scenario",
                f"{outcome.scenario}: {outcome.title}" if outcome.scenario else outcome.title,
            ),
            ("With", words.setting_words(outcome)),
            ("Ran", words.ran_words(outcome)),
        ]
        self.rows(rows, _LABEL)

    def numbers(self, heads: Sequence[str], left: int = 1) -> Table:
        """A table whose columns are numbers, but the first ``left``."""
        table = self.table(heads)
        for column in table.columns[left:]:
            column.justify, column.no_wrap = "right", True
        table.padding = (0, 2, 0, 0)
        return table

    def vcpus(self, outcome: Outcome) -> None:
        """A row for each vCPU, and one for all; columns without anything in them are left out."""
        self.gap()
        listed = outcome.vcpus[:MOST_VCPUS]
        rows = [words.vcpu_cells(row) for row in listed]
        if len(outcome.vcpus) > 1:
            rows.append(words.vcpu_cells(outcome.all))
        used = _used(outcome)
        table = self.numbers([words.VCPU_COLUMNS[place].head for place in used])
        for row in rows:
            table.add_row(*(self.styled(row[place]) for place in used))
        self.print(table)
        if len(listed) < len(outcome.vcpus):
            self.print(self.styled(f"and {len(outcome.vcpus) - len(listed)} more vCPUs", "dim"))
        across = words.across_words(outcome)
        if across:
            self.print(self.styled(f"Across vCPUs {across}."))
        unstable = words.unstable_words(outcome)
        if unstable:
            self.print(self.styled(unstable))

    def events(self, outcome: Outcome) -> None:
        """What happened, and by how much the clock jumped."""
        if not outcome.events:
            return
        self.gap()
        table = self.table(("", "at", "event", "jump", "besides"))
        for place in (0, 1, 3):
            table.columns[place].justify, table.columns[place].no_wrap = "right", True
        for number, event in enumerate(outcome.events[:MOST_EVENTS], 1):
            cells = (
                str(number),
                in_words(event.at_ns),
                event.what,
                words.time_words(event.jump_ns),
                words.event_notes(event),
            )
            table.add_row(*map(self.styled, cells))
        self.print(table)
        if len(outcome.events) > MOST_EVENTS:
            more = len(outcome.events) - MOST_EVENTS
            self.print(self.styled(f"and {count(more)} more events", "dim"))
        wall = outcome.wall_offset_ns
        if wall is not None:
            self.print(self.styled(f"The guest's date at the end: {words.date_words(wall)}."))

    def expected(self, expectations: Sequence[Met]) -> None:
        """Each expectation, and what came."""
        if not expectations:
            return
        self.gap()
        table = self.table(("", "expected", "came"))
        table.columns[2].justify = "right"
        for one in expectations:
            style = "green" if one.met else "bold red"
            table.add_row(
                self.styled("✓" if one.met else "✗", style),
                self.styled(str(one.expectation)),
                self.styled(words.figure_words(one), "" if one.met else style),
            )
        self.print(table)

    def side_by_side(self, outcomes: Sequence[Outcome]) -> None:
        """A row for each provider, then a sentence for each."""
        first = outcomes[0]
        title = f"{first.scenario}: {first.title}" if first.scenario else first.title
        self.print(self.styled(title, "bold"))
        self.print(
            self.styled(f"{words.ran_words(first)}, policy {first.policy}, seed {first.seed}")
        )
        self.gap()
        if self.width >= _WIDE:
            self.figures_of(outcomes)
        self.gap()
        label = max(len(outcome.provider) for outcome in outcomes)
        self.rows([(o.provider, words.summary(o)) for o in outcomes], min(label, 24))

    def figures_of(self, outcomes: Sequence[Outcome]) -> None:
        """The table of a comparison. Dates are in the sentences below it."""
        heads = [column.head for column in words.COMPARED_COLUMNS[:-1]]
        table = self.numbers(["provider", *heads])
        table.columns[0].no_wrap = True
        for outcome in outcomes:
            row = [outcome.provider, *words.compared_cells(outcome)[:-1]]
            table.add_row(*map(self.styled, row))
        self.print(table)


def _used(outcome: Outcome) -> list[int]:
    """The columns in which there is something: stalls and refusals are rare."""
    everything = outcome.all
    empty = set() if everything.stalls else {4, 5}
    return [
        n
        for n in range(len(words.VCPU_COLUMNS))
        if n not in empty and (n != 9 or everything.refused)
    ]
