"""``--html`` of a tree's answers: each place is a link, and leads to its line."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import code_trees
from config_trees import FREEBSD, LINUX, NETBSD, planted
from timehands.cli import source_linked
from timehands.cli.main import main

_LINK = re.compile(r'<a href="([^"#]*)#L(\d+)"><code>([^<]*):(\d+)</code></a>')
_PLACE = re.compile(r"<code>([^<]*:\d+)</code>")


def followed(page: Path) -> dict[str, str]:
    """The places of a page that are links, each with the text of the line that it leads to."""
    found = {}
    for href, line, file, shown in _LINK.findall(page.read_text()):
        assert line == shown
        target = (page.parent / unquote(href)).read_text()
        match = re.search(rf'<span id="L{line}"><a [^>]*>{line}</a>(.*?)</span>', target)
        assert match, f"{href} has no line {line}"
        found[f"{file}:{line}"] = match.group(1)
    return found


def places(page: Path) -> set[str]:
    return set(_PLACE.findall(page.read_text()))


def test_each_line_that_decides_is_a_link(tmp_path: Path) -> None:
    tree, page = planted(tmp_path / "src", FREEBSD), tmp_path / "why not.html"
    asked = ["why", "x86/x86/pvclock.c", "--config", "SMALL", "--html", str(page)]
    assert main(["source", str(tree.root), *asked]) == 0
    assert followed(page) == {
        "sys/conf/files.amd64:1": "include &#34;conf/files.x86&#34;",
        "sys/conf/files.x86:1": "x86/x86/pvclock.c       optional        kvm_clock | xenhvm",
        "sys/amd64/conf/SMALL:8": "device          kvm_clock",
    }
    assert places(page) == set(followed(page))


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (FREEBSD, ["config", "SMALL"]),
        (FREEBSD, ["config", "SMALL", "--diff", "XEN"]),
        (FREEBSD, ["why", "ddb/db_main.c", "--config", "SMALL"]),
        (FREEBSD, ["why", "x86", "--config", "SMALL"]),
        (FREEBSD, ["why", "sys/modules/linux/linux_time.c", "--config", "SMALL"]),
        (NETBSD, ["config", "SMALL"]),
        (LINUX, ["config", "config", "CLOCK"]),
    ],
)
def test_no_place_is_without_a_link(
    tmp_path: Path, files: dict[str, str], asked: list[str]
) -> None:
    tree, page = planted(tmp_path / "src", files), tmp_path / "page.html"
    main(["source", str(tree.root), *asked, "--html", str(page)])
    assert places(page)
    assert places(page) == set(followed(page))


@pytest.mark.parametrize("asked", [["find", "tsc_freq"], ["path", "main", "tc_init"], ["clocks"]])
def test_answers_of_the_cross_reference_have_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source, page = code_trees.tree(tmp_path / "src"), tmp_path / "page.html"
    main(["source", str(source.root), *asked, "--html", str(page)])
    assert places(page)
    assert places(page) == set(followed(page))


def test_a_configuration_outside_of_the_tree_has_its_page(tmp_path: Path) -> None:
    tree, own = planted(tmp_path / "src", LINUX), tmp_path / "my config"
    own.write_text(LINUX["config"])
    page = tmp_path / "page.html"
    asked = ["why", "arch/x86/kernel/kvmclock.c", "--config", str(own), "--html", str(page)]
    assert main(["source", str(tree.root), *asked]) == 0
    assert followed(page)[f"{own}:9"] == "CONFIG_KVM_GUEST=y"
    assert places(page) == set(followed(page))
    assert own.read_text() == LINUX["config"]


def test_only_the_files_that_are_named_most_get_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_linked, "MOST_FILES", 1)
    tree, page = planted(tmp_path / "src", FREEBSD), tmp_path / "page.html"
    assert main(["source", str(tree.root), "config", "SMALL", "--html", str(page)]) == 0
    assert {place.split(":")[0] for place in followed(page)} == {"sys/amd64/conf/SMALL"}


def test_places_of_two_trees_are_no_links(tmp_path: Path) -> None:
    one, other = planted(tmp_path / "a", FREEBSD), planted(tmp_path / "b", NETBSD)
    page = tmp_path / "page.html"
    asked = ["config", "SMALL", "--diff", "SMALL", "--diff-tree", str(other.root)]
    assert main(["source", str(one.root), *asked, "--html", str(page)]) == 0
    assert followed(page) == {}


def test_a_page_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = planted(tmp_path / "src", FREEBSD)
    page = tmp_path / "none/page.html"
    (tmp_path / "none").write_text("")
    assert main(["source", str(tree.root), "config", "SMALL", "--html", str(page)]) == 2
    assert "cannot be written" in capsys.readouterr().err
