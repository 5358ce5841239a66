"""Reading logs: of any content, bounded, and never an error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conform_logs import Machine
from timehands.conform.judge import judge
from timehands.conform.log import MAX_LINE, MAX_LINES, Kind, Line, parse_lines, read_log
from timehands.conform.report import junit, table, tap, to_json

GOOD = [str(line) for line in Machine().lines()]


def test_a_log_goes_to_disk_and_back() -> None:
    lines = Machine().lines()
    assert parse_lines([str(line) for line in lines]) == lines


def test_numbers_lists_and_reasons_are_read() -> None:
    lines = [
        Line(5, "C tsc.offset data zero=0x10 low=0x1,0xffffffffffffffff no=12"),
        Line(6, "C rtc.date skip why=no-rtc"),
    ]
    log = read_log(lines)
    assert log.said["tsc.offset"].numbers == {"zero": (16,), "low": (1, (1 << 64) - 1)}
    assert log.said["tsc.offset"].host_ns == 5
    assert log.said["rtc.date"].kind is Kind.SKIP
    assert log.said["rtc.date"].why == "no rtc"


def test_a_sample_lies_between_its_question_and_its_first_byte() -> None:
    lines = [Line(10, "> asked"), Line(30, "S first tsc=0x1 tsc_after=0x2")]
    sample = read_log(lines).samples[0]
    assert (sample.asked_ns, sample.came_ns, sample.row) == (10, 30, "first")


def test_the_first_word_on_a_case_counts() -> None:
    lines = [Line(None, "C a.b data x=0x1"), Line(None, "C a.b data x=0x2")]
    assert read_log(lines).said["a.b"].numbers["x"] == (1,)


def test_a_log_without_end_is_cut() -> None:
    assert len(parse_lines("B a.b" for _ in range(MAX_LINES + 5))) == MAX_LINES
    assert len(parse_lines(["x" * (MAX_LINE + 5)])[0].text) == MAX_LINE


def _survives(texts: list[str]) -> None:
    judgement = judge(read_log(parse_lines(texts)), "somebody's")
    assert all(len(line) <= 100 or " " not in line.strip() for line in table(judgement))
    assert list(tap(judgement))[1] == f"1..{len(judgement.cases)}"
    junit(judgement)
    to_json(judgement)


@given(st.lists(st.text(max_size=80), max_size=30))
def test_any_text_is_judged(texts: list[str]) -> None:
    _survives(texts)


@given(st.data())
def test_a_good_log_with_other_numbers_is_judged(data: st.DataObject) -> None:
    texts = list(GOOD)
    number = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 1 << 63])
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(texts) - 1))
        words = texts[at].split(" ")
        which = data.draw(st.integers(0, len(words) - 1))
        key, equals, _ = words[which].partition("=")
        words[which] = f"{key}={data.draw(number):#x}" if equals else str(data.draw(number))
        texts[at] = " ".join(words)
    _survives(texts)


@given(st.lists(st.integers(0, len(GOOD) - 1), max_size=40))
def test_a_log_with_lines_lost_is_judged(lost: list[int]) -> None:
    _survives([text for at, text in enumerate(GOOD) if at not in lost])
