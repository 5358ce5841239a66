"""What ran in what, and for how long, from a TSLOG: for the timeline and for flame charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from timehands.guests.tslog.log import KERNEL_HALF, Record, Tslog, What
from timehands.story.model import LogSpan

NS_PER_S: Final = 1_000_000_000
#: A TSC that goes back by more than this part of a second was set back; by less, two vCPUs' TSCs
#: differ, or a record was written after one that is younger.
_SET_BACK: Final = 100
#: Events that begin and end something, FreeBSD's TSWAIT and TSUNWAIT.
_BEGINS: Final = "WAIT"
_ENDS: Final = "UNWAIT"


def spans(log: Tslog, tsc_hz: int) -> tuple[LogSpan, ...]:
    """The log's spans by their start, each thread's nested by ``depth``, in ns since its first
    record.

    A span that was left without a word ends with the one around it; one that was left but never
    entered is left out; one that is still under way has no end. A wait (event WAIT to UNWAIT) is a
    span of that name, any other event one without length. Time never goes back: where the TSC does
    a little it stands still, and where it was set back it goes on from there.

    Args:
        log: as the kernel wrote it.
        tsc_hz: the frequency of the TSC, above 0.

    Raises:
        ValueError: it is not.
    """
    if tsc_hz <= 0:
        raise ValueError("the TSC's frequency must be above 0")
    book = _Book()
    threads = _threads(log)
    for record, cycles, thread in zip(log.records, _cycles(log, tsc_hz), threads, strict=True):
        book.note(record, cycles * NS_PER_S // tsc_hz, thread)
    return book.spans(_labels(log, threads))


def _cycles(log: Tslog, tsc_hz: int) -> Iterable[int]:
    """Each record's TSC since the first, never going back."""
    offset, last = 0, 0
    for number, record in enumerate(log.records):
        if number == 0:
            offset = -record.tsc
        now = record.tsc + offset
        if last - now > tsc_hz // _SET_BACK:
            offset += last - now
        last = max(last, record.tsc + offset)
        yield last


def _threads(log: Tslog) -> list[int]:
    """Each record's thread. Before FreeBSD knows its current thread it writes whatever lies where
    the pointer will be; it is the first thread that runs then."""
    pointers = log.pointers
    first = next((r.thread for r in log.records if r.thread >= KERNEL_HALF), 0)
    return [r.thread if not pointers or r.thread >= KERNEL_HALF else first for r in log.records]


def _labels(log: Tslog, threads: list[int]) -> dict[int, str]:
    """What each thread is called: its name, with its number where others have the same."""
    bare = {thread: f"{thread:#x}" if log.pointers else f"lwp {thread}" for thread in threads}
    if log.pointers and threads:
        bare[threads[0]] = "thread0"
    named = {
        thread: record.name
        for record, thread in zip(log.records, threads, strict=True)
        if record.what is What.THREAD
    }
    names = {**bare, **named}
    often = Counter(names.values())
    return {
        thread: name if often[name] == 1 else f"{name} ({thread:#x})"
        for thread, name in names.items()
    }


@dataclass(slots=True)
class _Span:
    """A span in the making."""

    thread: int
    name: str
    detail: str
    start_ns: int
    depth: int
    end_ns: int | None = None


@dataclass(slots=True)
class _Stack:
    """What is under way in one thread, and how often each name is."""

    spans: list[_Span] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)


class _Book:
    """The spans of a log, as its records come."""

    def __init__(self) -> None:
        self._spans: list[_Span] = []
        self._stacks: dict[int, _Stack] = {}

    def note(self, record: Record, at_ns: int, thread: int) -> None:
        """The next record."""
        stack = self._stacks.setdefault(thread, _Stack())
        detail = record.detail or ""
        if record.what is What.ENTER:
            self._enter(stack, _Span(thread, record.name, detail, at_ns, len(stack.spans)))
        elif record.what is What.EXIT:
            _leave(stack, record.name, at_ns)
        elif record.what is What.EVENT and record.name == _BEGINS:
            self._enter(stack, _Span(thread, _BEGINS, detail, at_ns, len(stack.spans)))
        elif record.what is What.EVENT and record.name == _ENDS:
            _leave(stack, _BEGINS, at_ns)
        elif record.what is What.EVENT:
            span = _Span(thread, record.name, detail, at_ns, len(stack.spans), at_ns)
            self._spans.append(span)

    def _enter(self, stack: _Stack, span: _Span) -> None:
        self._spans.append(span)
        stack.spans.append(span)
        stack.names[span.name] += 1

    def spans(self, labels: dict[int, str]) -> tuple[LogSpan, ...]:
        """All of them, with their threads' names."""
        return tuple(
            LogSpan(labels[s.thread], s.name, s.start_ns, s.end_ns, s.depth, s.detail)
            for s in self._spans
        )


def _leave(stack: _Stack, name: str, at_ns: int) -> None:
    """The innermost span of a name ends, and with it those inside; nothing when there is none."""
    while stack.names[name] > 0:
        span = stack.spans.pop()
        stack.names[span.name] -= 1
        span.end_ns = at_ns
        if span.name == name:
            return
