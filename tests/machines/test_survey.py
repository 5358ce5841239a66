"""From a guest's words to a survey: rates with bounds, devices, dates."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.survey_guest import LAPIC_HZ, LINES, PIT_HZ, TSC_HZ, samples, spoken
from machines.test_survey_lines import NONSENSE
from timehands.errors import SurveyFailed
from timehands.machines.machine import Machine
from timehands.machines.survey import (
    LONG_ROW_NS,
    PAUSES_MS,
    ROWS_AGAIN,
    Survey,
    _Console,
    interpret,
    payload,
)
from timehands.machines.survey_lines import MAX_BYTES, Line, read_lines

MACHINE = Machine()
SENT = samples()[1]


def made(lines: list[str] | None = None, machine: Machine = MACHINE) -> Survey:
    return interpret(read_lines(spoken(lines)), SENT, machine, 1)


def changed(tag: str, line: str) -> list[str]:
    """The guest's lines with another one of this tag."""
    return [line if old.startswith(f"{tag} ") else old for old in LINES]


def test_the_true_rates_lie_within_the_bounds() -> None:
    survey = made()
    for rate, hz in (
        (survey.tsc, TSC_HZ), (survey.pit.rate, PIT_HZ), (survey.lapic.rate, LAPIC_HZ),
    ):  # fmt: skip
        assert rate is not None
        assert rate.allows(hz)
        assert abs(rate.off_ppb(hz)) < 10_000
        assert 200_000 < rate.uncertainty_ppb < 400_000
    assert survey.ruler == "host"


@given(st.integers(0, 200_000))
def test_longer_delays_make_wider_bounds_but_never_wrong_ones(delay_ns: int) -> None:
    lines, sent = samples(delay_ns)
    words = read_lines([*[Line(0, text) for text in LINES], *lines, Line(9, "E 1")])
    survey = interpret(words, sent, MACHINE, 1)
    assert survey.tsc is not None
    assert survey.tsc.allows(TSC_HZ)


def test_a_pit_that_wrapped_unseen_is_mended_by_the_tsc() -> None:
    words = read_lines(spoken())
    lost = [replace(s, pit=s.pit - 65536 if i > 4 else s.pit) for i, s in enumerate(words.samples)]
    words.samples[:] = lost
    rate = interpret(words, SENT, MACHINE, 1).pit.rate
    assert rate is not None
    assert rate.allows(PIT_HZ)


def test_at_its_own_pace_the_pit_is_the_ruler() -> None:
    machine = Machine(deterministic=True)
    lines = [Line(0, text) for text in LINES] + [Line(0, "B self")]
    for ticks in range(0, 60_000, 5_000):
        ns = ticks * 10**9 // PIT_HZ
        lines += [Line(0, "t"), Line(0, f"S {ns:x} {ticks:x} {ns + 20:x} - - {ns + 53:x}")]
    survey = interpret(read_lines([*lines, Line(0, "E 1")]), [], machine, 1)
    assert survey.ruler == "pit"
    assert survey.tsc is not None
    assert survey.tsc.allows(10**9)
    assert survey.tsc.uncertainty_ppb < 30_000
    assert survey.pit.rate is None
    assert survey.pit.counts
    assert survey.rtc.offset_s is None


def test_answers_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(SurveyFailed, match="nobody asked"):
        interpret(read_lines(spoken()), SENT[:3], MACHINE, 1)


def test_devices_that_do_not_answer_are_absent() -> None:
    lines = [line for line in LINES if line[:2] not in ("D ", "F ")]
    lines = [{"R": "R -", "A": "A -", "P": "P 0 ffff ffff 0 ffff ffff"}.get(x[0], x) for x in lines]
    survey = made(lines)
    assert not survey.rtc.present
    assert (survey.lapic.counts, survey.lapic.base) == (False, None)
    assert not survey.pit.counts


def test_the_ports_beside_the_pit_are_told() -> None:
    missing, there = made(), made(changed("Q", "Q 1 1c 0"))
    assert (missing.pit.gate, missing.i8042, missing.pic) == (False, False, True)
    assert (there.pit.gate, there.i8042, there.pic) == (True, True, False)


def test_hpet_and_pm_timer_are_told() -> None:
    lines = changed("H", "H 8086a201 989680 1 d81 1200")
    survey = made(["K 608 1 2ce52 2ce68" if line == "K -" else line for line in lines])
    assert (survey.hpet.counts, survey.hpet.period_fs) == (True, 10_000_000)
    assert (survey.acpi_pm.counts, survey.acpi_pm.port) == (True, 0x608)


def test_the_wall_clock_is_held_against_the_hosts() -> None:
    now = datetime.fromtimestamp(int(time.time()) - 3600, UTC)
    date = " ".join(now.strftime("%S %M %H %d %m %y 20").split())
    lines = [Line(time.monotonic_ns(), text) for text in changed("D", f"D {date}")]
    survey = interpret(read_lines([*lines, *samples()[0], Line(0, "E 1")]), SENT, MACHINE, 1)
    assert survey.rtc.time == now.isoformat()
    assert survey.rtc.offset_s is not None
    assert -3602 <= survey.rtc.offset_s <= -3599


