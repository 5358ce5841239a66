"""A comparison as one HTML page: self-contained, no network, no script."""

from __future__ import annotations

import timehands
from timehands.reports import words
from timehands.reports.compare import Comparison
from timehands.reports.html import policy, resource
from timehands.reports.plain import clipped, harmless

_TEMPLATE, _STYLE = "compare.html.j2", "report.css"


def render(comparison: Comparison) -> str:
    """The page. What guests and kernel files wrote is made harmless and escaped."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["clip"] = lambda text, limit: clipped(harmless(text), limit)
    style = resource(_STYLE)
    page = environment.from_string(resource(_TEMPLATE)).render(
        compared=comparison,
        differ=sum(row.differs for section in comparison.sections for row in section.rows),
        references=words.references,
        version=timehands.__version__,
        style=Markup(style),
        policy=policy(style),
    )
    return page + "\n"
