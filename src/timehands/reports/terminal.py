"""The report in a terminal: verdict first, then what it rests on, never wider than asked for.

``render`` makes a string; it prints nothing and reads no environment. `Surface.of` says what a
stream can show: colours only on a terminal that wants them (NO_COLOR, TERM=dumb), other than ASCII
only where the stream's encoding has it.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TextIO

from timehands.findings.model import Finding, Fix, Severity, Trial
from timehands.reports import words
from timehands.reports.model import Report
from timehands.reports.plain import ascii_only, clipped, harmless
from timehands.reports.survey_words import lacks_words, offers_words
from timehands.reports.units import duration, hz, ms, seconds
from timehands.reports.verdict import Mood, verdict
from timehands.story.model import Boundary, Clock, ClockState

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
LEAST_WIDTH = 40
#: From this width on the proof has a column for the outcome.
_WIDE = 96
_MARKS = {Mood.GOOD: ("✓", "bold green"), Mood.DOUBTFUL: ("▲", "bold yellow")}
_MARKS[Mood.BAD] = ("✗", "bold red")
_STATES = {ClockState.SELECTED: "green", ClockState.REJECTED: "red"}
_SEVERITIES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}
_SEVERITIES[Severity.NOTE] = "bold"
_MOST_CLOCKS = 40
_MOST_EVIDENCE = 8
_BAR = 24


@dataclass(frozen=True, slots=True)
class Surface:
    """What a stream can show: ``width`` in columns, colours or not, more than ASCII or not."""

    width: int
    color: bool
    unicode: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] | None = None) -> Self:
        """What this stream can show. A stream that is no terminal gets 100 plain columns."""
        environ = os.environ if environ is None else environ
        tty = stream.isatty()
        plain = bool(environ.get("NO_COLOR")) or environ.get("TERM", "dumb") == "dumb"
        columns = shutil.get_terminal_size((WIDTH, 24)).columns if tty else WIDTH
        width = min(WIDTH, max(LEAST_WIDTH, columns))
        return cls(width, tty and not plain, _shows_more_than_ascii(stream))


def _shows_more_than_ascii(stream: TextIO) -> bool:
    try:
        "✗✓█…".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def render(report: Report, *, width: int = WIDTH, color: bool, unicode: bool = True) -> str:
    """The report as text that ends in a line break; no line is wider than ``width`` columns.

    ``width`` is at least 40. Without ``unicode`` the text is ASCII.
    """
    page = _Page(max(width, LEAST_WIDTH), color, unicode)
    page.verdict(report)
    page.subject(report)
    page.clocks(report.story.clocks)
    for finding in report.findings:
        page.finding(report, finding)
    page.proof(report)
    page.timeline(report)
    page.footer(report)
    return page.text()


class _Page:
    """A page that is written from top to bottom."""

    def __init__(self, width: int, color: bool, unicode: bool) -> None:
        from rich.console import Console

        self.width = width
        self.unicode = unicode
        self.out = io.StringIO()
        self.console = Console(
            file=self.out,
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )

    def text(self) -> str:
        """What was written, without spaces at line ends."""
        lines = [line.rstrip() for line in self.out.getvalue().splitlines()]
        return "\n".join(lines).strip("\n") + "\n"

    # What a page is made of

    def styled(self, words: str, style: str = "", cut: int = 4000) -> Text:
        """Words that may come from a guest, made fit for this page."""
        from rich.text import Text

        clean = harmless(words, cut)
        return Text(clean if self.unicode else ascii_only(clean), style=style, overflow="fold")

    def print(self, *what: RenderableType) -> None:
        """Writes lines."""
        for one in what:
            self.console.print(one, soft_wrap=False)

    def gap(self) -> None:
        """An empty line between sections."""
        self.console.print()

    def ends(self, left: Text, right: Text) -> None:
        """One line with two ends; the right one goes on a line of its own where both do not fit."""
        room = self.width - left.cell_len - right.cell_len
        if room >= 2:
            self.print(left + " " * room + right)
        else:
            self.print(left, self.indented(right, 2))

    def indented(self, what: RenderableType, columns: int) -> RenderableType:
        """The same, further to the right."""
        from rich.padding import Padding

        return Padding(what, (0, 0, 0, columns))

    def rows(
        self, rows: Iterable[tuple[str, str]], label: int, indent: int = 0, style: str = "bold"
    ) -> None:
        """Labels, and beside them words that wrap within their own column."""
        grid = self.grid(2)
        grid.columns[0].width = label
        for name, value in rows:
            grid.add_row(self.styled(name, style), self.styled(value))
        if grid.row_count:
            self.print(self.indented(grid, indent))

    def grid(self, columns: int) -> Table:
        """An empty table without lines."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(columns):
            table.add_column(overflow="fold")
        return table

    def table(self, heads: Sequence[str]) -> Table:
        """An empty table with a head; the last column takes the room that is left."""
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
        for head in heads:
            table.add_column(head, overflow="fold")
        return table

    # The sections

    def verdict(self, report: Report) -> None:
        """✗ Linux runs on refined-jiffies: its TSC frequency is unknown."""
        told = verdict(report.story, report.findings)
        mark, style = _MARKS[told.mood]
        sentence = self.styled(f"{mark} {told.sentence}", style)
        self.ends(sentence, self.styled(told.ending))
        self.gap()

    def subject(self, report: Report) -> None:
        """Which kernel on which machine, and what that offers."""
        rows = [("Kernel", words.kernel(report.kernel)), ("Machine", words.machine(report))]
        if report.survey is not None:
            rows.append(("", offers_words(report.survey)))
            rows.append(("", lacks_words(report.survey)))
        rows.append(("Ended", words.ended(report.story.outcome)))
        if report.load.arguments:
            rows.insert(-1, ("Started", clipped(harmless(report.load.command_line), 400)))
        self.rows([row for row in rows if row[1]], 7)

    def clocks(self, clocks: Sequence[Clock]) -> None:
        """The clocks, as the guest knows them."""
        self.gap()
        if not clocks:
            self.print(self.styled("No clock was seen."))
            return
        table = self.table(("Clock", "for", "state", "rate", "rating", "how"))
        table.columns[0].max_width = 22
        table.columns[4].justify = "right"
        for clock in clocks[:_MOST_CLOCKS]:
            self.clock(table, clock)
        self.print(table)
        if len(clocks) > _MOST_CLOCKS:
            self.print(self.styled(f"... and {len(clocks) - _MOST_CLOCKS} clocks more"))

    def clock(self, table: Table, clock: Clock) -> None:
        """A clock's row."""
        table.add_row(
            self.styled(clock.name, cut=80),
            self.styled(words.ROLES[clock.role]),
            self.styled(str(clock.state), _STATES.get(clock.state, "")),
            self.styled(hz(clock.frequency_hz)),
            self.styled("-" if clock.rating is None else str(clock.rating)),
            self.styled(clock.how, cut=300),
        )

    def finding(self, report: Report, finding: Finding) -> None:
        """What is wrong, how that was seen, and what mends it."""
        self.gap()
        code = self.styled(f"{finding.code} {finding.severity}  ", _SEVERITIES[finding.severity])
        title = self.styled(finding.title, "bold", cut=200)
        self.ends(code + title, self.styled(f"timehands explain {finding.code}", "dim", cut=60))
        cause = finding.cause + (f" ({words.cost(finding)})" if words.cost(finding) else "")
        self.print(self.indented(self.styled(cause), 6))
        self.rows(self.seen(finding), 6, indent=6)
        for fix in finding.fixes:
            self.fix(report, finding, fix)

    def seen(self, finding: Finding) -> list[tuple[str, str]]:
        """The evidence, each with where it is in the recording."""
        shown = finding.evidence[:_MOST_EVIDENCE]
        rows = [("seen", f"{harmless(e.text)} {words.references(e.references)}") for e in shown]
        if len(finding.evidence) > _MOST_EVIDENCE:
            rows.append(("", f"... and {len(finding.evidence) - _MOST_EVIDENCE} facts more"))
        return rows

    def fix(self, report: Report, finding: Finding, fix: Fix) -> None:
        """A fix, and what booting with it has shown; in full only where it comes up first."""
        first = next((f for f in report.findings if fix in f.fixes), finding)
        if first.code != finding.code:
            self.rows([("fix", f"{fix}, as for {first.code}")], 6, indent=6)
            return
        text = f"{fix.value}: {fix.why}" if not fix.applies else f"{fix}: {fix.why}"
        rows = [("fix" if fix.applies else "advice", text)]
        proved = words.proved(fix, report.proof)
        self.rows([*rows, ("", f"proved: {proved}")] if proved else rows, 6, indent=6)

    def proof(self, report: Report) -> None:
        """The trials side by side, under the boot as it was."""
        trials = report.proof.trials if report.proof else ()
        if not trials:
            return
        wide = self.width >= _WIDE
        heads = ["with", "verdict", "selected", "rate", "boot", "change"]
        table = self.table([*heads, "outcome"] if wide else heads)
        for row in (self.as_it_was(report), *map(self.trial, trials)):
            table.add_row(*(self.styled(cell, cut=160) for cell in row[: len(table.columns)]))
        self.gap()
        self.print(self.styled("Proof: the same boot again", "bold"), table)
        if not report.machine.deterministic:
            self.print(self.styled(words.ONE_BOOT, "dim"))
        errors = [(t, t.error) for t in trials if t.error is not None]
        for trial, error in errors:
            text = f"{words.fix_values(trial.fixes)}: {clipped(harmless(error), 300)}"
            self.print(self.indented(self.styled(text), 2))

    def as_it_was(self, report: Report) -> tuple[str, ...]:
        """The first boot as a row of the proof."""
        story = report.story
        clock = story.clock(story.selected) if story.selected else None
        rate = hz(clock.frequency_hz) if clock else "-"
        boot = "-" if story.boot_ns is None else seconds(story.boot_ns)
        return "(nothing changed)", "-", story.selected or "-", rate, boot, "-", story.outcome.kind

    def trial(self, trial: Trial) -> tuple[str, ...]:
        """A trial as a row of the proof."""
        return (
            words.fix_values(trial.fixes),
            words.verdict_word(trial.verdict),
            trial.selected or "-",
            "-" if trial.frequency_hz is None else hz(trial.frequency_hz),
            "-" if trial.boot_ns is None else seconds(trial.boot_ns),
            "-" if trial.gained_ns is None else words.gained_column(trial.gained_ns),
            trial.outcome or "-",
        )

    def timeline(self, report: Report) -> None:
        """The boundaries, and where the time between them went."""
        if report.story.boundaries:
            self.gap()
            table = self.table(("Boundary", "after", "by"))
            table.columns[1].justify = "right"
            for boundary in report.story.boundaries:
                table.add_row(*map(self.styled, _boundary(boundary)))
            self.print(table)
        self.shares(report)

    def shares(self, report: Report) -> None:
        """Where time went, with bars."""
        shares = words.where_time_went(report.story)
        if not shares:
            return
        kinds = words.by_kind(report.story.spans)
        total = duration(sum(length for _, length in kinds))
        table = self.table((f"Where {total} went", "", "share"))
        table.columns[1].justify = "right"
        for share in shares:
            name = "  " * share.depth + share.name
            bar = f"{'█' * max(1, round(share.part * _BAR))} {share.part:.0%}".replace("%", " %")
            length = self.styled(ms(share.duration_ns))
            table.add_row(self.styled(name, cut=60), length, self.styled(bar, "cyan"))
        self.gap()
        self.print(table)
        summary = ", ".join(f"{words.KINDS[kind]} {duration(length)}" for kind, length in kinds)
        self.rows([("In all", summary)], 6, style="")

    def footer(self, report: Report) -> None:
        """Guest time against host time, what is unknown, and how it was watched."""
        story = report.story
        self.gap()
        rows = [("Guest time", words.rate_words(story.rate))]
        rows.append(("Wall clock", words.wall_words(story.wall)))
        rows += [("Unknown", clipped(harmless(what), 400)) for what in story.unknown[:12]]
        self.rows(rows, 10)
        self.gap()
        self.print(self.styled(words.watching_words(report.watching)))
        self.more(report)

    def more(self, report: Report) -> None:
        """The commands that tell more."""
        again = words.command_of(report)
        codes = [finding.code for finding in report.findings[:1]]
        commands = [*([again] if again else []), *(f"timehands explain {c}" for c in codes)]
        rows = [("More" if i == 0 else "", command) for i, command in enumerate(commands)]
        self.rows(rows, 4, style="")


def _boundary(boundary: Boundary) -> tuple[str, str, str]:
    name = str(boundary.name).replace("_", " ")
    if boundary.at_ns is None:
        return name, "not seen", clipped(boundary.how, 200)
    return name, seconds(boundary.at_ns), clipped(boundary.how, 200)
