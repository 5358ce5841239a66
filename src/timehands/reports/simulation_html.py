"""A simulation, or several providers on one scenario, as one HTML page: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timehands
from timehands.reports import plots, simulation_plot
from timehands.reports import simulation_words as words
from timehands.reports.html import policy, resource
from timehands.reports.plain import clipped, harmless
from timehands.simulate.outcome import Outcome
from timehands.simulate.units import in_words

_TEMPLATE = "simulation.html.j2"
_STYLES = ("report.css", "simulation.css", "plots.css")
#: More vCPUs or events than these are not listed one by one.
MOST_VCPUS, MOST_EVENTS = 64, 200


def render(outcome: Outcome) -> str:
    """The page of one simulation: its charts, and below them the figures."""
    return _page([outcome], [plots.inline(simulation_plot.chart(outcome))])


def render_comparison(outcomes: Sequence[Outcome]) -> str:
    """The page of several: a small chart for each on the same axes, and the figures of all."""
    return _page(outcomes, [plots.inline(simulation_plot.small(o, outcomes)) for o in outcomes])


def _page(outcomes: Sequence[Outcome], charts: Sequence[str]) -> str:
    """All names are made harmless and escaped: a scenario's file may come from anywhere."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda said: said if isinstance(said, Markup) else harmless(str(said)),
    )
    environment.filters["clip"] = lambda text, limit: clipped(harmless(text), limit)
    environment.filters["ns"] = in_words
    style = "\n".join(map(resource, _STYLES))
    context: dict[str, Any] = {
        "outcomes": outcomes,
        "first": outcomes[0],
        "told": words.verdict(outcomes[0]),
        "charts": [Markup(chart) for chart in charts],
        "words": words,
        "most_vcpus": MOST_VCPUS,
        "most_events": MOST_EVENTS,
        "version": timehands.__version__,
        "style": Markup(style),
        "policy": policy(style),
    }
    return environment.from_string(resource(_TEMPLATE)).render(context) + "\n"
