"""The report as one HTML page: self-contained, no network, works from a file.

The page is a Jinja2 template (``report.html.j2``) with a style sheet and a script of ours inside
it. Everything that a guest, a kernel file or a stub wrote is escaped (autoescape is on; data for
the script has no ``<``), and the page's own policy (CSP) forbids all network and every script but
ours, which it names by hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import partial
from importlib import resources
from typing import Any

import timehands
from timehands.reports import clock_words, done_words, flame, html_data, proof_words, units, words
from timehands.reports.html_evidence import Extract, anchor, extract
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.source_pages import href
from timehands.reports.sourced import words as source_words
from timehands.reports.survey_words import NAMES, lacks_words, rate_words
from timehands.reports.verdict import verdict
from timehands.sources.where import Where
from timehands.watch.recording import Recording

_TEMPLATE, _STYLE, _SCRIPTS = "report.html.j2", "report.css", ("report.js", "flame.js")


def render(report: Report, recording: Recording | None = None) -> str:
    """The page. With the recording, evidence links to its events and console lines.

    Of the events only those are put in that something refers to, each with a few neighbours; of
    the console at most 2,000 lines. Raises `RecordingError` when the recording cannot be read.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = extract(report, recording)
    environment.filters.update(_filters(found), page=partial(_page, report))
    template = environment.from_string(resource(_TEMPLATE))
    return template.render(_context(report, found)) + "\n"


def _filters(found: Extract) -> dict[str, Any]:
    return {
        "hz": units.hz,
        "ms": units.ms,
        "seconds": units.seconds,
        "duration": units.duration,
        "count": units.count,
        "bytes": units.byte_size,
        "clean": harmless,
        "clip": lambda text, limit: clipped(harmless(text), limit),
        "links": partial(_links, found),
        "trial": words.trial_of,
    }


def _links(found: Extract, references: tuple[str, ...]) -> list[tuple[str, str | None]]:
    """The references to show, each with the anchor that it leads to, if it is on the page."""
    shown = html_data.chosen(references)
    return [(harmless(one, 12), anchor(one) if one in found.anchors else None) for one in shown]


def _page(report: Report, where: Where) -> str | None:
    """Where a place of the source tree is to be read; None: no page of it was written."""
    sources = report.sources
    written = sources is not None and where.file in sources.pages
    return href(sources.pages_folder, where) if sources is not None and written else None


def _context(report: Report, found: Extract) -> Mapping[str, Any]:
    from markupsafe import Markup

    style, script = resource(_STYLE), "\n".join(map(resource, _SCRIPTS))
    return {
        "report": report,
        "story": report.story,
        "told": verdict(report.story, report.findings),
        "words": words,
        "source_words": source_words,
        "done": done_words,
        "own": clock_words,
        "proof_words": proof_words,
        "log": flame.chart(report.story.tslog) if report.story.tslog else None,
        "log_longest": flame.longest(report.story.tslog),
        "log_label": flame.label,
        "log_kinds": flame.KIND_WORDS,
        "found": found,
        "offer_names": NAMES,
        "offer_rate": partial(rate_words, report.survey) if report.survey else None,
        "lacks": lacks_words(report.survey) if report.survey else "",
        "kinds": words.by_kind(report.story.spans),
        "spans": html_data.bounded_spans(report.story),
        "version": timehands.__version__,
        # Ours, not the guest's: these alone are put in as they are (the chart escapes its names).
        "flame": Markup(flame.inline(report.story.tslog)),
        "style": Markup(style),
        "script": Markup(script),
        "data": Markup(_for_script(html_data.timeline(report))),
        "policy": policy(style, script),
    }


def policy(style: str, script: str | None = None) -> str:
    """The content security policy: nothing from anywhere, and of scripts and styles only ours."""
    scripts = f"script-src {_hash(script)}; " if script is not None else ""
    return (
        f"default-src 'none'; style-src {_hash(style)}; {scripts}"
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _for_script(data: Any) -> str:
    """JSON that can stand in a script element: ASCII, without any ``<``, ``>`` or ``&``."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def resource(name: str) -> str:
    """The text of a file beside this one: a template, a style sheet, a script."""
    file = resources.files("timehands.reports") / name
    return file.read_text(encoding="utf-8")
