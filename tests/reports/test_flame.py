"""The flame chart, read by Python's own XML parser."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.build import HOSTILE, MS, hostile_log
from reports.build_bsd import freebsd_log
from timehands.reports.flame import (
    MOST_BOXES,
    MOST_DEPTH,
    MOST_THREADS,
    ROW,
    FlameKind,
    chart,
    inline,
    kind_of,
    longest,
    svg,
    tick_ns,
)
from timehands.story.model import LogSpan

NS = "{http://www.w3.org/2000/svg}"


def boxes(text: str) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(text).iter(f"{NS}svg")
    return [one for one in found if "box" in one.get("class", "").split()]


def share(value: str | None) -> float:
    assert value is not None and value.endswith("%")
    return float(value[:-1])


def test_a_box_stands_where_its_stretch_was() -> None:
    delay = next(b for b in boxes(svg(freebsd_log())) if "delay" in b.get("class", "").split())
    assert (delay.get("data-from"), delay.get("data-to")) == (str(5 * MS), str(85 * MS))
    assert share(delay.get("x")) == pytest.approx(100 * 5 / 310, abs=1e-3)
    assert share(delay.get("width")) == pytest.approx(100 * 80 / 310, abs=1e-3)
    assert delay.findtext(f"{NS}title") == "DELAY 100000: 80 ms, from 5 ms"
    assert delay.findtext(f"{NS}text") == "DELAY 100000"


def test_depth_goes_downwards_and_each_thread_has_its_band() -> None:
    drawn = {b.findtext(f"{NS}text"): int(b.get("y", "")) for b in boxes(svg(freebsd_log()))}
    assert drawn["DELAY 100000"] == drawn["hammer_time"] + ROW == drawn["mi_startup"] + 2 * ROW
    assert drawn["g_up <&'\">"] > drawn["DELAY 100000"] + ROW


def test_a_thread_goes_by_its_name_or_by_its_number() -> None:
    named = [LogSpan("g_event", "f", 0, 5, 0), LogSpan("0xfffff80003000000", "f", 0, 5, 0)]
    assert [band.title for band in chart(named).bands] == ["g_event", "thread 0xfffff80003000000"]


def test_what_had_not_ended_lasts_to_the_end_and_says_so() -> None:
    box = next(b for b in boxes(svg(freebsd_log())) if "open" in b.get("class", "").split())
    assert share(box.get("width")) == 100
    assert box.findtext(f"{NS}title") == "mi_startup: had not ended after 310 ms, from 0 ns"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DELAY", FlameKind.DELAY),
        ("i8254_delay", FlameKind.DELAY),
        ("clockcalib", FlameKind.CALIBRATION),
        ("lapic_calibrate_initcount", FlameKind.CALIBRATION),
        ("DEVICE_ATTACH", FlameKind.DEVICE),
        ("config_attach_loc", FlameKind.DEVICE),
        ("SYSINIT vm_mem_init", FlameKind.OTHER),
        ("delayed_init", FlameKind.OTHER),
        ("_sleep", FlameKind.WAIT),
        ("WAIT", FlameKind.WAIT),
    ],
)
def test_the_colour_goes_by_the_name(name: str, kind: FlameKind) -> None:
    assert kind_of(name) is kind


def test_of_too_many_the_longest_are_drawn_and_the_chart_says_what_is_missing() -> None:
    log = [LogSpan("t", f"f{i}", i * 1000, i * 1000 + i % 977 + 1, 1) for i in range(6000)]
    drawn = chart(log)
    lengths = [box.end_ns - box.start_ns for band in drawn.bands for box in band.boxes]
    assert drawn.drawn == len(lengths) == MOST_BOXES
    longest_first = sorted((i % 977 + 1 for i in range(6000)), reverse=True)
    assert sorted(lengths, reverse=True) == longest_first[:MOST_BOXES]
    assert drawn.left_out.startswith("4,000 of 6,000 stretches are drawn: those of ")
    assert drawn.left_out in svg(log)


def test_threads_and_depth_are_bounded() -> None:
    log = [LogSpan(f"t{i}", "f", i, i + 10, 0) for i in range(MOST_THREADS + 5)]
    deep = [LogSpan("t0", "f", 1, 5, depth) for depth in (MOST_DEPTH, 10**9)]
    drawn = chart(log + deep)
    assert len(drawn.bands) == MOST_THREADS
    assert max(band.rows for band in drawn.bands) == 1
    assert drawn.left_out.endswith("is left out")


@pytest.mark.parametrize("draw", [svg, inline])
def test_a_hostile_log_makes_an_honest_picture(draw: object) -> None:
    assert callable(draw)
    text = draw(hostile_log()).replace("<svg class", f'<svg xmlns="{NS[1:-1]}" class', 1)
    tree = ElementTree.fromstring(text)
    assert not list(tree.iter(f"{NS}script")) and not list(tree.iter(f"{NS}img"))
    assert HOSTILE not in text


def test_an_empty_log_is_an_empty_chart() -> None:
    assert boxes(svg(())) == []


@given(
    st.lists(
        st.builds(
            LogSpan,
            st.text(max_size=4),
            st.text(max_size=9),
            st.integers(-(2**70), 2**70),
            st.none() | st.integers(-(2**70), 2**70),
            st.integers(-2, 60),
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_every_log_makes_well_formed_xml_with_boxes_inside_it(log: list[LogSpan]) -> None:
    for box in boxes(svg(log)):
        assert share(box.get("x")) >= 0
        assert share(box.get("x")) + share(box.get("width")) <= 100.1


@given(st.integers(1, 10**15))
def test_the_axis_has_at_most_a_handful_of_marks(whole_ns: int) -> None:
    step = tick_ns(whole_ns)
    assert step >= 1 and str(step).strip("0") in ("1", "2", "5")
    assert whole_ns // step <= 20


def test_the_longest_leave_out_what_only_holds_another() -> None:
    log = [
        LogSpan("t", "outer", 0, 100, 0),
        LogSpan("t", "inner", 1, 99, 1),
        LogSpan("t", "part", 2, 40, 2),
    ]
    assert [box.name for box in longest(log)] == ["inner", "part"]
