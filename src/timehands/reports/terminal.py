"""The report in a terminal: verdict first, then what it rests on, never wider than asked for.

``render`` makes a string; it prints nothing and reads no environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from timehands.findings.model import Finding, Fix, Severity, Trial
from timehands.reports import clock_words, done_words, proof_words, words
from timehands.reports.model import Report
from timehands.reports.page import LEAST_WIDTH, WIDTH, Page
from timehands.reports.plain import clipped, harmless
from timehands.reports.sourced import rows as source_rows
from timehands.reports.survey_words import lacks_words, offers_words
from timehands.reports.units import count, duration, hz, ms, seconds
from timehands.reports.verdict import Mood, verdict
from timehands.story.model import Boundary, Calibration, Clock, ClockState, Story

if TYPE_CHECKING:
    from rich.table import Table

#: From this width on the proof has a column for the outcome.
_WIDE = 96
_MARKS = {Mood.GOOD: ("✓", "bold green"), Mood.DOUBTFUL: ("▲", "bold yellow")}
_MARKS[Mood.BAD] = ("✗", "bold red")
_STATES = {ClockState.SELECTED: "green", ClockState.REJECTED: "red"}
_SEVERITIES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}
_SEVERITIES[Severity.NOTE] = "bold"
_MOST_CLOCKS = 40
_MOST_CHANGES = 12
_MOST_SERVED = 6
_MOST_FACTS = 10
_MOST_STOPS = 12
_MOST_EVIDENCE = 8
_BAR = 24


class Detail(StrEnum):
    """How much a report says.

    ``SHORT`` is the verdict and what it rests on. ``CLOCKS`` is how the kernel came to its clocks,
    in full, and nothing else. ``ALL`` leaves nothing out.
    """

    SHORT = "short"
    CLOCKS = "clocks"
    ALL = "all"


def render(
    report: Report,
    *,
    width: int = WIDTH,
    color: bool,
    unicode: bool = True,
    detail: Detail = Detail.SHORT,
) -> str:
    """The report as text that ends in a line break; no line is wider than ``width`` columns.

    ``width`` is at least 40. Without ``unicode`` the text is ASCII.
    """
    page = _Sections(max(width, LEAST_WIDTH), color, unicode, detail)
    page.verdict(report)
    page.changes(report)
    page.subject(report)
    page.clocks(report.story)
    page.registrations(report.story)
    page.calibrations(report)
    if detail is not Detail.CLOCKS:
        for index, finding in enumerate(report.findings):
            page.finding(report, finding)
            source_rows.finding(page, report.sources, index, full=detail is Detail.ALL)
        page.proof(report)
        page.stops(report)
    page.facts(report.story)
    page.messages(report.story)
    source_rows.section(
        page, report.sources, full=detail is Detail.ALL, clocks=detail is Detail.CLOCKS
    )
    if detail is not Detail.CLOCKS:
        page.timeline(report)
        page.footer(report)
    page.more(report)
    return page.text()


class _Sections(Page):
    """The sections of a report; one that has nothing to say is left out."""

    def __init__(self, width: int, color: bool, unicode: bool, detail: Detail) -> None:
        super().__init__(width, color, unicode)
        self.detail = detail

    @property
    def full(self) -> bool:
        """Whether clocks are told in full."""
        return self.detail is not Detail.SHORT

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

    def changes(self, report: Report) -> None:
        """What we changed, before anything that it may have caused."""
        changes = done_words.changes(report, fold=self.detail is not Detail.ALL)
        if not changes:
            return
        most = len(changes) if self.detail is Detail.ALL else _MOST_CHANGES
        rows = [text for _, text in changes[:most]]
        if len(changes) > most:
            rows.append(f"... and {len(changes) - most} changes more")
        labels = ["We changed", *[""] * (len(rows) - 1)]
        self.rows(zip(labels, rows, strict=True), 10, style="bold magenta")
        self.gap()

    def clocks(self, story: Story) -> None:
        """The clocks, as the guest knows them."""
        self.gap()
        if not story.clocks:
            self.print(self.styled("No clock was seen."))
            return
        most = len(story.clocks) if self.full else _MOST_CLOCKS
        ranking = clock_words.ranking(story.os)
        table = self.table(("Clock", "for", "state", "rate", ranking, "how"))
        table.columns[0].max_width = 22
        table.columns[4].justify = "right"
        for clock in story.clocks[:most]:
            self.clock(table, clock)
        self.print(table)
        if len(story.clocks) > most:
            self.print(self.styled(f"... and {len(story.clocks) - most} clocks more"))
        if self.full:
            self.steps(story)

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

    def steps(self, story: Story) -> None:
        """What happened to each clock, step by step."""
        for clock in story.clocks:
            if not clock.steps:
                continue
            self.heading(harmless(clock.name, 80), f"for {words.ROLES[clock.role]}")
            for step in clock.steps:
                when = "" if step.at_ns is None else seconds(step.at_ns)
                said = f"{harmless(step.what, 400)} {words.references(step.evidence)}".rstrip()
                rows = [(when, said)]
                if step.backtrace:
                    rows.append(("", f"from {done_words.callers(step.backtrace, 32)}"))
                self.rows(rows, 9, 2, "")

    def registrations(self, story: Story) -> None:
        """Who registered each clock, in the order of time; and who serves the busy waits."""
        found = [] if self.full else clock_words.registrations(story)
        if found:
            self.heading("Registered", "in this order, by these callers")
            names = min(20, max(len(one.name) for one in found))
            for one in found[:_MOST_CLOCKS]:
                then = f"; {one.then}" if one.then else ""
                said = f"{one.what}, from {one.callers}{then}"
                self.rows([(one.name, said)], names, 2, "")
        served = clock_words.served(story)
        most = len(served) if self.full else _MOST_SERVED
        rows = [(when, f"{who} {words.references(seen)}") for when, who, seen in served[:most]]
        if rows:
            self.heading("Busy waits (DELAY)", "are served by")
            self.rows(rows, 13, 2, "")
        if len(served) > most:
            self.print(self.styled(f"  ... and {len(served) - most} changes more"))

    def calibrations(self, report: Report) -> None:
        """Each measured frequency, and whether a stop fell inside its measuring."""
        found = report.story.calibrations
        if not found or not (self.full or report.stops):
            return
        table = self.table(
            ("Calibrated", "against", "took", "result", "by, and what to hold of it")
        )
        table.columns[2].justify = "right"
        for one in found[: len(found) if self.full else _MOST_CLOCKS]:
            self.calibration(table, report, one)
        self.gap()
        self.print(table)

    def calibration(self, table: Table, report: Report, one: Calibration) -> None:
        """A calibration's row."""
        trust = done_words.trust(one, report.machine)
        if report.stops and not trust:
            trust = "no stop fell inside"
        notes = [one.method, *([one.detail] if self.full and one.detail else []), trust]
        spoiled = done_words.spoiled(one, report.machine)
        table.add_row(
            self.styled(one.of, cut=40),
            self.styled(one.against, cut=60),
            self.styled(ms(one.duration_ns)),
            self.styled("failed" if one.result_hz is None else hz(one.result_hz)),
            self.styled("; ".join(filter(None, notes)), "yellow" if spoiled else "", cut=400),
        )

    def facts(self, story: Story) -> None:
        """The kernel's own variables when the boot ended."""
        if not story.facts:
            return
        most = len(story.facts) if self.full else _MOST_FACTS
        self.heading("The kernel's own variables at the end")
        table = self.grid(3)
        for name, value, meaning in clock_words.fact_rows(story, most):
            table.add_row(
                self.styled(name), self.styled(value, "bold"), self.styled(meaning, "dim")
            )
        self.print(self.indented(table, 2))
        if len(story.facts) > most:
            self.print(self.styled(f"  ... and {len(story.facts) - most} more"))

    def messages(self, story: Story) -> None:
        """Console lines about clocks, with the function that prints each and what it means."""
        if not story.messages or not self.full:
            return
        self.heading("What the console says of clocks")
        for message in story.messages:
            said = f"{harmless(message.text, 300)} {words.references(message.evidence)}"
            self.print(self.indented(self.styled(said.rstrip()), 2))
            told = f"{harmless(message.source, 80)}: {harmless(message.meaning, 300)}"
            self.print(self.indented(self.styled(told.removesuffix(": "), "dim"), 6))

    def stops(self, report: Report) -> None:
        """Where we stopped the guest, and what was printed there."""
        if not report.stops:
            return
        stops = done_words.stops(report, fold=self.detail is not Detail.ALL)
        most = len(stops) if self.detail is Detail.ALL else _MOST_STOPS
        self.heading(done_words.stopped(report.stops))
        table = self.table(("stop", "at", "for", "because of", "where, and what was there"))
        for column in (1, 2):
            table.columns[column].justify = "right"
        for stop in stops[:most]:
            self.stop(table, report, stop)
        self.print(table)
        if len(stops) > most:
            left = sum(one.times for one in stops[most:])
            self.print(self.styled(f"... and {count(left)} stops more"))

    def stop(self, table: Table, report: Report, stops: done_words.Stops) -> None:
        """A row: a stop, or those that were only passed at one place."""
        stop = stops.first
        said = [stops.place, *done_words.stop_values(stop)]
        if stop.backtrace and self.detail is Detail.ALL:
            said.append(f"from {done_words.callers(stop.backtrace, 32)}")
        table.add_row(
            self.styled(stop.reference),
            self.styled(seconds(done_words.since(report, stop.host_ns))),
            self.styled(stops.length),
            self.styled(stop.why, cut=80),
            self.styled("; ".join(said), cut=2000),
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
        letters = proof_words.letters_of(trials)
        self.heading("Proof: the same boot again", words.one_boot(report.machine))
        self.rows(proof_words.legend(letters), 1, indent=2)
        rows = [self.as_it_was(report)]
        rows += [self.trial(report, trial, letters) for trial in trials]
        self.print(self.columns(rows))
        if sentence := proof_words.best_sentence(report):
            self.print(self.styled(sentence))
        for trial in trials:
            if trial.error is not None:
                error = clipped(harmless(trial.error), 300)
                text = f"{proof_words.name(trial.fixes, letters)}: {error}"
                self.print(self.indented(self.styled(text), 2))

    def columns(self, rows: Sequence[Sequence[str]]) -> Table:
        """The rows of a proof, without the columns that say nothing or do not fit."""
        heads = ["with", "verdict", "selected", "rate", "TSC off", "LAPIC off", "boot", "change",
                 "outcome"]  # fmt: skip
        shown = [n for n in range(len(heads)) if any(row[n] != "-" for row in rows)]
        if self.width < _WIDE:
            shown.remove(heads.index("outcome"))
        table = self.table([heads[n] for n in shown])
        for row in rows:
            table.add_row(*(self.styled(row[n], cut=160) for n in shown))
        return table

    def as_it_was(self, report: Report) -> tuple[str, ...]:
        """The first boot as a row of the proof."""
        story = report.story
        clock = story.clock(story.selected) if story.selected else None
        rate = hz(clock.frequency_hz) if clock else "-"
        boot = "-" if story.boot_ns is None else seconds(story.boot_ns)
        selected = story.selected or "-"
        return "(nothing)", "-", selected, rate, "-", "-", boot, "-", story.outcome.kind

    def trial(self, report: Report, trial: Trial, letters: proof_words.Letters) -> tuple[str, ...]:
        """A trial as a row of the proof."""
        return (
            proof_words.name(trial.fixes, letters),
            words.verdict_word(trial.verdict),
            trial.selected or "-",
            "-" if trial.frequency_hz is None else hz(trial.frequency_hz),
            proof_words.error_words(report, "tsc", trial.measured_hz),
            proof_words.error_words(report, "lapic", trial.lapic_hz),
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
        entered = report.watching.entered
        self.rows([(harmless(e.function, 60), words.entered_words(e)) for e in entered], 10)

    def more(self, report: Report) -> None:
        """The commands that tell more."""
        again = words.command_of(report)
        codes = [finding.code for finding in report.findings[:1]]
        commands = [again] if again else []
        if again and self.detail is Detail.SHORT and words.has_more(report.story):
            commands.append(f"{again} --clocks   each step, message and variable")
        commands += [f"timehands explain {code}" for code in codes]
        if self.detail is Detail.CLOCKS:
            self.gap()
        rows = [("More" if i == 0 else "", command) for i, command in enumerate(commands)]
        self.rows(rows, 4, style="")


def _boundary(boundary: Boundary) -> tuple[str, str, str]:
    name = str(boundary.name).replace("_", " ")
    if boundary.at_ns is None:
        return name, "not seen", clipped(boundary.how, 200)
    return name, seconds(boundary.at_ns), clipped(boundary.how, 200)
