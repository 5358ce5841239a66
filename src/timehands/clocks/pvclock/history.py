"""Pages over time: what was wrong between one sample and the next.

A log has one JSON object a line: ``page`` (64 hex digits), ``tsc`` (the guest's TSC when the page
was read), and if known ``host_ns`` (the host's clock then, any that never steps) and ``vcpu`` (0).
Numbers are JSON integers or text (``"0x6f6b4b1f2ae"``). Lines are in the order of time. Anything
else in a log is a verdict, never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from timehands.clocks.pvclock.check import check_time_info
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.clocks.pvclock.numbers import MASK_32, MASK_64, TIME_INFO_SIZE, Flags
from timehands.clocks.pvclock.reading import cycles_since, nanoseconds
from timehands.clocks.pvclock.verdicts import Verdict

#: What NTP may make good (Linux MAXFREQ, include/linux/timex.h), in ppm.
NTP_PPM = 500
_HALF = 1 << 63


@dataclass(frozen=True, slots=True)
class Sample:
    """A page as it was at one moment: the guest's TSC then, and the host's clock if known."""

    tsc: int
    page: bytes
    host_ns: int | None = None
    vcpu: int = 0
    line: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What a log says: how many samples, how many different pages, verdicts.

    ``rate_ppb`` is how much faster the guest's clock ran than the host's, from the first sample
    that can be read to the last; None when host times are missing.
    """

    samples: int
    pages: int
    rate_ppb: int | None
    verdicts: tuple[Verdict, ...]


def parse_samples(lines: Iterable[str]) -> Iterator[Sample | Verdict]:
    """The samples of a log, and PV214 for each line that is none; empty lines are skipped."""
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            yield _sample(json.loads(text), number)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            yield Verdict("PV214", f"line {number}: {_reason(error)}", line=number)


def page_sample(page: bytes, number: int) -> Sample | Verdict:
    """A page of which it is not known when it was read: taken as read at its own timestamp.

    ``number`` counts the pages from 1. One that is too short is a verdict.
    """
    if len(page) < TIME_INFO_SIZE:
        return Verdict("PV101", f"page {number}: {len(page)} of {TIME_INFO_SIZE} bytes")
    info = TimeInfo.parse(page)
    return Sample(info.tsc_timestamp, page[:TIME_INFO_SIZE], line=number)


def check_history(samples: Iterable[Sample | Verdict]) -> History:
    """Judge samples in the order of time, of one vCPU or of several. Bounded memory."""
    judge = _Judge()
    for sample in samples:
        if isinstance(sample, Verdict):
            judge.note(sample)
        else:
            judge.take(sample)
    return judge.end()


def _sample(data: Any, line: int) -> Sample:
    if not isinstance(data, Mapping):
        raise TypeError("not an object")
    page = data["page"]
    if not isinstance(page, str):
        raise TypeError("page is not hex digits in quotes")
    raw = bytes.fromhex(page.removeprefix("0x"))
    if len(raw) < TIME_INFO_SIZE:
        raise ValueError(f"page has {len(raw)} bytes, not {TIME_INFO_SIZE}")
    host_ns = data.get("host_ns")
    return Sample(
        _number("tsc", data["tsc"], MASK_64),
        raw[:TIME_INFO_SIZE],
        None if host_ns is None else _number("host_ns", host_ns, MASK_64),
        _number("vcpu", data.get("vcpu", 0), 4096),
        line,
    )


