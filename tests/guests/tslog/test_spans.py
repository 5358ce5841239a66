"""What ran in what, from logs that are whole and logs that are not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.guests.tslog import Record, Tslog, What, spans
from timehands.story.model import LogSpan

HZ = 1_000_000_000
MAIN = 0xFFFF_FFFF_8000_1000
OTHER = 0xFFFF_F800_0000_2000


def log(*records: tuple[int, str, int, str] | tuple[int, str, int, str, str]) -> Tslog:
    """A log of (thread, what, tsc, name and perhaps detail)."""
    made = tuple(Record(r[0], What[r[1]], r[2], r[3], *r[4:]) for r in records)
    return Tslog(made, len(made))


def short(found: tuple[LogSpan, ...]) -> list[tuple[str, int, int | None, int]]:
    """Each span without its thread."""
    return [(span.name, span.start_ns, span.end_ns, span.depth) for span in found]


def test_spans_are_nested_in_ns_since_the_first_record() -> None:
    found = spans(
        log(
            (MAIN, "ENTER", 1000, "mi_startup"),
            (MAIN, "ENTER", 1300, "SYSINIT", "vm_mem"),
            (MAIN, "EXIT", 1600, "SYSINIT", "vm_mem"),
            (MAIN, "ENTER", 1900, "DELAY"),
        ),
        3 * HZ,
    )
    assert short(found) == [
        ("mi_startup", 0, None, 0),
        ("SYSINIT", 100, 200, 1),
        ("DELAY", 300, None, 1),
    ]
    assert found[1].detail == "vm_mem"
    assert {span.thread for span in found} == {"thread0"}


def test_each_thread_nests_by_itself_and_bears_its_name() -> None:
    found = spans(
        log(
            (MAIN, "ENTER", 0, "a"),
            (OTHER, "THREAD", 5, "pagedaemon"),
            (OTHER, "ENTER", 10, "b"),
            (MAIN, "EXIT", 20, "a"),
            (OTHER, "EXIT", 30, "b"),
        ),
        HZ,
    )
    assert [(span.thread, span.name, span.depth) for span in found] == [
        ("thread0", "a", 0),
        ("pagedaemon", "b", 0),
    ]


def test_threads_of_one_name_are_told_apart() -> None:
    records = []
    for thread in (OTHER, OTHER + 16):
        records += [(thread, "THREAD", 0, "worker"), (thread, "ENTER", 1, "f")]
    assert [span.thread for span in spans(log(*records), HZ)] == [
        f"worker ({OTHER:#x})",
        f"worker ({OTHER + 16:#x})",
    ]


def test_numbers_of_netbsd_s_lwps_are_threads() -> None:
    assert spans(log((1, "ENTER", 0, "main"), (7, "ENTER", 1, "f")), HZ)[1].thread == "lwp 7"


def test_before_the_current_thread_is_known_it_is_the_first_one() -> None:
    found = spans(
        log((MAIN, "ENTER", 0, "a"), (0x0901_0102_464C_457F, "ENTER", 1, "b"), (0, "EXIT", 2, "b")),
        HZ,
    )
    assert short(found) == [("a", 0, None, 0), ("b", 1, 2, 1)]


def test_what_was_left_without_a_word_ends_with_what_is_around_it() -> None:
    found = spans(log((MAIN, "ENTER", 0, "a"), (MAIN, "ENTER", 1, "b"), (MAIN, "EXIT", 9, "a")), HZ)
    assert short(found) == [("a", 0, 9, 0), ("b", 1, 9, 1)]


def test_what_was_left_and_never_entered_changes_nothing() -> None:
    found = spans(log((MAIN, "ENTER", 0, "a"), (MAIN, "EXIT", 5, "z"), (MAIN, "EXIT", 9, "a")), HZ)
    assert short(found) == [("a", 0, 9, 0)]


def test_waits_are_spans_and_other_events_moments() -> None:
    found = spans(
        log(
            (MAIN, "EVENT", 0, "HOLD", "root"),
            (MAIN, "EVENT", 2, "WAIT", "disk"),
            (MAIN, "EVENT", 8, "UNWAIT", "disk"),
        ),
        HZ,
    )
    assert short(found) == [("HOLD", 0, 0, 0), ("WAIT", 2, 8, 0)]


def test_a_tsc_that_was_set_back_goes_on_and_one_a_little_behind_stands_still() -> None:
    found = spans(
        log(
            (MAIN, "ENTER", 5 * HZ, "a"),
            (OTHER, "ENTER", 5 * HZ - 100, "b"),
            (MAIN, "ENTER", 6 * HZ, "c"),
            (MAIN, "ENTER", 1000, "d"),
            (MAIN, "ENTER", 2000, "e"),
        ),
        HZ,
    )
    assert [span.start_ns for span in found] == [0, 0, HZ, HZ, HZ + 1000]


def test_an_empty_log_has_no_spans_and_no_frequency_is_refused() -> None:
    assert spans(Tslog((), 0), HZ) == ()
    with pytest.raises(ValueError, match="frequency"):
        spans(Tslog((), 0), 0)


def test_a_log_that_never_leaves_what_it_enters_takes_no_longer() -> None:
    deep = [(MAIN, "ENTER", n, "a") for n in range(50_000)]
    astray = [(MAIN, "EXIT", 50_000 + n, "b") for n in range(50_000)]
    assert len(spans(log(*deep, *astray), HZ)) == 50_000


RECORDS = st.builds(
    Record,
    st.sampled_from([MAIN, OTHER, 0, 7]),
    st.sampled_from(What),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from(["a", "b", "WAIT", "UNWAIT"]),
    st.none() | st.just("x"),
)


@given(st.lists(RECORDS, max_size=40), st.integers(1, 10 * HZ))
def test_any_log_gives_spans_that_lie_in_each_other(records: list[Record], hz: int) -> None:
    found = spans(Tslog(tuple(records), len(records)), hz)
    assert all(a.start_ns <= b.start_ns for a, b in itertools.pairwise(found))
    for thread in {span.thread for span in found}:
        around: list[LogSpan] = []
        for span in (one for one in found if one.thread == thread):
            del around[span.depth :]
            assert len(around) == span.depth
            assert span.end_ns is None or span.end_ns >= span.start_ns
            if around and around[-1].end_ns is not None:
                assert span.end_ns is not None
                assert span.end_ns <= around[-1].end_ns
            around.append(span)
