"""The words of a report that the terminal and the HTML page share: facts in, short phrases out.

Text that a guest or a kernel file wrote is made harmless here; what is returned can be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from timehands.findings.model import Finding, Fix, Proof, Trial, Verdict
from timehands.machines.machine import Machine
from timehands.reports.model import Report
from timehands.reports.plain import clipped, harmless
from timehands.reports.units import byte_size, count, duration, hz, ms, percent, ppm
from timehands.reports.verdict import BAD, system
from timehands.story.model import (
    ClockRole,
    Outcome,
    Rate,
    References,
    Span,
    SpanKind,
    Story,
    WallClock,
)
from timehands.watch.entered import Entered
from timehands.watch.recording import KernelIdentity, Watching

ROLES = {ClockRole.SOURCE: "time", ClockRole.EVENTS: "timers", ClockRole.WALL: "date"}
KINDS = {
    SpanKind.MACHINE: "starting the machine",
    SpanKind.FIRMWARE: "firmware and decompression",
    SpanKind.CALIBRATION: "calibrating clocks",
    SpanKind.CLOCK: "other work on clocks",
    SpanKind.DEVICE: "waiting for devices",
    SpanKind.KERNEL: "the rest of the kernel",
    SpanKind.USER: "after init",
}
_VERDICTS = {Verdict.FAILED: "did not start", Verdict.UNCHANGED: "no change"}
#: Two wall clocks that agree within a second agree: an RTC counts whole seconds.
_WALL_NS = 10**9


def kernel(identity: KernelIdentity) -> str:
    """What the kernel file is: system, version, format, symbols, types."""
    name = clipped(harmless(f"{system(identity.os)} {identity.version}".strip()), 90)
    parts = [name, harmless(identity.format, 40)]
    if identity.entry:
        parts.append(f"entry {harmless(identity.entry, 40)}")
    if identity.symbol_source:
        parts.append(f"{count(identity.symbols)} symbols ({harmless(identity.symbol_source, 40)})")
    else:
        parts.append("no symbols")
    types = [harmless(name, 20).upper() for name in identity.types[:4]]
    if identity.debug_file:
        where = harmless(PurePath(identity.debug_file).name, 40)
        types = [f"DWARF in {where}" if one == "DWARF" else one for one in types]
    parts += types
    return ", ".join([*parts, "ORC"] if identity.orc else parts)


def kernel_file(identity: KernelIdentity) -> str:
    """Which file it was: path, size, the start of its SHA-256; where its DWARF is, if elsewhere."""
    digest = harmless(identity.sha256, 64)[:16]
    text = f"{harmless(identity.path)} ({byte_size(identity.size)}, sha256 {digest})"
    return f"{text}, DWARF in {harmless(identity.debug_file)}" if identity.debug_file else text


def machine(report: Report) -> str:
    """The machine, and the QEMU that made it, or that it was our own monitor."""
    if report.machine.type == "monitor":
        return f"Timehands {harmless(str(report.machine), 400)}"
    version = f"QEMU {harmless(report.qemu_version, 40)}" if report.qemu_version else "QEMU"
    return f"{version} {harmless(str(report.machine), 400)}"


def one_boot(machine: Machine) -> str:
    """What a row of a proof is worth on this machine."""
    if machine.deterministic:
        return "one boot each, that comes out the same again"
    return "one boot each: what hangs on the host's load may come out otherwise"


def ended(outcome: Outcome) -> str:
    """How a boot ended that did not end well, in full; empty for one that reached its end."""
    if outcome.kind not in BAD:
        return ""
    told = outcome.where is None or outcome.where in outcome.text
    where = "" if told else f", in {harmless(outcome.where or '', 120)}"
    text = clipped(harmless(outcome.text), 400) or str(outcome.kind)
    return f"{text}{where} {references(outcome.evidence)}".rstrip()


def references(found: References, shown: int = 4) -> str:
    """``[e412, c37]``; of many the first and the last: ``[e412 ... e980, 57 in all]``."""
    if not found:
        return ""
    if len(found) <= shown:
        return f"[{', '.join(harmless(one, 12) for one in found)}]"
    first, last = harmless(found[0], 12), harmless(found[-1], 12)
    return f"[{first} ... {last}, {count(len(found))} in all]"


def trial_of(fix: Fix, proof: Proof | None) -> Trial | None:
    """The boot with this fix alone; None: that was not tried."""
    return next((t for t in proof.trials if t.fixes == (fix,)), None) if proof else None


def proved(fix: Fix, proof: Proof | None) -> str | None:
    """What booting with this fix alone has shown; None: that was not tried."""
    trial = trial_of(fix, proof)
    return trial_words(trial) if trial else None


def trial_words(trial: Trial) -> str:
    """``mended: tsc selected, 2.500 GHz, boot 171 ms shorter``."""
    if trial.error is not None:
        return f"{_VERDICTS[Verdict.FAILED]}: {clipped(harmless(trial.error), 160)}"
    parts = [f"{harmless(trial.selected, 40)} selected"] if trial.selected else []
    if trial.frequency_hz is not None:
        parts.append(hz(trial.frequency_hz))
    if trial.gained_ns is not None:
        parts.append(gained(trial.gained_ns))
    return f"{verdict_word(trial.verdict)}: {', '.join(parts) or harmless(trial.outcome, 80)}"


def verdict_word(verdict: Verdict) -> str:
    """What a trial showed, in a word or two."""
    return _VERDICTS.get(verdict, str(verdict))


def gained(value_ns: int) -> str:
    """``boot 171 ms shorter``."""
    return f"boot {ms(abs(value_ns))} {'shorter' if value_ns >= 0 else 'longer'}"


def gained_column(value_ns: int | None) -> str:
    """``-171 ms`` for a boot that was 171 ms shorter."""
    if value_ns is None:
        return "unknown"
    return f"{'-' if value_ns > 0 else '+' if value_ns < 0 else ''}{ms(abs(value_ns))}"


def fix_values(fixes: Sequence[Fix]) -> str:
    """The fixes of a trial in one phrase: ``tsc_early_khz=2500000 and +invtsc``."""
    return " and ".join(harmless(fix.value, 120) for fix in fixes) or "no fix"


def cost(finding: Finding) -> str:
    """``cost 158 ms`` or nothing."""
    return f"cost {ms(finding.cost_ns)}" if finding.cost_ns is not None else ""


def rate_words(rate: Rate | None) -> str:
    """How fast guest time ran, as a sandwich: ``between +12 ppm and +90 ppm of host time``."""
    if rate is None:
        return "not measured"
    over = f"(measured over {duration(rate.over_ns)})"
    if rate.low_ppm == rate.high_ppm:
        return f"{ppm(rate.low_ppm)} of host time {over}"
    return f"between {ppm(rate.low_ppm)} and {ppm(rate.high_ppm)} of host time {over}"


def wall_words(wall: WallClock | None) -> str:
    """The guest's time of day at init against the host's."""
    if wall is None:
        return "not seen"
    source = harmless(wall.source, 60)
    if abs(wall.offset_ns) < _WALL_NS:
        return f"from {source}, within 1 s of the host's"
    side = "behind" if wall.offset_ns < 0 else "ahead of"
    return f"from {source}, {duration(abs(wall.offset_ns))} {side} the host's"


def watching_words(watching: Watching) -> str:
    """How it was watched and what that cost."""
    parts = [f"{count(watching.events)} events"]
    if watching.passed_over:
        parts.append(f"{count(watching.passed_over)} more counted, not streamed")
    share = watching.overhead_percent
    if share is None:
        parts.append("cost not known")
    else:
        parts.append(f"the plugin's own code about {percent(share)} of QEMU's CPU time")
    instrument = harmless(watching.instrument, 60) or "an instrument not named"
    return f"Watched with {instrument}: {', '.join(parts)}"


def entered_words(entered: Entered) -> str:
    """How often a chosen function was entered, and by whom first."""
    if entered.first_ns is None or entered.caller is None:
        return "never entered"
    times = "once" if entered.times == 1 else f"{entered.times:,} times"
    first = "" if entered.times == 1 else "first "
    more = "; then it was watched no longer" if entered.let_be else ""
    by = harmless(entered.caller, 80)
    return f"entered {times}, {first}after {duration(entered.first_ns)} by {by}{more}"


def command_of(report: Report) -> str | None:
    """How to see this report again without the guest."""
    return f"timehands report {harmless(report.recording)}" if report.recording else None


def has_more(story: Story) -> bool:
    """Whether there is more on clocks than a short report says."""
    return bool(story.messages or story.facts or story.delay or story.tslog)


@dataclass(frozen=True, slots=True)
class Share:
    """A stretch of the boot in the list of where time went; ``part`` of the whole, 0 to 1."""

    name: str
    kind: SpanKind
    depth: int
    duration_ns: int
    part: float


def where_time_went(story: Story, most: int = 8) -> list[Share]:
    """The longest spans of depth 0 and 1 in the order of time; what is below 0.5 % is left out."""
    spans = [span for span in story.spans if span.depth in (0, 1) and span.duration_ns > 0]
    whole = sum(span.duration_ns for span in spans if span.depth == 0)
    if not whole:
        return []
    kept = sorted(spans, key=lambda s: s.duration_ns, reverse=True)[:most]
    kept = [span for span in kept if span.duration_ns * 200 >= whole]
    kept.sort(key=lambda s: (s.start_ns, s.depth))
    return [_share(span, whole) for span in kept]


def _share(span: Span, whole_ns: int) -> Share:
    part = min(1.0, span.duration_ns / whole_ns)
    return Share(harmless(span.name, 80), span.kind, span.depth, span.duration_ns, part)


def by_kind(spans: Iterable[Span]) -> list[tuple[SpanKind, int]]:
    """Where time went by kind, in ns, the largest first.

    Each moment counts for the deepest span that it lies in: what a span holds is taken off it.
    """
    ordered = sorted(spans, key=lambda s: (s.start_ns, s.depth))
    own: dict[int, int] = {}
    open_spans: list[int] = []
    for i, span in enumerate(ordered):
        while open_spans and not _within(span, ordered[open_spans[-1]]):
            open_spans.pop()
        if open_spans:
            own[open_spans[-1]] -= span.duration_ns
        own[i] = span.duration_ns
        open_spans.append(i)
    totals: dict[SpanKind, int] = {}
    for i, length_ns in own.items():
        kind = ordered[i].kind
        totals[kind] = totals.get(kind, 0) + max(0, length_ns)
    ranked = sorted(totals.items(), key=lambda item: item[1], reverse=True)
    return [(kind, length_ns) for kind, length_ns in ranked if length_ns]


def _within(inner: Span, outer: Span) -> bool:
    return inner.depth > outer.depth and inner.end_ns <= outer.end_ns