def _number(name: str, value: object, limit: int) -> int:
    if isinstance(value, str) and len(value) <= 40:
        value = int(value, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise ValueError(f"{name} is not an integer from 0 to {limit:,}")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "too deeply nested" if isinstance(error, RecursionError) else str(error)[:200]


@dataclass(slots=True)
class _Judge:
    """Goes from sample to sample; keeps the last one of each vCPU and one verdict of each kind."""

    samples: int = 0
    pages: int = 0
    even: int = 0
    found: dict[str, Verdict] = field(default_factory=dict)
    last: dict[int, Sample] = field(default_factory=dict)
    #: The first and the last sample with a host time, as (host ns, guest ns).
    ends: list[tuple[int, int]] = field(default_factory=list)
    #: The last reading of any vCPU: ns, vCPU.
    reading: tuple[int, int] | None = None

    def note(self, verdict: Verdict) -> None:
        """Keep the worst of a kind, and count them."""
        known = self.found.get(verdict.code)
        if known is None:
            self.found[verdict.code] = verdict
            return
        kept = verdict if (verdict.ns or 0) > (known.ns or 0) else known
        self.found[verdict.code] = replace(kept, count=known.count + 1)

    def take(self, sample: Sample) -> None:
        """Judge one more sample."""
        self.samples += 1
        info, before = TimeInfo.parse(sample.page), self.last.get(sample.vcpu)
        self._all(check_time_info(sample.page, sample.tsc), sample)
        if before is not None:
            if sample.tsc < before.tsc:
                text = f"from {before.tsc:,} to {sample.tsc:,} on vCPU {sample.vcpu}"
                self.note(Verdict("PV204", text, line=sample.line))
            self._all(_between(TimeInfo.parse(before.page), info, sample.tsc), sample)
        self.pages += before is None or before.page != sample.page
        self.last[sample.vcpu] = sample
        if not info.being_written:
            self.even += 1
            self._read(info, sample)

    def end(self) -> History:
        """What all of it comes to."""
        if not self.samples:
            self.note(Verdict("PV215", "the log holds no sample"))
        elif not self.even:
            self.note(Verdict("PV203", f"all {self.samples:,} samples are odd"))
        ppb = self._rate_ppb()
        if ppb is not None and abs(ppb) > NTP_PPM * 1000:
            self.note(Verdict("PV212", f"{ppb / 1000:+,.3f} ppm against the host's clock"))
        ordered = tuple(self.found[code] for code in sorted(self.found))
        return History(self.samples, self.pages, ppb, ordered)

    def _all(self, verdicts: Iterable[Verdict], sample: Sample) -> None:
        for verdict in verdicts:
            self.note(replace(verdict, line=sample.line))

    def _read(self, info: TimeInfo, sample: Sample) -> None:
        """What a guest reads now, held against what was read before on whatever vCPU."""
        ns = nanoseconds(info, sample.tsc)
        if self.reading is not None and ns < self.reading[0]:
            before_ns, vcpu = self.reading
            back = before_ns - ns
            text = f"by {back:,} ns, from vCPU {vcpu} to vCPU {sample.vcpu}"
            self.note(Verdict("PV211", text, back, sample.line))
        self.reading = ns, sample.vcpu
        if sample.host_ns is not None:
            self.ends = [*self.ends[:1], (sample.host_ns, ns)]

    def _rate_ppb(self) -> int | None:
        if len(self.ends) < 2:
            return None
        (host_0, guest_0), (host_1, guest_1) = self.ends
        passed = host_1 - host_0
        return (guest_1 - guest_0 - passed) * 10**9 // passed if passed > 0 else None


def _between(old: TimeInfo, new: TimeInfo, tsc: int) -> Iterator[Verdict]:
    """What is wrong between two pages of one vCPU, the second sampled later, at ``tsc``."""
    if new == old:
        return
    if new.version == old.version:
        if _without_stopped(new) != _without_stopped(old):
            yield Verdict("PV202", f"two pages of version {old.version:,}")
    elif (new.version - old.version) & MASK_32 > MASK_32 >> 1:
        yield Verdict("PV201", f"from {old.version:,} to {new.version:,}")
    if not (new.being_written or old.being_written):
        yield from _whole(old, new, tsc)


def _without_stopped(info: TimeInfo) -> TimeInfo:
    """The guest itself clears this bit, and leaves the version."""
    return replace(info, flags=info.flags & ~int(Flags.GUEST_STOPPED))


def _whole(old: TimeInfo, new: TimeInfo, tsc: int) -> Iterator[Verdict]:
    """Two pages that were not being written."""
    if new.scale != old.scale:
        yield _scales(old, new, tsc)
    if old.stable and not new.stable:
        yield Verdict("PV210", f"at version {new.version:,}")
    if new.system_time < old.system_time:
        back = old.system_time - new.system_time
        yield Verdict("PV205", f"by {back:,} ns", back)
    if cycles_since(old, new.tsc_timestamp) >= _HALF:
        back = (old.tsc_timestamp - new.tsc_timestamp) & MASK_64
        yield Verdict("PV213", f"by {back:,} cycles")
        return
    step = _step_ns(old, new, new.tsc_timestamp)
    if step:
        yield Verdict("PV206" if step < 0 else "PV207", f"by {abs(step):,} ns", abs(step))


def _scales(old: TimeInfo, new: TimeInfo, tsc: int) -> Verdict:
    """Other factors: with the timestamps, as it should be, or in place."""
    text = f"from mul {old.scale.mul:,} shift {old.scale.shift} to mul {new.scale.mul:,} shift "
    text += str(new.scale.shift)
    if (new.tsc_timestamp, new.system_time) != (old.tsc_timestamp, old.system_time):
        return Verdict("PV209", text)
    step = _step_ns(old, new, tsc)
    return Verdict("PV208", f"{text}: at the sample's TSC {step:+,} ns", abs(step))


def _step_ns(old: TimeInfo, new: TimeInfo, tsc: int) -> int:
    """How much later the new page says it is, at one TSC (s64)."""
    step = (nanoseconds(new, tsc) - nanoseconds(old, tsc)) & MASK_64
    return step - (1 << 64) if step >= _HALF else step
