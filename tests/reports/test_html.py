"""The HTML page, read by Python's own HTML parser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports.build import HOSTILE, hostile_report, jiffies_report, survey
from reports.build_bsd import ALL_REPORTS, freebsd_report
from reports.recorded import EVENTS, recording
from timehands.findings.model import Evidence
from timehands.reports.html import render
from timehands.reports.html_data import timeline
from timehands.reports.html_evidence import MOST_EVENTS, MOST_LINES, NEIGHBOURS
from timehands.reports.model import Report
from timehands.story.model import Mark

VOID = {"meta", "br", "input", "img", "link"}


class Document(HTMLParser):
    """A page taken apart: elements, ids, links, scripts, styles, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inside:
            self.inside[self.open[-1]][-1] += data
        else:
            self.words += data

    def all(self, name: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


def page(report: Report, folder: Path | None = None) -> Document:
    return Document(render(report, recording(folder) if folder else None))


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_every_element_is_closed_and_every_id_is_once(name: str, tmp_path: Path) -> None:
    document = page(ALL_REPORTS[name](), tmp_path)
    assert document.open == []
    assert len(document.all("id")) == len(set(document.all("id")))


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_every_link_leads_to_an_element_of_the_page(name: str, tmp_path: Path) -> None:
    document = page(ALL_REPORTS[name](), tmp_path)
    targets = {f"#{one}" for one in document.all("id")}
    assert set(document.all("href")) <= targets


def test_it_loads_nothing() -> None:
    document = page(jiffies_report())
    assert document.all("src") == []
    assert {tag for tag, _ in document.tags}.isdisjoint({"link", "img", "iframe", "object"})
    assert not re.search(
        r"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", render(jiffies_report())
    )


def test_its_policy_allows_our_script_and_style_and_nothing_else() -> None:
    document = page(jiffies_report())
    policy = next(a["content"] for t, a in document.tags if a.get("http-equiv")) or ""
    allowed = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (document.inside["style"][0], document.inside["script"][1])
    }
    assert set(re.findall(r"'sha256-[^']+'", policy)) == allowed
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert document.all("style") == []
    assert not [name for _, attrs in document.tags for name in attrs if name.startswith("on")]


def test_what_a_guest_wrote_stays_text(tmp_path: Path) -> None:
    text = render(hostile_report(), recording(tmp_path))
    document = Document(text)
    assert "img" not in {tag for tag, _ in document.tags}
    assert len(document.inside["script"]) == 2
    assert "</script><img src=x onerror=alert(1)>" in document.words
    assert all(c == "\n" or c.isprintable() for c in text)


def data_of(report: Report) -> Any:
    text = page(report).inside["script"][0]
    assert text.isascii() and not set("<>&") & set(text)
    return json.loads(text)


def test_the_data_for_the_timeline_is_whole() -> None:
    data = data_of(jiffies_report())
    assert [b["name"] for b in data["boundaries"]][:2] == ["process started", "vm ready"]
    assert len(data["spans"]) == 9
    assert [m["row"] for m in data["marks"]] == ["calibrations"] * 3 + ["clocks"] * 2


def test_the_data_for_the_timeline_holds_no_number_that_a_script_cannot_keep() -> None:
    data = data_of(hostile_report())
    assert data["end"] == 2**53 - 1
    assert len(data["spans"]) == 308  # 500, without those deeper than 24


def test_evidence_leads_to_its_events_and_console_lines(tmp_path: Path) -> None:
    document = page(jiffies_report(), tmp_path)
    assert {"#at-e12", "#at-c37"} <= set(document.all("href"))
    assert "mark_tsc_unstable('could not calculate TSC khz'" in document.words


def test_without_a_recording_evidence_is_named_and_not_linked() -> None:
    document = page(jiffies_report())
    assert "e12" in document.words
    assert not [href for href in document.all("href") if href.startswith("#at-")]


def test_only_events_that_are_referred_to_and_their_neighbours_are_on_the_page(
    tmp_path: Path,
) -> None:
    many = b"".join(EVENTS[4:5] * 10_000)
    report = jiffies_report()
    finding = replace(report.findings[0], evidence=(Evidence("x", ("e5000",)),))
    story = replace(report.story, boundaries=(), clocks=(), calibrations=(), spans=(), rate=None)
    story = replace(story, wall=None, outcome=replace(story.outcome, evidence=()))
    text = render(
        replace(report, findings=(finding,), story=story), recording(tmp_path, many, lines=9_000)
    )
    ids = Document(text).all("id")
    events = [one for one in ids if one.startswith("at-e")]
    assert events == [f"at-e{n}" for n in range(5000 - NEIGHBOURS, 5001 + NEIGHBOURS)]
    lines = [int(one[4:]) for one in ids if one.startswith("at-c")]
    assert len(lines) == MOST_LINES
    assert lines[0] == 0 and lines[-1] == 8_999
    assert "7,000 not shown" in text


def test_very_many_references_do_not_make_a_page_without_end(tmp_path: Path) -> None:
    many = b"".join(EVENTS[4:5] * 9_000)
    evidence = tuple(Evidence("x", (f"e{n}",)) for n in range(0, 9_000, 2))
    finding = replace(jiffies_report().findings[0], evidence=evidence)
    report = replace(jiffies_report(), findings=(finding,))
    ids = Document(render(report, recording(tmp_path, many))).all("id")
    assert len([one for one in ids if one.startswith("at-e")]) <= MOST_EVENTS


def test_a_survey_is_shown_with_what_the_machine_lacks() -> None:
    words = page(replace(jiffies_report(), survey=survey())).words
    assert "does not offer TSC frequency, pvclock" in words
    assert "1.1932 MHz" in words


def test_the_title_is_the_verdict() -> None:
    assert "Linux runs on refined-jiffies at 250 Hz" in page(jiffies_report()).words
    assert HOSTILE not in render(hostile_report())


def words_of(report: Report) -> str:
    return " ".join(page(report).words.split())


def test_what_we_changed_stands_above_the_timeline() -> None:
    words = words_of(freebsd_report())
    assert words.index("We changed the guest") < words.index("Boundaries, in host time")
    assert "variable tsc_freq = 1 (was 0), at stop s3 (0.900 s)" in words


def test_a_calibration_with_a_stop_inside_says_so() -> None:
    words = words_of(freebsd_report())
    assert "measured while the guest was stopped (s1): may be off" in words
    assert words.count("no stop fell inside") == 2


def test_callers_stops_delay_variables_and_messages_are_there() -> None:
    words = words_of(freebsd_report())
    for said in (
        "attimer_attach < device_attach < bus_generic_attach < mi_startup < btext",
        "xen_delay (init_ops.early_delay) [e8]",
        "not there off Xen",
        "the TSC was timed against the timecounter of the moment",
        "tc->tc_frequency = 1193182",
    ):
        assert said in words


def test_a_boot_that_was_left_alone_has_no_such_sections() -> None:
    ids = set(page(jiffies_report()).all("id"))
    assert ids.isdisjoint({"stops", "log", "changed-head"})


def test_the_timeline_has_the_kernels_log_from_its_entry_on_and_the_stops() -> None:
    data = timeline(freebsd_report())
    first = min(data["log"], key=lambda one: one["from"])
    assert first["from"] == freebsd_report().story.boundary_ns(Mark.KERNEL_ENTRY)
    assert [m["name"] for m in data["marks"] if m["row"] == "stops"] == [
        "s0 hammer_time", "s1 rdtsc", "s2 tc_init", "s3 write of tsc_freq",
    ]  # fmt: skip
