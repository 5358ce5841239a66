"""The survey guest's lines: what is read, and that nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.survey_guest import LINES, samples, spoken
from timehands.clocks.cpuid.layouts import NOTHING, Registers
from timehands.errors import SurveyFailed
from timehands.machines.survey_lines import MAX_BYTES, MAX_SAMPLES, Line, read_lines

TAGS = "CGMILYPQAHKRDFBtSXE"
WORDS = st.one_of(
    st.just("-"), st.integers(0, (1 << 64) - 1).map(lambda n: f"{n:x}"), st.text(max_size=5)
)
NONSENSE = st.builds(
    lambda tag, words: " ".join([tag, *words]), st.sampled_from(TAGS), st.lists(WORDS, max_size=9)
)


def test_a_whole_survey_is_read() -> None:
    words = read_lines(spoken())
    assert words.cpuid[0, 0] == Registers(0xD, 0x68747541, 0x444D4163, 0x69746E65)
    assert words.cpuid[2, 0] == NOTHING
    assert words.cpuid[0x40000010, 0] == Registers(0x21F, 0x240, 0xA88, 0)
    assert words.msrs == {0x10: 0, 0x1B: 0xFEE00900, 0xE7: None}
    assert words.command_line == "pace=host hpet=off"
    assert words.memory == [(0, 0x9FC00, 1), (0x100000, 0xFF00000, 1)]
    assert words.devices["H"] == ()
    assert len(words.samples) == len(samples()[1])
    assert words.samples[1].hpet is None
    assert words.end_tsc == 0x1234567


def test_what_a_firmware_says_before_the_header_does_not_count() -> None:
    before = [Line(0, "SeaBIOS (version 1.16)"), Line(0, "C nonsense")]
    assert read_lines([*before, *spoken()]).cpuid == read_lines(spoken()).cpuid


def test_a_guest_that_goes_its_own_pace_starts_its_samples_anew() -> None:
    lines = spoken()
    own = [Line(3, "B self"), Line(3, "t"), Line(4, "S 1 2 3 - - 4")]
    words = read_lines([*lines[:-1], *own, lines[-1]])
    assert words.pace == "self"
    assert [sample.tsc for sample in words.samples] == [1]


def test_an_exception_in_the_guest_is_told() -> None:
    lines = [Line(0, LINES[0]), Line(0, "X 6 0 100288")]
    with pytest.raises(SurveyFailed, match=r"exception 6 .* at 0x100288"):
        read_lines(lines)


@pytest.mark.parametrize(
    "line",
    [
        "Z 1",
        "",
        "C",
        "C 1",
        "C 0 0 1 2 3",
        "C 9 0 1 2 3 4 5",
        "C 9 0 100000000 0 0 0",
        "C 9 0 1 2 3 G",
        "C 9 0 1 2 3 ",
        "C 1 0 1 2 3 4",
        "G 40000010",
        "M 10 0",
        "M 11",
        "M - 1",
        "I 1 2",
        "Y 1 2",
        "P -",
        "P 1 2 3 4 5",
        "H 1 2",
        "B fast",
        "t t",
        "S 1 2 3 4 5 6",
        "X 1",
        "E",
        "E -",
        "E 11112222333344445",
        "E 1\tE 2",
        "C 9 0 -1 0 0 0",
        "C 9 0 +1 0 0 0",
        "C 9 0 0x1 0 0 0",
        "C 9 0 1_0 0 0 0",
    ],
)
def test_a_line_that_does_not_fit_is_refused(line: str) -> None:
    with pytest.raises(SurveyFailed) as caught:
        read_lines([*spoken()[:-1], Line(0, line)])
    assert caught.value.output == line


@pytest.mark.parametrize("tag", ["P", "Q", "A", "H", "K", "R", "B", "E"])
def test_a_survey_without_one_of_its_parts_is_refused(tag: str) -> None:
    lines = [line for line in spoken() if not line.text.startswith(f"{tag} ")]
    with pytest.raises(SurveyFailed):
        read_lines(lines)


def test_a_sample_needs_a_mark_before_it() -> None:
    lines = [line for line in spoken() if line.text != "t"]
    with pytest.raises(SurveyFailed, match="is no sample"):
        read_lines(lines)


def test_a_guest_that_says_nothing_is_told_from_one_that_does_not_end() -> None:
    with pytest.raises(SurveyFailed, match="said nothing"):
        read_lines([Line(0, "hello")])
    with pytest.raises(SurveyFailed, match="did not come to its end"):
        read_lines(spoken()[:-1])


def test_a_flood_is_refused_at_its_bound() -> None:
    taken = 0

    def flood() -> object:
        nonlocal taken
        yield Line(0, LINES[0])
        while True:
            taken += 1
            yield Line(0, "L " + "x" * 300)

    with pytest.raises(SurveyFailed, match="more than a survey says"):
        read_lines(flood())  # type: ignore[arg-type]
    assert taken <= MAX_BYTES // 300 + 1


def test_samples_without_end_are_refused() -> None:
    more = [Line(0, "t"), Line(0, "S 1 2 3 - - 4")] * (MAX_SAMPLES + 1)
    with pytest.raises(SurveyFailed, match="is no sample"):
        read_lines([*spoken()[:-1], *more])


@given(st.lists(NONSENSE, max_size=5), st.integers(1, len(LINES)))
def test_nonsense_is_read_or_refused(nonsense: list[str], at: int) -> None:
    lines = spoken()
    lines[at:at] = [Line(5, text) for text in nonsense]
    try:
        words = read_lines(lines)
    except SurveyFailed:
        return
    assert all(0 <= n < 1 << 32 for r in words.cpuid.values() for n in r)
    assert len(words.samples) <= MAX_SAMPLES


@given(st.data())
def test_a_survey_cut_or_flipped_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    text = "\n".join(line.text for line in spoken())
    at = data.draw(st.integers(0, len(text) - 1))
    flipped = text[:at] + data.draw(st.characters(codec="ascii")) + text[at + 1 :]
    cut = flipped[: data.draw(st.integers(at, len(text)))]
    try:
        words = read_lines(Line(7, line) for line in cut.split("\n"))
    except SurveyFailed as error:
        assert str(error)
    else:
        assert words.end_tsc is not None