def test_the_periodic_flag_is_counted_by_the_tsc() -> None:
    rtc = made().rtc
    assert rtc.ticks
    assert rtc.periodic_hz == 11 * TSC_HZ // (0x2AB98BC - 0x1000000)
    assert not made(changed("F", "F 1 5 5 9")).rtc.ticks


def test_the_start_info_is_told() -> None:
    info = made().start_info
    assert info is not None
    assert info.command_line == "pace=host hpet=off"
    assert info.memory == ((0, 0x9FC00, 1), (0x100000, 0xFF00000, 1))
    assert made(changed("I", "I -")).start_info is None


@given(st.lists(NONSENSE, min_size=1, max_size=3), st.integers(1, len(LINES) - 1))
def test_whatever_is_read_can_be_interpreted(nonsense: list[str], at: int) -> None:
    said = [*LINES[:at], *nonsense, *LINES[at + len(nonsense) :]]
    try:
        survey = made(said)
    except SurveyFailed:
        return
    assert Survey.from_json(survey.to_json()) == survey


def test_the_guest_is_a_small_elf_with_a_pvh_note() -> None:
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import NoteSegment

    path = payload()
    with path.open("rb") as file:
        elf = ELFFile(file)
        notes = [
            n for s in elf.iter_segments() if isinstance(s, NoteSegment) for n in s.iter_notes()
        ]
        assert [(note["n_name"], note["n_type"]) for note in notes] == [("Xen", 18)]
        assert int.from_bytes(notes[0]["n_descdata"], "little") == elf["e_entry"]
        loaded = sum(s["p_memsz"] for s in elf.iter_segments("PT_LOAD"))
    assert loaded < 64 << 10
    assert path.stat().st_size < 32 << 10


def console() -> tuple[_Console, list[bytes]]:
    """The sink of a survey, and what it sent to the guest."""
    made, sent = _Console(), list[bytes]()
    made.answer = sent.append
    return made, sent


def test_lines_are_made_whole_from_pieces_and_stamped_when_they_end() -> None:
    sink, _ = console()
    for at, piece in enumerate([b"timehands-", b"survey 1\nC 0", b" 0\r\nM"]):
        sink.console(at, piece)
    assert sink.lines == [Line(1, "timehands-survey 1"), Line(2, "C 0 0")]


def test_each_sample_is_asked_for_and_the_time_is_taken_before() -> None:
    sink, sent = console()
    before = time.monotonic_ns()
    sink.console(1, b"B host\n")
    sink.console(2, b"t\nS 1 2 3 - - 4\n")
    assert sent == [b"s", b"s"]
    assert before <= sink.sent_ns[0] <= sink.sent_ns[1] <= time.monotonic_ns()


@pytest.mark.parametrize(
    ("answers_in_ns", "least", "most"),
    [(50_000, 100, 100), (200_000, 60, 63), (3_000_000, 19, 23), (50_000_000, 2, 3)],
    ids=["quick", "quick enough", "slow", "very slow"],
)
def test_a_row_of_samples_ends_when_it_has_a_quick_answer_or_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, answers_in_ns: int, least: int, most: int
) -> None:
    now_ns = 1
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    sink, sent = console()
    sink.console(now_ns, b"B host\n")
    while sent:
        sent.clear()
        now_ns += answers_in_ns
        with contextlib.suppress(RuntimeError):  # a pause needs an event loop: the row is over
            sink.console(now_ns, b"t\nS 1 2 3 - - 4\n")
    assert least <= len(sink.sent_ns) <= most


def test_a_row_without_a_quick_answer_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {delay_ns: questions(delay_ns, monkeypatch) for delay_ns in (100_000, 10_000_000)}
    assert asked[100_000] == 100 + 4 + 100
    row = LONG_ROW_NS // 10_000_000 + 1
    assert asked[10_000_000] == row + 4 + row + ROWS_AGAIN * (1 + row)


def questions(answers_in_ns: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a guest is asked that always takes this long; pauses take no time."""
    now_ns, later = 1, []
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    loop = SimpleNamespace(call_later=lambda _s, function, *args: later.append((function, args)))
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    sink, sent = console()
    sink.console(now_ns, b"B host\n")
    while sent[-1] == b"s" or later:
        for function, args in later[:1]:
            later.clear()
            function(*args)
        now_ns += answers_in_ns
        sink.console(now_ns, b"t\nS 1 2 3 - - 4\n")
    monkeypatch.undo()
    return sent.count(b"s")


def test_when_all_samples_are_taken_the_guest_is_told_to_go_on() -> None:
    async def talk() -> list[bytes]:
        sink, sent = console()
        sink.console(0, b"B host\n")
        for _ in PAUSES_MS:
            while not sent:
                await asyncio.sleep(0.001)
            if sent[-1] == b"q":
                break
            sent.clear()
            sink.console(0, b"t\nS 1 2 3 - - 4\n")
        return sent

    assert asyncio.run(talk()) == [b"q"]


def test_a_flood_is_noticed_and_not_kept() -> None:
    sink, _ = console()
    for _ in range(64):
        sink.console(0, b"x" * MAX_BYTES)
    assert sink.overflowed
    assert sink.lines == []


def test_bytes_that_are_no_text_make_lines_all_the_same() -> None:
    sink, _ = console()
    sink.console(0, bytes(range(256)) + b"\n")
    assert len(sink.lines) == 2
