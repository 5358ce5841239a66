"""An answer about a source tree as one HTML page: no network, no script.

Everything comes from a tree that may be anybody's: all of it is made harmless and escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

import timehands
from timehands.reports.html import policy, resource
from timehands.reports.plain import harmless
from timehands.sources.document import Cell, Document
from timehands.sources.where import Where

#: Where a place's page is, relative to this one; None: there is none.
Link = Callable[[Where], str | None]
_STYLES = ("report.css", "source.css")
_TAB = 8
_MOST_LINE = 4000
_PATCH = {"+": "added", "-": "removed", "@": "hunk"}


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    place: bool = False
    href: str | None = None


def render(document: Document, link: Link | None = None, home: str = "") -> str:
    """The page; places link to where ``link`` says, and its head to ``home``, the index."""
    template, style = _template()
    context = {
        "document": document,
        "link": link,
        "home": home,
        "version": timehands.__version__,
        "style": Markup(style),
        "policy": policy(style),
    }
    return template.render(context) + "\n"


@lru_cache(maxsize=1)
def _template() -> tuple[Template, str]:
    """The template and its style, compiled once for all pages."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda said: said if isinstance(said, Markup) else harmless(str(said)),
    )
    environment.filters["parts"] = lambda cell, link: list(_parts(cell, link))
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["line"] = lambda text: harmless(text.expandtabs(_TAB), _MOST_LINE)
    environment.filters["patch"] = lambda text: _PATCH.get(text[:1], "")
    style = "\n".join(map(resource, _STYLES))
    return environment.from_string(resource("source.html.j2")), style


def _parts(cell: Cell, link: Link | None) -> Iterator[_Part]:
    for part in cell if isinstance(cell, tuple) else (cell,):
        if isinstance(part, Where):
            yield _Part(str(part), True, link(part) if link else None)
        else:
            yield _Part(part)
