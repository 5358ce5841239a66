"""OpenBSD's story on the real QEMU: of a test kernel only.

A real OpenBSD kernel has no PVH entry; ``TIMEHANDS_OPENBSD_KERNEL`` may name one, which is then
held to be refused in plain words.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu
from guest_kernels.build import Form, guest_kernel
from timehands.boot import Booted, Request, boot_request, prepare
from timehands.errors import UsageError
from timehands.kernels.kernel import Kernel
from timehands.machines.machine import Machine
from timehands.story.model import ClockRole, Mark, OutcomeKind

pytestmark = pytest.mark.boot

#: Instructions are counted, so that the TSC has exactly 1 GHz, and a busy host changes nothing.
EXACT = Machine(deterministic=True)
GHZ = 1_000_000_000
REAL = "TIMEHANDS_OPENBSD_KERNEL"


def boot(folder: Path, kernel: Path, *words: str, **options: object) -> Booted:
    """Boot as a user does, without a survey."""
    plugin_qemu()
    wanted = {"machine": EXACT, "survey": False, "folder": folder, **options}
    return asyncio.run(boot_request(Request(kernel, arguments=words, **wanted)))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["dwarf", "symbols"])
def test_its_clocks_are_seen_though_it_prints_none(tmp_path: Path, form: Form) -> None:
    story = boot(tmp_path / "recording", guest_kernel("openbsd", form)).report.story
    assert story.selected == "i8254"
    tsc = story.clock("tsc")
    assert tsc and tsc.rating == -1000 and abs((tsc.frequency_hz or 0) - GHZ) * 1000 <= GHZ
    assert tsc.steps[-1].what == "not selected: its quality -1000 is negative"
    backtrace = next(s.backtrace for s in tsc.steps if s.what.startswith("registered"))
    assert backtrace[0] == "tsc_timecounter_init" and "main" in backtrace
    facts = {fact.name: fact.value for fact in story.facts}
    assert facts["timecounters"] == "tsc, i8254, dummy"
    assert facts["delay_func"] == "i8254_delay"


def test_the_question_for_a_root_device_is_its_end(tmp_path: Path) -> None:
    story = boot(tmp_path / "recording", guest_kernel("openbsd")).report.story
    init = next(b for b in story.boundaries if b.name is Mark.INIT)
    assert (init.how, story.outcome.kind) == ("root device:", OutcomeKind.INIT_REACHED)


def test_without_symbols_the_instructions_tell(tmp_path: Path) -> None:
    story = boot(tmp_path / "recording", guest_kernel("openbsd", "stripped")).report.story
    assert story.selected is None
    assert {c.name for c in story.clocks if c.role is ClockRole.SOURCE} >= {"tsc", "i8254"}
    assert any("does not print its timecounters" in text for text in story.unknown)


def test_a_panic_is_told(tmp_path: Path) -> None:
    outcome = boot(tmp_path / "recording", guest_kernel("openbsd"), "assert=1").report.story.outcome
    assert outcome.kind is OutcomeKind.PANICKED and "assertion" in outcome.text


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no kernel")
def test_a_real_kernel_without_pvh_is_refused_in_plain_words() -> None:
    kernel = Path(os.environ[REAL])
    assert Kernel.open(kernel).os == "openbsd"
    with pytest.raises(UsageError, match="no PVH entry") as refused:
        prepare(Request(kernel))
    assert "boot(8)" in (refused.value.advice or "")
