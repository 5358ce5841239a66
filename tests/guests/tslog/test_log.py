"""Logs as JSON types and as text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.errors import TslogDamaged
from timehands.guests.tslog import Record, Tslog, What, from_text, to_text

WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
RECORDS = st.builds(
    Record,
    st.integers(0, (1 << 64) - 1),
    st.sampled_from([What.ENTER, What.EXIT, What.EVENT]),
    st.integers(0, (1 << 64) - 1),
    WORD,
    st.none() | st.lists(WORD, min_size=1, max_size=3).map(" ".join),
)
#: The format that freebsd-boot-profiling's scripts split at blanks.
SCRIPT = re.compile(r"0x[0-9a-f]+ \d+ (?:ENTER|EXIT|THREAD|EVENT) \S+(?: .*)?\n")


@given(st.lists(RECORDS, max_size=20))
def test_json_and_text_give_back_what_was_written(records: list[Record]) -> None:
    log = Tslog(tuple(records), len(records))
    assert Tslog.from_json(json.loads(json.dumps(log.to_json()))) == log
    assert from_text(to_text(log)) == log
    assert all(SCRIPT.fullmatch(line) for line in to_text(log).splitlines(keepends=True))


def test_a_text_as_the_kernel_prints_it_is_read() -> None:
    text = (
        "0xffffffff80f115a0 11668107 ENTER hammer_time\n"
        "0xfffff8000336d000 12000000 THREAD pagedaemon: dom0\n"
        "0xffffffff80f115a0 36779452 ENTER SYSINIT vm_mem\n"
        "0xffffffff80f115a0 40000000 EVENT WAIT root mount\n\0"
    )
    log = from_text(text)
    assert [(r.what.name, r.name, r.detail) for r in log.records] == [
        ("ENTER", "hammer_time", None),
        ("THREAD", "pagedaemon: dom0", None),
        ("ENTER", "SYSINIT", "vm_mem"),
        ("EVENT", "WAIT", "root mount"),
    ]
    assert to_text(log) == text.rstrip("\0")
    assert from_text("").records == ()


@pytest.mark.parametrize(
    "line", ["0x1 2 LEAVE f", "1 2 ENTER f", "0x1 2 ENTER", "0x1 99999999999999999999 ENTER f", ""]
)
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(TslogDamaged, match="line 2: this is no record") as error:
        from_text(f"0x1 1 ENTER f\n{line}\n0x1 3 EXIT f\n")
    assert error.value.line == 2


@given(st.text(max_size=200))
def test_any_other_text_is_refused_by_its_own_error(text: str) -> None:
    try:
        log = from_text(text)
    except TslogDamaged:
        return
    assert all(record.name for record in log.records)


@pytest.mark.parametrize(
    "row", [[1, 9, 1, 0, -1], [1, 0, 1, 5, -1], [1, 0, 1, 0, -2], [1, 0, 1, -1, -1], [1, 0], "x"]
)
def test_json_that_nobody_wrote_is_refused(row: object) -> None:
    data = {"written": 1, "damaged": 0, "strings": ["f"], "records": [row]}
    with pytest.raises((ValueError, TypeError, KeyError)):
        Tslog.from_json(data)
