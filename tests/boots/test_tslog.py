"""The boot log that a kernel keeps of itself, read when its boot was over, and told."""

from __future__ import annotations

import asyncio
import itertools
import re
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu
from boots.test_guest_kernels import ATTIMER, CALIBRATE, EXACT
from guest_kernels.build import Form, guest_kernel
from timehands.boot import Booted, Request, boot, open_recording, prepare, ready_payloads
from timehands.guests.freebsd import EARLY_DELAY_PATCH
from timehands.guests.tslog import log_of
from timehands.story.model import LogSpan

pytestmark = pytest.mark.boot

#: What mi_startup of the test kernel goes through, in its order.
SYSINITS = [
    "cpu_startup", "apic_setup_local", "init_TSC_tc", "configure", "initclocks",
    "inittimecounter", "check_list", "vfs_mountroot",
]  # fmt: skip
#: The kernel measures by the i8254, whose count is up to one tick behind.
TICK_NS = 10**9 // 1_193_182 + 1


def booted(folder: Path, form: Form, *words: str, patches: tuple[str, ...] = ()) -> Booted:
    """The test kernel's boot. Instructions are counted: its TSC has exactly 1 GHz."""
    request = Request(
        guest_kernel("freebsd", form),
        EXACT,
        arguments=words,
        folder=folder,
        timeout_s=30,
        patches=patches,
        qemu=Path(plugin_qemu()),
    )
    prepared = prepare(request)
    ready_payloads(prepared)
    return asyncio.run(boot(prepared))


def within(inner: LogSpan, outer: LogSpan) -> bool:
    """Whether one span lies in another; one without an end is not over."""
    if outer.end_ns is None:
        return inner.start_ns >= outer.start_ns
    ended = inner.end_ns is not None and inner.end_ns <= outer.end_ns
    return inner.start_ns >= outer.start_ns and ended


@pytest.mark.parametrize("form", ["dwarf", "symbols"])
def test_the_log_of_a_kernel_that_waits_at_its_prompt_is_told(form: Form, tmp_path: Path) -> None:
    words = (CALIBRATE, *ATTIMER)
    found = booted(tmp_path / "r", form, *words, patches=(EARLY_DELAY_PATCH,))
    spans = found.report.story.tslog
    inits = [span for span in spans if span.name == "SYSINIT"]
    assert [span.detail for span in inits] == SYSINITS
    *over, waiting = inits
    assert all(span.end_ns is not None for span in over)
    assert waiting.end_ns is None, "nobody answers at mountroot>"
    pairs = itertools.pairwise(inits)
    assert all(one.end_ns is not None and one.end_ns <= two.start_ns for one, two in pairs)
    (startup,) = (span for span in spans if span.name == "mi_startup")
    assert startup.depth == inits[0].depth - 1
    assert all(within(span, startup) for span in inits)
    assert open_recording(found.recording.folder).report.story.tslog == spans


def test_a_calibration_s_span_holds_what_the_kernel_measured_of_it(tmp_path: Path) -> None:
    words = (CALIBRATE, *ATTIMER)
    found = booted(tmp_path / "r", "dwarf", *words, patches=(EARLY_DELAY_PATCH,))
    console = "\n".join(line.text for line in found.recording.console)
    (took_us,) = re.findall(r"Statistical TSC calibration took (\d+) us", console)
    spans = found.report.story.tslog
    (span,) = (s for s in spans if (s.name, s.detail) == ("clockcalib", "TSC"))
    (around,) = (s for s in spans if s.detail == "initclocks")
    assert span.end_ns is not None and within(span, around)
    assert int(took_us) * 1000 - TICK_NS <= span.end_ns - span.start_ns
    log = log_of(found.recording)
    assert log is not None
    tscs = [record.tsc for record in log.records]
    assert tscs == sorted(tscs)
    assert (log.damaged, log.written) == (0, len(log.records))


def test_a_kernel_that_died_has_told_how_far_it_came(tmp_path: Path) -> None:
    found = booted(tmp_path / "r", "dwarf")
    still = [span for span in found.report.story.tslog if span.end_ns is None]
    assert [span.name for span in still] == ["mi_startup", "SYSINIT", "DELAY"]
    assert still[1].detail == "configure"
    assert [span.depth for span in still] == [0, 1, 2]
