"""Every code has a page worth reading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from timehands.errors import UsageError
from timehands.findings import catalogue
from timehands.findings.catalogue import CATALOGUE, entry
from timehands.reports.schema import keys, load_schema

SECTIONS = ["What it means", "How it shows", "Why it happens", "How to mend it", "References"]
CODES = sorted(CATALOGUE)


def section(code: str, name: str) -> str:
    """The text below one heading of a page."""
    return CATALOGUE[code].page.split(f"## {name}\n")[1].split("\n## ")[0]


def test_the_codes_are_those_that_were_promised() -> None:
    promised = "101 102 103 104 105 106 107 201 202 203 204 205 301 302 303 304 305 306 307 "
    promised += "401 402 501 502 503 601"
    assert [f"TH{number}" for number in promised.split()] == CODES


def test_every_code_that_a_rule_gives_is_in_the_catalogue() -> None:
    rules = [file.read_text() for file in Path(catalogue.__file__).parent.glob("*.py")]
    assert set(re.findall(r"\bTH\d{3}\b", " ".join(rules))) == set(CATALOGUE)


@pytest.mark.parametrize("code", CODES)
def test_a_page_has_its_title_and_all_sections_in_order(code: str) -> None:
    lines = CATALOGUE[code].page.splitlines()
    assert lines[0] == f"# {code}: {CATALOGUE[code].title}"
    assert [line[3:] for line in lines if line.startswith("## ")] == SECTIONS
    assert all(section(code, name).strip() for name in SECTIONS)


@pytest.mark.parametrize("code", CODES)
def test_a_page_fits_100_columns_and_is_of_a_readable_length(code: str) -> None:
    lines = CATALOGUE[code].page.splitlines()
    assert max(map(len, lines)) <= 100
    assert 40 <= len(lines) <= 90
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("code", CODES)
def test_a_page_names_no_unknown_code(code: str) -> None:
    assert set(re.findall(r"\bTH\d+\b", CATALOGUE[code].page)) <= set(CATALOGUE)


@pytest.mark.parametrize("code", CODES)
def test_every_way_to_mend_it_says_what_it_costs(code: str) -> None:
    ways = re.split(r"^- ", section(code, "How to mend it"), flags=re.MULTILINE)[1:]
    assert len(ways) >= 3
    told = [way for way in ways if "Cost:" in way]
    assert len(told) >= len(ways) - 3


@pytest.mark.parametrize("code", CODES)
def test_references_are_whole_and_name_source_files(code: str) -> None:
    text = section(code, "References")
    assert re.search(r"\b[\w/-]+\.[ch]: \w+", text)
    issues = re.findall(r"\S*#\d+", text)
    assert issues or "PR kern/" in text
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+,?", issue) for issue in issues)


SURVEY_KEYS = {"survey.cpuid", "survey.facts", "survey.i8042", "survey.pit.counts"}
SURVEY_KEYS |= {"survey.rtc", "survey.rtc.present", "survey.hpet.counts", "survey.pit.gate"}
SURVEY_KEYS |= {"survey.lapic.counts"}


@pytest.mark.parametrize("code", CODES)
def test_the_json_keys_that_a_page_names_exist(code: str) -> None:
    known = {key.path for key in keys(load_schema())} | SURVEY_KEYS
    roots = {path.split(".")[0].split("[")[0] for path in known}
    named = re.findall(r"`([a-z_]+(?:\[\])?(?:\.[a-z0-9_]+)+)`", section(code, "How it shows"))
    assert {one for one in named if re.split(r"[.\[]", one)[0] in roots} <= known


@pytest.mark.parametrize("code", CODES)
def test_a_page_is_markdown_whose_code_spans_are_closed(code: str) -> None:
    for token in MarkdownIt("commonmark").enable("table").parse(CATALOGUE[code].page):
        for child in token.children or []:
            assert child.type != "text" or "`" not in child.content


@pytest.mark.parametrize("code", CODES)
def test_a_title_reads_as_a_title_and_a_reason_as_half_a_sentence(code: str) -> None:
    found = CATALOGUE[code]
    assert found.title and not found.title.endswith(".")
    assert found.because and not found.because.endswith(".")


def test_a_code_is_found_in_any_case() -> None:
    assert entry(" th101 ").code == "TH101"


@pytest.mark.parametrize(
    ("wrong", "near"), [("TH110", "TH101"), ("th30", "TH301"), ("101", "TH101")]
)
def test_a_wrong_code_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"(?s){wrong}.*Did you mean {near}\?"):
        entry(wrong)


def test_nonsense_names_the_list() -> None:
    with pytest.raises(UsageError, match="timehands explain") as caught:
        entry("x" * 10_000)
    assert len(str(caught.value)) < 300
