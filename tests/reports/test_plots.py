"""Charts of lines over time, read by Python's own XML parser."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.build import HOSTILE
from timehands.reports.axes import RATE, TIME, Break
from timehands.reports.plots import (
    LEFT,
    MOST_DOTS,
    MOST_NAMES,
    RIGHT,
    WIDTH,
    Line,
    Mark,
    Panel,
    Plot,
    inline,
    svg,
)

NS = "{http://www.w3.org/2000/svg}"
S = 10**9


def groups(tree: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [g for g in tree.iter(f"{NS}g") if kind in g.get("class", "").split()]


def places(tree: ElementTree.Element) -> list[tuple[float, float]]:
    found = [
        line.get("points", "") for g in groups(tree, "line") for line in g.iter(f"{NS}polyline")
    ]
    return [
        (float(x), float(y)) for text in found for x, y in re.findall(r"([-\d.]+),([-\d.]+)", text)
    ]


def plot(*lines: Line, marks: tuple[Mark, ...] = (), breaks: tuple[Break, ...] = ()) -> Plot:
    return Plot("scenario", 10 * S, (Panel("offset", TIME, lines),), marks, breaks)


def test_a_line_goes_where_its_values_are() -> None:
    tree = ElementTree.fromstring(
        svg(plot(Line("vCPU 0", (((0, 0), (5 * S, -50), (10 * S, -100)),))))
    )
    (x0, y0), (x1, y1), (x2, y2) = places(tree)
    assert (x0, x2) == (LEFT, WIDTH - RIGHT)
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1) and y1 == pytest.approx(
        (y0 + y2) / 2, abs=0.1
    )
    assert y0 < y1 < y2


def test_there_is_one_line_for_each_and_it_tells_its_numbers() -> None:
    lines = [Line(f"vCPU {i}", (((0, 0), (10 * S, i)),), i, f"loses {i} ns") for i in range(5)]
    tree = ElementTree.fromstring(svg(plot(*lines)))
    drawn = groups(tree, "line")
    assert [g.get("class") for g in drawn] == [f"line c{i} d0" for i in range(5)]
    assert drawn[3].findtext(f"{NS}polyline/{NS}title") == "vCPU 3: loses 3 ns"
    dots = [c.findtext(f"{NS}title") for c in drawn[3].iter(f"{NS}circle")]
    assert dots == ["vCPU 3: 0 ns at 0 ns", "vCPU 3: 3 ns at 10 s"]


def test_a_broken_line_has_a_piece_for_each_run() -> None:
    tree = ElementTree.fromstring(
        svg(plot(Line("a", (((0, 1), (S, 2)), ((5 * S, 9), (6 * S, 9))))))
    )
    assert len(groups(tree, "line")[0].findall(f"{NS}polyline")) == 2


def test_marks_have_names_that_do_not_meet() -> None:
    marks = tuple(Mark(S + i, f"event {i}", "jump -4 us") for i in range(6))
    tree = ElementTree.fromstring(svg(plot(Line("a", (((0, 1),),)), marks=marks)))
    told = [g.findtext(f"{NS}title") for g in groups(tree, "mark")]
    assert told == [f"{i + 1}. event {i}: jump -4 us" for i in range(6)]
    words = [g.find(f"{NS}text") for g in groups(tree, "mark")]
    rows: dict[str, float] = {}
    for word in words:
        assert word is not None
        if word.text:
            y, x = word.get("y", ""), float(word.get("x", ""))
            assert x >= rows.get(y, 0)
            rows[y] = x + 6 * len(word.text)


def test_what_is_stopped_is_a_band_that_says_how_long() -> None:
    chart = Plot(
        "p", 75 * 3600 * S, (Panel("offset", TIME, ()),), (), (Break(S, 75 * 3600 * S - S),)
    )
    tree = ElementTree.fromstring(svg(chart))
    (band,) = groups(tree, "break")
    assert band.findtext(f"{NS}title") == band.findtext(f"{NS}title") == "stopped for 75 h"
    assert band.findtext(f"{NS}text") == "75 h"


def test_dots_and_names_are_bounded() -> None:
    run = tuple((i, i % 7) for i in range(400))
    tree = ElementTree.fromstring(svg(plot(*(Line(f"vCPU {i}", (run,), i) for i in range(64)))))
    assert len(groups(tree, "line")) == 64
    assert len(list(tree.iter(f"{NS}circle"))) <= MOST_DOTS + 64
    assert len(groups(tree, "key")) == MOST_NAMES
    assert f"and {64 - MOST_NAMES} more" in [t.text for t in tree.iter(f"{NS}text")]


def test_names_leave_the_title_alone() -> None:
    lines = tuple(Line(f"a provider {i} with a name", (((0, 0), (S, i)),), i) for i in range(8))
    chart = Plot("p", S, (Panel("a title that is not short at all", TIME, lines),))
    tree = ElementTree.fromstring(svg(chart))
    shown = groups(tree, "key")
    assert 0 < len(shown) < 8
    assert f"and {8 - len(shown)} more" in [t.text for t in tree.iter(f"{NS}text")]
    keys = [float(g[0].get("points", "").split(",")[0]) for g in shown]
    assert min(keys) > LEFT + 6.8 * len("a title that is not short at all, ns")


@pytest.mark.parametrize("draw", [svg, inline])
def test_hostile_names_make_an_honest_picture(draw: object) -> None:
    assert callable(draw)
    line = Line(HOSTILE * 9, (((0, 1), (S, 2)),), 0, HOSTILE)
    chart = Plot(HOSTILE, S, (Panel(HOSTILE, RATE, (line,)),), (Mark(5, HOSTILE, HOSTILE),))
    text = draw(chart)
    tree = ElementTree.fromstring(text.replace("<svg aria", f'<svg xmlns="{NS[1:-1]}" aria', 1))
    assert not list(tree.iter(f"{NS}script")) and not list(tree.iter(f"{NS}img"))
    assert HOSTILE not in text and "\x1b" not in text


def test_a_file_is_one_and_loads_nothing() -> None:
    text = svg(plot(Line("a", (((0, 1), (S, 2)),))))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|href", text)


RUN = st.lists(
    st.tuples(st.integers(0, 10 * S), st.integers(-(2**63), 2**63)), min_size=1, max_size=20
).map(lambda points: tuple(sorted(points)))


@given(st.lists(RUN, max_size=4), st.lists(st.integers(0, 10 * S), max_size=5))
@settings(deadline=None)
def test_everything_is_on_the_paper(runs: list[tuple[tuple[int, int], ...]], at: list[int]) -> None:
    chart = plot(Line("a", tuple(runs)), marks=tuple(Mark(t, "m") for t in sorted(at)))
    tree = ElementTree.fromstring(svg(chart))
    height = int(tree.get("height", ""))
    for x, y in places(tree):
        assert LEFT <= x <= WIDTH - RIGHT and 0 <= y <= height
