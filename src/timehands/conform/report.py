"""What the judge says, for people and for machines: a table by area, TAP 13, JUnit XML, JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from timehands.conform.cases import AREAS
from timehands.conform.judge import Judgement
from timehands.conform.verdicts import Judged, Verdict
from timehands.reports.plain import harmless

JSON_SCHEMA = 1
WIDTH = 100
_LABEL = 26
_MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.NOTE: "!", Verdict.SKIP: "–"}


def table(judgement: Judgement, *, verbose: bool = False) -> Iterator[str]:
    """Lines for a terminal: the verdict, then each area. What failed is told in full."""
    yield _headline(judgement)
    if judgement.trouble:
        yield from _wrapped("", f"✗ {judgement.trouble}")
    for area in AREAS:
        cases = [each for each in judgement.cases if each.case.area == area]
        yield from ("", area)
        if all(each.verdict is Verdict.SKIP for each in cases) and not verbose:
            reasons = sorted({each.saw for each in cases})
            yield from _wrapped(f"  {_MARKS[Verdict.SKIP]} all {len(cases)}", "; ".join(reasons))
            continue
        for each in cases:
            yield from _rows(each, verbose)


def _headline(judgement: Judgement) -> str:
    count = judgement.count
    word = "conforms" if judgement.conforms else "does not conform"
    return (
        f"{_MARKS[Verdict.PASS if judgement.conforms else Verdict.FAIL]} {judgement.vmm} {word}: "
        f"{count(Verdict.PASS)} passed, {count(Verdict.FAIL)} failed, "
        f"{count(Verdict.NOTE)} to be noted, {count(Verdict.SKIP)} skipped"
    )


def _rows(judged: Judged, verbose: bool) -> Iterator[str]:
    name = judged.case.id.split(".", 1)[1]
    yield from _wrapped(f"  {_MARKS[judged.verdict]} {name}", judged.saw)
    if judged.verdict in (Verdict.FAIL, Verdict.NOTE) or verbose:
        yield from _wrapped("", f"expected: {judged.case.expected}")
        yield from _wrapped("", f"matters to: {judged.case.why}")
        yield from _wrapped("", f"see: {judged.case.reference}")


def _wrapped(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        harmless(text, 2000),
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    ) or [label]


def tap(judgement: Judgement) -> Iterator[str]:
    """Test Anything Protocol, version 13. A case to be noted is ok, and says so after the name."""
    yield "TAP version 13"
    yield f"1..{len(judgement.cases)}"
    for number, each in enumerate(judgement.cases, 1):
        ok = "not ok" if each.verdict is Verdict.FAIL else "ok"
        saw = harmless(each.saw, 400).replace("#", "no. ").replace("\n", " ")
        if each.verdict is Verdict.SKIP:
            yield f"{ok} {number} - {each.case.id} # SKIP {saw}"
        else:
            yield f"{ok} {number} - {each.case.id}"
            yield f"# {each.verdict}: {saw}"
        if each.verdict is Verdict.FAIL:
            yield f"# expected: {each.case.expected}"
            yield f"# see: {each.case.reference.replace('#', 'no. ')}"
    if judgement.trouble:
        yield f"Bail out! {harmless(judgement.trouble, 400)}"


def junit(judgement: Judgement) -> str:
    """JUnit XML: a test suite for each area, and one for the run when that went wrong."""
    root = ElementTree.Element("testsuites", name=f"timehands conform {judgement.vmm}")
    for area in AREAS:
        cases = [each for each in judgement.cases if each.case.area == area]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=area,
            tests=str(len(cases)),
            failures=str(sum(each.verdict is Verdict.FAIL for each in cases)),
            skipped=str(sum(each.verdict is Verdict.SKIP for each in cases)),
        )
        for each in cases:
            _junit_case(suite, each)
    if judgement.trouble:
        suite = ElementTree.SubElement(root, "testsuite", name="run", tests="1", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="ends")
        ElementTree.SubElement(case, "error", message=harmless(judgement.trouble, 400))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(suite: ElementTree.Element, each: Judged) -> None:
    name = each.case.id.split(".", 1)[1]
    element = ElementTree.SubElement(suite, "testcase", classname=each.case.area, name=name)
    saw = harmless(each.saw, 2000)
    if each.verdict is Verdict.FAIL:
        failure = ElementTree.SubElement(element, "failure", message=saw)
        case = each.case
        failure.text = f"expected: {case.expected}\nmatters to: {case.why}\nsee: {case.reference}"
    elif each.verdict is Verdict.SKIP:
        ElementTree.SubElement(element, "skipped", message=saw)
    else:
        ElementTree.SubElement(element, "system-out").text = f"{each.verdict}: {saw}"


def to_json(judgement: Judgement) -> dict[str, Any]:
    """``schema``, ``vmm``, ``conforms``, ``trouble``, ``counts``, ``cases``."""
    return {
        "schema": JSON_SCHEMA,
        "vmm": judgement.vmm,
        "conforms": judgement.conforms,
        "trouble": judgement.trouble,
        "counts": {verdict.value: judgement.count(verdict) for verdict in Verdict},
        "cases": [
            {
                "case": each.case.id,
                "verdict": each.verdict.value,
                "saw": each.saw,
                "expected": each.case.expected,
                "why": each.case.why,
                "reference": each.case.reference,
            }
            for each in judgement.cases
        ],
    }
