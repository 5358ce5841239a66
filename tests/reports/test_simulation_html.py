"""Simulations as pages: one file, honest whatever things are called, a line for each vCPU."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from reports.build import HOSTILE
from reports.build_simulation import H, S, extreme, good, hostile, outcome
from timehands.cli.main import main
from timehands.reports import plots, simulation_plot
from timehands.reports.simulation_html import render, render_comparison
from timehands.simulate.outcome import Outcome

NS = "{http://www.w3.org/2000/svg}"
ALL = [outcome(), good(), hostile(), extreme(), outcome(70)]
_VOID = {"meta", "link", "img", "br", "hr", "input"}


class Balance(HTMLParser):
    """Whether every element ends where it should, and what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def charts(page: str) -> list[ElementTree.Element]:
    found = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    return [ElementTree.fromstring(t.replace("<svg", f'<svg xmlns="{NS[1:-1]}"', 1)) for t in found]


def lines(chart: ElementTree.Element) -> list[str]:
    kinds = [g.get("class", "").split() for g in chart.iter(f"{NS}g")]
    return [kind[1] for kind in kinds if kind and kind[0] == "line"]


@pytest.mark.parametrize("one", ALL)
def test_a_page_is_well_formed_without_scripts_or_network(one: Outcome) -> None:
    for page in (render(one), render_comparison([one, good(), one])):
        balance = Balance()
        balance.feed(page)
        assert balance.open == []
        assert not {"script", "img", "iframe", "link", "object"} & set(balance.seen)
        assert HOSTILE not in page and "\x1b" not in page
        assert not re.search(r"url\(|@import|https?://", page)
        assert "default-src 'none'; style-src 'sha256-" in unescape(page)


@pytest.mark.parametrize("vcpus", [1, 2, 5])
def test_there_is_one_line_for_each_vcpu_in_each_panel(vcpus: int) -> None:
    (chart,) = charts(render(outcome(vcpus)))
    assert lines(chart) == [f"c{n}" for n in range(vcpus)] * 2


def test_events_are_marked_and_stops_are_cut() -> None:
    (chart,) = charts(render(outcome()))
    told = [t.text for g in chart.iter(f"{NS}g") for t in g.findall(f"{NS}title")]
    assert "1. paused for 75 h: jump -194.335 us" in told
    assert "stopped for 75 h" in told


def test_charts_that_are_compared_have_the_same_axis() -> None:
    two = charts(render_comparison([outcome(), good(), outcome()]))
    ticks = [
        [t.text for t in chart.iter(f"{NS}text") if t.get("text-anchor") == "end"] for chart in two
    ]
    assert len(two) == 3 and "-400" in ticks[0]
    assert [t for t in ticks[0] if t != "vCPU 1"] == [t for t in ticks[1] if t != "vCPU 1"]


def test_the_figures_are_below_the_chart() -> None:
    page = render(outcome())
    assert page.index("<svg") < page.index("vCPUs</h2>") < page.index("What happened</h2>")
    assert "✗ not met" in page and "-412 ms" in page


def test_not_every_vcpu_and_event_is_listed() -> None:
    page = render(outcome(70))
    assert "6 more vCPUs are not listed." in page
    (chart,) = charts(page)
    assert len(lines(chart)) == 2 * 64
    assert "64 of 70 vCPUs" in page


def test_the_rate_is_told_from_stretches_between_events() -> None:
    plot = simulation_plot.chart(outcome(1))
    (line,) = plot.panels[1].lines
    assert len(line.runs) == 2
    assert {value for run in line.runs for _at, value in run} == {-40_000_000}
    assert all(at <= 5 * S or at >= 75 * H for run in line.runs for at, _value in run)


def test_one_chart_with_a_line_for_each_provider_stands_alone() -> None:
    text = plots.svg(simulation_plot.together([outcome(), good()]))
    tree = ElementTree.fromstring(text)
    assert lines(tree) == ["c0", "c1", "c1"]
    assert "without nvmm" in text
    assert tree.findtext(f"{NS}title") == "TSC as timecounter on a loaded host"


@pytest.mark.parametrize("one", ALL)
def test_every_chart_is_a_file_of_its_own(one: Outcome) -> None:
    for plot in (simulation_plot.chart(one), simulation_plot.small(one, [one, good()])):
        assert ElementTree.fromstring(plots.svg(plot)).tag == f"{NS}svg"


def test_the_command_writes_pages_and_charts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, chart = tmp_path / "one.html", tmp_path / "one.svg"
    asked = ["pvclock", "simulate", "get-clock-early", "--html", str(page), "--svg", str(chart)]
    assert main(asked) == 0
    assert lines(charts(page.read_text())[0]) == lines(ElementTree.parse(chart).getroot())
    asked = ["pvclock", "compare", "get-clock-early", "--provider", "kvm", "--provider", "tsc"]
    assert main([*asked, "--html", str(page), "--svg", str(chart)]) == 0
    assert len(charts(page.read_text())) == 2
    assert capsys.readouterr().err == ""


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "none" / "one.svg")
    assert main(["pvclock", "simulate", "get-clock-early", "--svg", where]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_campaign_has_no_charts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(tmp_path / "one.svg")
    assert main(["pvclock", "simulate", "get-clock-early", "--seeds", "2", "--svg", where]) == 2
    assert "a campaign has no plots" in capsys.readouterr().err
