"""A recording joined with its tree: a small kernel of our own, built under another path."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_repositories import needs_git
from html_links import Links
from sourced_kernels import BUILT_IN, CLOCK, MAIN, build, record, write_tree
from timehands.boot import open_recording
from timehands.cli.main import main
from timehands.errors import CompilerMissing
from timehands.reports.schema import load_schema
from timehands.reports.sourced.join import Asked, join
from timehands.reports.sourced.model import Sourced
from timehands.reports.sourced.paths import Paths
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

#: The boot tells Linux's story, so that there is a finding; the tree is like FreeBSD's.
OTHER = "the kernel is linux's, and the tree freebsd's: its places mean nothing"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``src``, ``kernel`` and ``recording``."""
    needs_git()
    folder = tmp_path_factory.mktemp("sourced")
    write_tree(folder / "src")
    try:
        build(folder / "src", folder / "kernel")
    except CompilerMissing:
        pytest.skip("needs a C compiler")
    record(folder / "kernel", folder / "recording")
    return folder


def joined(folder: Path, config: str | None = "SMALL", **more: Path) -> Sourced:
    told = open_recording(folder / "recording")
    return join(told.report, told.recording, Asked(SourceTree.open(folder / "src"), config, **more))  # type: ignore[arg-type]


def line_of(text: str, source: str) -> int:
    return next(n for n, line in enumerate(source.splitlines(), 1) if text in line)


