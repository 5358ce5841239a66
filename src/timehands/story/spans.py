"""Where the time of a boot went: the stretches between boundaries, and the calls within them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from timehands.story.model import Boundary, Mark, Span, SpanKind
from timehands.watch.recording import Recording
from timehands.watch.records import Event, Kind

SHORTEST_SPAN_NS = 1_000_000
MAX_SPANS = 400


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a watched function on one vCPU. ``left`` None: it was never left."""

    name: str
    entered: Event
    left: Event | None
    depth: int
    end_ns: int

    @property
    def start_ns(self) -> int:
        """Host ns of the entry."""
        return self.entered.host_ns

    @property
    def duration_ns(self) -> int:
        """Host ns from entry to return."""
        return self.end_ns - self.entered.host_ns

    @property
    def result(self) -> int | None:
        """What it returned (rax); None when it did not, or left by a jump to another function."""
        return self.left.values[1] if self.left and not self.left.no_result else None


def calls_of(recording: Recording) -> tuple[Call, ...]:
    """The calls of all functions whose return is watched too, in the order of their entries.

    One whose return was not seen ends where the call around it ends, or with the recording.
    """
    points = frozenset(recording.header.points)
    last = recording.header.ended_ns or max((e.host_ns for e in recording.events), default=0)
    stacks: dict[int, _Stack] = {}
    calls: list[Call] = []
    for event in recording.events:
        name = recording.function(event)
        if name is None or event.values[0] in points:
            continue
        own = stacks.setdefault(event.vcpu, _Stack())
        if event.kind is Kind.ENTER:
            own.push(name, event)
        elif stack := next((s for s in (own, *stacks.values()) if s.names[name]), None):
            calls += stack.unwind(name, event)
    for stack in stacks.values():
        calls += [Call(n, e, None, depth, last) for depth, (n, e) in enumerate(stack.entries)]
    return tuple(sorted(calls, key=lambda call: call.entered.index))


class _Stack:
    """The open calls of one vCPU. A task may be left on another one than it entered on."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Event]] = []
        self.names: Counter[str] = Counter()

    def push(self, name: str, entered: Event) -> None:
        self.entries.append((name, entered))
        self.names[name] += 1

    def unwind(self, name: str, left: Event) -> Iterable[Call]:
        """Take off the innermost call of that name and what was entered within it."""
        while self.entries:
            top, entered = self.entries.pop()
            self.names[top] -= 1
            found = top == name
            end_ns = max(left.host_ns, entered.host_ns)
            yield Call(top, entered, left if found else None, len(self.entries), end_ns)
            if found:
                return


def open_calls(calls: Iterable[Call], recording: Recording) -> tuple[Call, ...]:
    """The calls that had not ended when the recording did, outermost first."""
    end = recording.header.ended_ns
    return tuple(call for call in calls if call.left is None and call.end_ns == end)


_STRETCHES: tuple[tuple[Mark, str, SpanKind], ...] = (
    (Mark.PROCESS_STARTED, "{} starts", SpanKind.MACHINE),
    (Mark.FIRST_INSTRUCTION, "firmware", SpanKind.FIRMWARE),
    (Mark.KERNEL_ENTRY, "kernel", SpanKind.KERNEL),
    (Mark.INIT, "init", SpanKind.USER),
)


def stretches(boundaries: tuple[Boundary, ...], vmm: str = "QEMU") -> tuple[Span, ...]:
    """The depth 0 spans: the boot cut at the boundaries that were seen.

    ``vmm``: who made the machine (`Machine.vmm`).
    """
    at = {b.name: b.at_ns for b in boundaries if b.at_ns is not None}
    end = at.get(Mark.ENDED)
    seen = [(at[mark], name.format(vmm), kind) for mark, name, kind in _STRETCHES if mark in at]
    ends = [start for start, _, _ in seen[1:]] + ([end] if end is not None else [])
    return tuple(
        Span(name, kind, start, stop)
        for (start, name, kind), stop in zip(seen, ends, strict=False)
        if stop >= start
    )


def call_spans(
    calls: Iterable[Call],
    recording: Recording,
    kind_of: Callable[[Call], SpanKind],
    name_of: Callable[[Call], str],
) -> tuple[Span, ...]:
    """The calls that took at least 1 ms as spans of depth 1 and more, nested by time."""
    spans = [
        Span(
            name_of(call),
            kind_of(call),
            recording.since_start(call.start_ns),
            recording.since_start(call.end_ns),
            evidence=(call.entered.reference, *((call.left.reference,) if call.left else ())),
        )
        for call in calls
        if call.duration_ns >= SHORTEST_SPAN_NS
    ]
    return _nest(sorted(spans, key=lambda s: (s.start_ns, -s.end_ns))[:MAX_SPANS])


def _nest(spans: list[Span]) -> tuple[Span, ...]:
    """Give each span the depth of the spans that it lies within, plus one."""
    nested: list[Span] = []
    around: list[int] = []
    for span in spans:
        while around and around[-1] <= span.start_ns:
            around.pop()
        nested.append(replace(span, depth=len(around) + 1))
        around.append(span.end_ns)
    return tuple(nested)
