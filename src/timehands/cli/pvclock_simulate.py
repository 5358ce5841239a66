"""``timehands pvclock simulate`` and ``timehands pvclock compare``: clocks in virtual time.

A scenario is a shipped one (``--list``) or a file (`timehands.simulate.scenario_file` has the
format); ``NAME:VARIANT`` is a variant of it. ``--json`` prints `Outcome.to_json` with ``schema``
(1); of ``compare`` an object with ``schema`` and ``outcomes``, of ``--list`` one with ``schema``
and ``scenarios`` (``name``, ``title``, ``variants``).

Exit status: 0 all that the scenario expects came (or nothing was expected); 1 not all.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timehands.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from timehands.simulate.outcome import Outcome
    from timehands.simulate.scenario import Scenario

JSON_SCHEMA = 1
_UNMET = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both subverbs to the verb's parser."""
    _add_simulate(subparsers)
    _add_compare(subparsers)


def _add_simulate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from timehands.cli.pvclock_campaign import add_options

    parser = subparsers.add_parser(
        "simulate",
        help="run a scenario of hosts, migrations and snapshots in virtual time",
        description="Runs a guest's clock in virtual time, in exact integers, and holds every "
        "reading against the truth: steps backwards, stalls, rate, offset, jumps at each event. "
        "Exit status 1 when something that the scenario expects did not come.",
    )
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a shipped one, or a file; :VARIANT behind"
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--list", action="store_true", help="the shipped scenarios and variants")
    told.add_argument("--show", action="store_true", help="print the scenario's file: its story")
    parser.add_argument("--provider", metavar="NAME", help="another than the scenario's")
    _add_common(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def _add_compare(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="run a scenario with several providers of the clock, side by side",
        description="Runs one scenario with several providers, with the same random numbers, and "
        "shows a row for each. What the scenario expects of its own provider is not judged.",
    )
    parser.add_argument("scenario", metavar="SCENARIO", help="a shipped one, or a file")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        action="append",
        help="a provider (again for more; default: all)",
    )
    _add_common(parser)
    parser.set_defaults(run=compare)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, metavar="N", help="of all random numbers (default 0)")
    parser.add_argument("--reader", metavar="NAME", help="another than the scenario's")
    parser.add_argument(
        "--engine",
        choices=("arrays", "scalar"),
        default="arrays",
        help="NumPy, or the reference in Python's integers; the results are equal",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write it as one HTML file, with plots"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the plots as an SVG file")


def run(args: argparse.Namespace) -> int:
    """Run a scenario, list them, or run a campaign. Raises `ScenarioError`, `UsageError`."""
    from timehands.cli import pvclock_campaign

    if args.list:
        print_list(as_json=args.json)
        return 0
    if args.scenario is None:
        raise UsageError("no scenario was given", advice="--list shows those that are shipped.")
    if args.show:
        print(_file_text(args.scenario), end="")
        return 0
    scenario = _scenario(args)
    if pvclock_campaign.wanted(args):
        if args.html or args.svg:
            raise UsageError("a campaign has no plots", advice="Run one seed for that.")
        request = pvclock_campaign.request_from(args, scenario)
        return pvclock_campaign.run(request, scenario.name, as_json=args.json)
    outcome = _simulate(scenario, args, args.provider)
    _show([outcome], args, alone=True)
    return 0 if outcome.passed else _UNMET


def compare(args: argparse.Namespace) -> int:
    """Run a scenario with several providers. Raises `ScenarioError`."""
    from timehands.simulate.providers import PROVIDERS

    scenario = _scenario(args)
    providers = list(dict.fromkeys(args.provider or PROVIDERS))
    _show([_simulate(scenario, args, name) for name in providers], args, alone=False)
    return 0


def _scenario(args: argparse.Namespace) -> Scenario:
    from timehands.simulate.scenario_file import load

    return load(args.scenario)


def _simulate(scenario: Scenario, args: argparse.Namespace, provider: str | None) -> Outcome:
    from timehands.simulate.run import simulate

    seed = args.seed or 0
    return simulate(scenario, seed=seed, provider=provider, reader=args.reader, engine=args.engine)


def _show(outcomes: list[Outcome], args: argparse.Namespace, *, alone: bool) -> None:
    if args.html:
        from timehands.cli.show import write_page
        from timehands.reports import simulation_html

        render = simulation_html.render_comparison
        page = simulation_html.render(outcomes[0]) if alone else render(outcomes)
        write_page(args.html, page)
    if args.svg:
        from timehands.cli.show import write_page
        from timehands.reports import plots, simulation_plot

        chart = simulation_plot.chart(outcomes[0]) if alone else simulation_plot.together(outcomes)
        write_page(args.svg, plots.svg(chart))
    if args.json:
        data = [outcome.to_json() for outcome in outcomes]
        print(json.dumps(data[0] if alone else {"schema": JSON_SCHEMA, "outcomes": data}))
        return
    from timehands.reports import simulation_terminal
    from timehands.reports.surface import Surface

    surface = Surface.of(sys.stdout)
    ways: dict[str, Any] = {
        "width": surface.width,
        "color": surface.color,
        "unicode": surface.unicode,
    }
    if alone:
        print(simulation_terminal.render(outcomes[0], **ways), end="")
    else:
        print(simulation_terminal.render_comparison(outcomes, **ways), end="")


def print_list(*, as_json: bool) -> None:
    """The shipped scenarios, their variants, and what each shows."""
    from timehands.simulate.scenario_file import shipped, shipped_names, shipped_text, variants

    entries: list[dict[str, Any]] = [
        {
            "name": name,
            "title": shipped(name).title,
            "variants": {
                variant: shipped(f"{name}:{variant}").title
                for variant in variants(shipped_text(name), source=name)
            },
        }
        for name in shipped_names()
    ]
    if as_json:
        print(json.dumps({"schema": JSON_SCHEMA, "scenarios": entries}, indent=2))
        return
    for entry in entries:
        print(f"{entry['name']:26} {entry['title']}")
        for variant, title in entry["variants"].items():
            print(f"  :{variant:23} {title}")


def _file_text(where: str) -> str:
    """A scenario's own file. Raises `ScenarioError`."""
    from timehands.simulate.scenario_file import load, shipped_names, shipped_text

    name = where.partition(":")[0]
    if name in shipped_names():
        return shipped_text(name)
    load(where)
    path = Path(where) if Path(where).exists() else Path(where.rpartition(":")[0])
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", source=where) from error