def test_each_link_of_the_pages_leads_somewhere(
    booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, recording = str(booted / "src"), str(booted / "recording")
    report = ["report", recording, "--source", source, "--config", "SMALL"]
    assert main([*report, "--html", str(tmp_path / "report.html")]) in (0, 1)
    pages = ["source", source, "pages", "sys", "--config", "SMALL", "--recording", recording]
    assert main([*pages, "--out", str(tmp_path / "pages")]) == 0
    assert capsys.readouterr().err == ""
    links, found = Links(), []
    for file in sorted(tmp_path.resolve().rglob("*.html")):
        found += [(file.name, link, wrong) for link, wrong in links.of(file)]
    assert [one for one in found if one[2]] == []
    told = {link for _, link, _ in found}
    assert "report-source/sys/x86/x86/clock.c.html#L3" in told
    assert {"../../../index.html", "sys/x86/x86/clock.c.html"} <= told
    page = (tmp_path / "report-source/sys/x86/x86/clock.c.html").read_text()
    assert "is compiled into SMALL" in page
    assert "it ran inlined in another" in page
    index = (tmp_path / "pages" / "index.html").read_text()
    row = next(line for line in index.splitlines() if "x86/clock.c" in line)
    assert re.findall(r">(\w*)</td>", row) == ["yes", "2", "1", "1"]


def frames(sourced: Sourced, kind: str, name: str) -> dict[str, tuple[str, bool]]:
    item = next(one for one in sourced.items if (one.kind, one.name) == (kind, name))
    return {one.function: (str(one.where), one.exact) for one in item.frames}


def test_a_findings_functions_have_their_lines(booted: Path) -> None:
    found = frames(joined(booted), "finding", "TH101")
    begins = line_of("int native_calibrate_cpu_early", CLOCK)
    assert found["native_calibrate_cpu_early"] == (f"sys/x86/x86/clock.c:{begins}", False)


def test_a_line_has_its_last_change_and_a_file_its_reason(booted: Path) -> None:
    sourced = joined(booted)
    where = Where("sys/x86/x86/clock.c", line_of("int native_calibrate_cpu_early", CLOCK))
    last = sourced.changes[where]
    assert (last.author, last.subject, last.release) == ("Ada", "Begin", "v2.0")
    file = sourced.file("sys/x86/x86/clock.c")
    assert file is not None
    assert file.compiled is True
    assert file.lines[0][0] == Where("sys/conf/files.amd64", 1)
    assert any("device tinyclock" in words for _, words in file.lines)
    assert [text for text in sourced.complaints if text != OTHER] == []


def test_a_configuration_without_the_file_says_so(booted: Path) -> None:
    file = joined(booted, "NONE").file("sys/x86/x86/clock.c")
    assert file is not None
    assert file.compiled is False
    file = joined(booted, None).file("sys/x86/x86/clock.c")
    assert file is not None
    assert file.compiled is None


def test_a_caller_is_told_by_the_line_of_its_call(booted: Path) -> None:
    from timehands.reports.sourced.places import Places, kernel_of
    from timehands.watch.recording import Recording

    recording = Recording.open(booted / "recording")
    kernel, lacks = kernel_of(recording)
    places = Places(recording, SourceTree.open(booted / "src"), kernel)
    assert lacks == ""
    by_name = {name.split("+")[0]: at for at, name in recording.symbols.items() if "+" in name}
    (frame,) = places.at(by_name["tsc_early_init"])
    call = line_of("native_calibrate_cpu_early(total)", MAIN)
    assert (frame.where, frame.exact) == (Where("sys/kern/init_main.c", call), True)
    assert frame.path == f"{BUILT_IN}/sys/kern/init_main.c"
    near = frozenset({by_name["tsc_early_init"]})
    assert places.function("tsc_early_init", near) == frame
    begins = places.function("tsc_early_init")
    assert begins.where == Where("sys/kern/init_main.c", line_of("void tsc_early_init", MAIN))
    assert places.at(1) == ()


def test_without_the_kernel_names_are_left(booted: Path, tmp_path: Path) -> None:
    sourced = joined(booted, kernel=tmp_path / "gone")
    assert "--kernel" in sourced.complaints[1]
    other = tmp_path / "other"
    shutil.copy(booted / "kernel", other)
    with other.open("ab") as file:
        file.write(b"more")
    assert "not the recorded kernel" in joined(booted, kernel=other).complaints[1]


def test_without_a_repository_the_rest_is_told(booted: Path, tmp_path: Path) -> None:
    shutil.copytree(booted / "src", tmp_path / "src", ignore=shutil.ignore_patterns(".git"))
    shutil.copytree(booted / "recording", tmp_path / "recording")
    sourced = joined(tmp_path)
    assert sourced.changes == {}
    assert "no last changes" in sourced.complaints[1]
    assert frames(sourced, "finding", "TH101")


def test_the_report_has_it_in_every_form(
    booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", str(booted / "recording"), "--source", str(booted / "src")]
    words += ["--config", "SMALL"]
    main(words)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    said = " ".join(text.split())
    line = line_of("int native_calibrate_cpu_early", CLOCK)
    assert f"native_calibrate_cpu_early begins at sys/x86/x86/clock.c:{line}" in said
    assert "compiled by sys/conf/files.amd64:1 (optional tinyclock)" in said
    assert "in v2.0" in said
    page = tmp_path / "report.html"
    main([*words, "--json", "--html", str(page)])
    data = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(load_schema()).validate(data)
    assert data["source"]["config"] == "SMALL"
    html = page.read_text()
    target = f"report-source/sys/x86/x86/clock.c.html#L{line}"
    assert f'href="{target}"' in html
    for link in re.findall(r'href="(report-source/[^"#]+)#L(\d+)"', html):
        assert f'id="L{link[1]}"' in (tmp_path / link[0]).read_text()


def test_what_is_for_a_tree_needs_one(booted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(booted / "recording"), "--config", "SMALL"]) == 2
    assert "--source" in capsys.readouterr().err


def test_why_says_what_ran(booted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["source", str(booted / "src"), "why", "sys/x86/x86/clock.c", "--config", "SMALL"]
    words += ["--recording", str(booted / "recording")]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["recording"]
    ran = {one["function"]: one["ran"] for one in told["functions"]}
    assert ran == {
        "look": "reached",
        "native_calibrate_cpu_early": "reached",
        "never_called": "never",
        "unwatched": "not watched",
    }
    entered = next(o for o in told["functions"] if o["function"] == "native_calibrate_cpu_early")
    assert entered["entries"] == 2
    assert main(words) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "2 reached, 1 never entered, 1 not watched" in text
    assert main([*words[:3], "sys/kern/init_main.c", *words[4:], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["recording"]
    ran = {one["function"]: one["ran"] for one in told["functions"]}
    assert ran == {"tsc_early_init": "reached", "_start": "reached"}


def test_dropped_events_take_never_away(
    booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(booted / "recording", tmp_path / "recording")
    header = tmp_path / "recording/recording.json"
    header.write_text(header.read_text().replace('"events_dropped": 0', '"events_dropped": 7'))
    words = ["source", str(booted / "src"), "why", "sys/x86/x86/clock.c", "--config", "SMALL"]
    assert main([*words, "--recording", str(tmp_path / "recording"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["recording"]
    ran = {one["function"]: one["ran"] for one in told["functions"]}
    assert ran["never_called"] == "not watched"
    assert told["complaints"][0] == OTHER
    assert "7 events were dropped" in told["complaints"][1]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/usr/src/sys/x86/x86/clock.c", "sys/x86/x86/clock.c"),
        ("/usr/src/sys/amd64/conf/../../x86/x86/clock.c", "sys/x86/x86/clock.c"),
        ("../../../x86/x86/clock.c", "sys/x86/x86/clock.c"),
        ("x86/clock.c", None),
        ("/elsewhere/clock.c", None),
        ("clock.c", None),
        ("", None),
        ("/obj/vnode_if.h", None),
    ],
)
def test_the_longest_common_tail_decides(tmp_path: Path, path: str, file: str | None) -> None:
    for name in ("sys/x86/x86/clock.c", "sys/conf/newvers.sh", "clock.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('TYPE="FreeBSD"\n')
    assert Paths(SourceTree.open(tmp_path)).find(path) == file


@given(path=st.text(max_size=60) | st.lists(st.sampled_from(("..", ".", "a", "")), max_size=20).map(
    "/".join))  # fmt: skip
def test_no_path_leads_out(path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp() / "paths"
    root.mkdir(exist_ok=True)
    assert Paths(SourceTree.open(root)).find(path) is None
