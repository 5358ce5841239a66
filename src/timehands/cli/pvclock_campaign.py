"""The options of ``timehands pvclock simulate`` that make it a campaign, and what that prints.

``--json`` prints one object: ``schema`` (1) and `CampaignSummary` (``figures`` by name, each
`timehands.simulate.campaign.summary.Figure`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from timehands.errors import UsageError

if TYPE_CHECKING:
    from timehands.simulate.campaign import CampaignRequest, CampaignSummary, Figure
    from timehands.simulate.scenario import Scenario

JSON_SCHEMA = 1
INTERRUPTED = 130
_PROGRESS_S = 0.2


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a campaign to the parser of ``simulate``, which has ``--seed`` itself."""
    group = parser.add_argument_group(
        "campaigns", "the same scenario for many seeds, beginning with that of --seed"
    )
    group.add_argument("--seeds", type=int, metavar="N", help="run so many seeds")
    group.add_argument(
        "--jobs", type=int, metavar="J", help="processes that do it (default: one for each CPU)"
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="let a Dask cluster do it, as tcp://HOST:8786"
    )
    group.add_argument(
        "--out",
        type=Path,
        metavar="DIR.parquet",
        help="keep each run's figures in a folder of Parquet files; what is in it already is not "
        "run again",
    )


def wanted(args: argparse.Namespace) -> bool:
    """Whether a campaign was asked for. Raises `UsageError` for its options without ``--seeds``."""
    if args.seeds is not None:
        return True
    for name in ("jobs", "scheduler", "out"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} is for a campaign", advice="Say how many runs: --seeds N")
    return False


def request_from(args: argparse.Namespace, scenario: Scenario) -> CampaignRequest:
    """What was asked for. Raises `UsageError`, `ScenarioError`."""
    from timehands.simulate.campaign import CampaignRequest, ScenarioJob

    first = args.seed or 0
    return CampaignRequest(
        replace(ScenarioJob.of(scenario, args.provider, args.reader), engine=args.engine),
        range(first, first + args.seeds),
        jobs=args.jobs,
        scheduler=args.scheduler,
        out=args.out,
    )


def run(request: CampaignRequest, name: str, *, as_json: bool) -> int:
    """Run a campaign of the scenario ``name`` and print its summary. Returns the exit status.

    0: all that was expected came, in each run; 1: not in some; 130: interrupted.
    """
    from timehands.simulate.campaign import run_campaign

    meter = _Meter(sys.stderr.isatty())
    try:
        summary = run_campaign(replace(request, progress=meter.show))
    finally:
        meter.clear()
    if as_json:
        print(json.dumps({"schema": JSON_SCHEMA, "name": name} | summary.to_json(), indent=2))
    else:
        print("\n".join(page(summary, name)))
    return INTERRUPTED if summary.interrupted else 1 if summary.unmet else 0


def page(summary: CampaignSummary, name: str) -> Iterator[str]:
    """The lines for a terminal: the verdict first."""
    from timehands.cli.pvclock_rows import row

    yield from row(*_verdict(summary))
    identity = summary.identity
    yield from row(
        "Scenario",
        f"{name}, provider {identity['provider']}, reader {identity['reader']} "
        f"(digest {identity['scenario'][:16]})",
    )
    yield from row("Work", _work(summary))
    if summary.out is not None:
        yield from row("Kept in", str(summary.out))
    for torn in summary.torn:
        yield from row("Torn", f"{torn}; its seeds were run again")
    if summary.figures:
        yield ""
        yield from _table(summary.figures)
    if summary.worst_seed is not None:
        yield ""
        yield from row("Worst run", f"that of --seed {summary.worst_seed}")


def _verdict(summary: CampaignSummary) -> tuple[str, str]:
    asked = len(summary.seeds)
    of = f"{summary.done:,} of {asked:,} seeds" if summary.done < asked else f"{asked:,} seeds"
    goes_on = "" if summary.out is None else ", the same command goes on"
    end = f"; interrupted{goes_on}" if summary.interrupted else ""
    if summary.unmet:
        return "✗", f"{of}: {summary.unmet:,} do not do what the scenario expects{end}"
    mark = "!" if summary.interrupted else "✓"
    return mark, f"{of}: all of them do what the scenario expects{end}"


def _work(summary: CampaignSummary) -> str:
    took_s = summary.took_ns / 1e9
    ran = summary.done - summary.resumed
    parts = [f"{ran:,} runs in {took_s:,.1f} s"]
    if summary.resumed:
        parts.append(f"{summary.resumed:,} were there before")
    if summary.lost_workers:
        parts.append(f"{summary.lost_workers:,} workers died and were replaced")
    return ", ".join([*parts, f"{summary.reads:,} clock reads in all"])


def _table(figures: tuple[Figure, ...]) -> Iterator[str]:
    heads = ("least", "median", "90 %", "99 %", "greatest", "worst seed")
    rows = [("", *heads), *(_cells(one) for one in figures)]
    widths = [max(len(cells[at]) for cells in rows) for at in range(len(rows[0]))]
    for label, *cells in rows:
        shown = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        yield f"{label:<{widths[0]}}  {'  '.join(shown)}"


def _cells(figure: Figure) -> tuple[str, ...]:
    values = (figure.least, figure.median, figure.p90, figure.p99, figure.greatest)
    words = figure.name.removesuffix("_ns").removesuffix("_ppb").replace("_", " ")
    return words, *(_shown(figure.name, value) for value in values), str(figure.worst_seed)


def _shown(name: str, value: int) -> str:
    from timehands.simulate.units import in_words, ppm_in_words

    if name.endswith("_ns"):
        return in_words(value)
    return ppm_in_words(value) if name.endswith("_ppb") else f"{value:,}"


@dataclass(slots=True)
class _Meter:
    """How far it is, on a terminal's last line."""

    live: bool
    _shown_s: float = 0
    _width: int = 0

    def show(self, done: int, asked: int) -> None:
        now_s = time.monotonic()
        if self.live and now_s - self._shown_s > _PROGRESS_S:
            self._shown_s = now_s
            text = f"{done:,} of {asked:,} seeds"
            self._width = len(text)
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
