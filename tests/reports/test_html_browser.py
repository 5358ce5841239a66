"""The HTML page in a real browser: no errors, no sideways scrolling, and a timeline that zooms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from reports.browser import Page, browser, chromium
from reports.build import jiffies_report, survey
from reports.build_bsd import ALL_REPORTS
from reports.recorded import recording
from timehands.reports import source_html
from timehands.reports.html import render
from timehands.sources.document import Document, Heading, Preformatted, Rows, Style, Table, Words
from timehands.sources.where import Where

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium (apt-get install chromium)")

SHOWN = (
    "[+document.getElementById('chart').dataset.from, +document.getElementById('chart').dataset.to]"
)

WIDE = Where(
    "sys/arch/a_folder_with_a_long_name/and_another_one/of_a_file_with_a_long_name.c", 4321
)
#: A page of a source tree with one of each block, wider than a narrow screen.
SOURCE = Document(
    "sys/kern/kern_tc.c is compiled into FIRECRACKER",
    (
        *(Words((WIDE, f" {style} device kvm_clock"), style, 2) for style in get_args(Style)),
        Heading("In the recording", "boot: 2 reached, 1 never entered, 1 not watched"),
        Rows((("changed by", "Ada <ada@example.net>"), ("since", WIDE))),
        Table(("function", "begins at", "shown by"), ((("f" * 40), WIDE, "entered once; " * 9),)),
        Preformatted(("-\told", "+\tnew", "@@ -1 +1 @@")),
        Preformatted(("int a;", "\treturn a; " + "/* wide */ " * 30), Where("a.c", 1)),
    ),
    "the repository is shallow",
)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    recorded = tmp_path_factory.mktemp("recorded")
    for name, make in ALL_REPORTS.items():
        (folder / f"{name}.html").write_text(render(make(), recording(recorded)))
    whole = replace(jiffies_report(), survey=survey())
    (folder / "jiffies.html").write_text(render(whole, recording(recorded)))
    links = (lambda where: f"{where.file}.html#L{where.line}", "index.html")
    (folder / "source.html").write_text(source_html.render(SOURCE, *links))
    return folder


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", [*ALL_REPORTS, "source"])
def test_a_page_opens_without_trouble_and_fits_its_width(
    tab: Page, pages: Path, name: str, width: int
) -> None:
    tab.troubles.clear()
    tab.open(pages / f"{name}.html", width)
    assert tab.value("innerWidth") == width
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.troubles == []


def test_the_timeline_is_drawn(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    assert tab.value("document.querySelectorAll('#chart .bar').length") == 9
    assert tab.value("document.querySelectorAll('#chart .boundary-name').length") == 8
    assert tab.value("document.querySelectorAll('#chart .mark').length") == 5
    assert tab.value(SHOWN) == [0, 2_200_000_000]


@pytest.mark.parametrize("width", [1280, 400])
def test_names_of_boundaries_cover_no_other(tab: Page, pages: Path, width: int) -> None:
    tab.open(pages / "jiffies.html", width)
    boxes = tab.value(
        "[...document.querySelectorAll('#chart .boundary-name')].map(e => {"
        "const b = e.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]})"
    )
    assert len(boxes) == 8
    for i, a in enumerate(boxes):
        assert a[0] >= 0 and a[2] <= width
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] + 3 or b[3] <= a[1] + 3


@pytest.mark.parametrize("section", ["clocks", "proof"])
def test_on_a_narrow_screen_no_cell_lies_outside(tab: Page, pages: Path, section: str) -> None:
    tab.open(pages / "jiffies.html", 400)
    edges = tab.value(
        f"[...document.querySelectorAll('#{section} td')].map(e => e.getBoundingClientRect().right)"
    )
    assert edges and max(edges) <= 400


def size(tab: Page) -> int:
    start, end = tab.value(SHOWN)
    return int(end - start)


def press(tab: Page, key: str, text: str = "") -> None:
    tab.value("document.getElementById('chart').focus()")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
    tab.ask("Input.dispatchKeyEvent", type="keyUp", key=key)


def test_buttons_and_keys_zoom_move_and_show_all(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    tab.value("document.querySelector('[data-do=in]').click()")
    assert tab.value(SHOWN) == [550_000_000, 1_650_000_000]
    press(tab, "+", "+")
    assert tab.value(SHOWN) == [825_000_000, 1_375_000_000]
    press(tab, "ArrowRight")
    assert tab.value(SHOWN) == [962_500_000, 1_512_500_000]
    press(tab, "0", "0")
    assert tab.value(SHOWN) == [0, 2_200_000_000]


def mouse(tab: Page, kind: str, x: float, y: float, **more: object) -> None:
    tab.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def middle_of_chart(tab: Page) -> tuple[float, float]:
    x, y = tab.value(
        "(() => { const e = document.getElementById('chart'); e.scrollIntoView({block: 'center'});"
        "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()"
    )
    return x, y


def test_the_wheel_zooms_around_the_pointer_and_dragging_moves(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    x, y = middle_of_chart(tab)
    mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=-100)
    assert size(tab) == 1_760_000_000
    start = tab.value(SHOWN)[0]
    mouse(tab, "mousePressed", x, y, button="left", clickCount=1)
    mouse(tab, "mouseMoved", x - 100, y, button="left", buttons=1)
    mouse(tab, "mouseReleased", x - 100, y, button="left")
    assert tab.value(SHOWN)[0] > start
    assert size(tab) == 1_760_000_000


def test_the_wheel_lets_the_page_scroll_when_all_is_shown(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    x, y = middle_of_chart(tab)
    before = tab.value("scrollY")
    mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=200)
    tab.ask(
        "Runtime.evaluate",
        expression="new Promise(done => setTimeout(done, 300))",
        awaitPromise=True,
    )
    assert tab.value("scrollY") > before
    assert size(tab) == 2_200_000_000


def test_pointing_at_a_bar_tells_what_it_is(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    x, y = tab.value(
        "(() => { const e = document.querySelectorAll('#chart .bar')[2];"
        "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + 5] })()"
    )
    mouse(tab, "mouseMoved", x, y)
    told = tab.value("document.getElementById('hint').textContent")
    assert told == "start_kernel the rest of the kernel: 840.0 ms, from 260.0 ms"


def test_a_reference_leads_to_its_event(tab: Page, pages: Path) -> None:
    tab.open(pages / "jiffies.html", 1280)
    tab.value("document.querySelector('#findings a[href=\"#at-e12\"]').click()")
    assert tab.value("document.querySelector(':target').textContent").startswith("e12")


FLAME = "document.querySelector('svg.flame')"


def test_a_click_on_a_box_shows_its_time_alone_and_again_all(tab: Page, pages: Path) -> None:
    tab.open(pages / "freebsd.html", 1280)
    shown = f"[+{FLAME}.dataset.from, +{FLAME}.dataset.to]"
    seen = f"[...{FLAME}.querySelectorAll('.box')].filter(e => e.style.display !== 'none').length"
    click = f"[...{FLAME}.querySelectorAll('.box')].find(e => e.textContent.includes('uart0'))"
    assert tab.value(shown) == [0, 310_000_000]
    assert tab.value(seen) == 6
    tab.value(f"{click}.dispatchEvent(new MouseEvent('click'))")
    assert tab.value(shown) == [110_000_000, 180_000_000]
    assert tab.value(seen) == 2
    assert tab.value(f"{click}.getAttribute('width')") == "100%"
    tab.value(f"{click}.dispatchEvent(new MouseEvent('click'))")
    assert tab.value(shown) == [0, 310_000_000]
    assert tab.value("document.getElementById('flame-all').disabled")


@pytest.mark.parametrize("width", [1280, 400])
def test_names_in_the_flame_chart_stay_in_their_boxes(tab: Page, pages: Path, width: int) -> None:
    tab.open(pages / "freebsd.html", width)
    clipped = tab.value(
        f"[...{FLAME}.querySelectorAll('.box')].map(e => getComputedStyle(e).overflow)"
    )
    assert set(clipped) == {"hidden"}
    edges = tab.value(
        f"[...{FLAME}.querySelectorAll('.box > rect')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= width


def test_the_kernels_log_is_in_the_timeline_too(tab: Page, pages: Path) -> None:
    tab.open(pages / "freebsd.html", 1280)
    assert tab.value("document.querySelectorAll('#chart .bar.log-delay').length") == 1
    assert tab.value("document.querySelectorAll('#chart .bar').length") == 9 + 5


CONTRAST = """
(() => {
  const channel = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 };
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll('body *')].filter(e =>
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
    && !e.closest('svg, script, style') && e.getClientRects().length);
  return Math.min(...texts.map(e => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
})()
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["jiffies", "freebsd", "source"])
def test_text_has_the_contrast_that_wcag_asks_for(
    tab: Page, pages: Path, name: str, dark: bool
) -> None:
    tab.open(pages / f"{name}.html", 1280, dark=dark)
    assert tab.value(CONTRAST) >= 4.5
