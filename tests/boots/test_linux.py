"""A real Linux under QEMU, told; the oracle is the guest itself: its /sys and its own messages."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu, sample_kernel
from timehands.boot import Booted, Request, boot_request
from timehands.machines.machine import Machine
from timehands.machines.survey import survey
from timehands.machines.vmm import QemuVmm
from timehands.story.model import ClockState, Mark, OutcomeKind
from timehands.watch.recording import Recording

pytestmark = pytest.mark.boot

#: Init lets so long pass between its two readings, instead of a second.
QUICKLY = "timehands_settle_ms=200"


@cache
def tsc_khz() -> int:
    """The TSC's frequency as a survey measures it, in whole MHz."""
    measured = asyncio.run(survey(Machine(), QemuVmm(plugin_qemu()))).tsc
    assert measured is not None
    return round(measured.hz, -6) // 1000


def told() -> tuple[str, str]:
    """Arguments with which Linux runs on its TSC, however busy the host is."""
    return f"tsc_early_khz={tsc_khz()}", "tsc=reliable"


def boot(folder: Path, *arguments: str, **options: object) -> Booted:
    """Boot the sample kernel as a user does; without a survey unless asked for."""
    plugin_qemu()
    wanted = {"survey": False, "folder": folder, **options}
    request = Request(sample_kernel(), arguments=(QUICKLY, *arguments), **wanted)  # type: ignore[arg-type]
    return asyncio.run(boot_request(request))


def said(recording: Recording, name: str) -> str:
    """What init read from /sys at last."""
    prefix = f"timehands: {name} "
    lines = [c.text.removeprefix(prefix) for c in recording.console if c.text.startswith(prefix)]
    assert lines, f"init said nothing of its {name}"
    return lines[-1].strip()


def detected_khz(recording: Recording) -> list[int]:
    """The frequencies of the TSC that Linux printed."""
    pattern = re.compile(r"tsc: Detected (\d+)\.(\d{3}) MHz")
    found = (pattern.search(line.text) for line in recording.console)
    return [int(match[1] + match[2]) for match in found if match]


def test_a_boot_is_told_as_the_guest_itself_tells_it(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", survey=True)
    story, recording = booted.report.story, booted.recording
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert story.selected == said(recording, "clocksource")
    assert story.selected_timer == said(recording, "clockevent")
    available = set(said(recording, "available").split())
    registered = {c.name for c in story.clocks if c.rating is not None}
    assert available <= registered
    seen = [b.at_ns for b in story.boundaries if b.at_ns is not None]
    assert seen == sorted(seen)
    assert [b.name for b in story.boundaries if b.at_ns is None] in ([], [Mark.CLOCK_KNOWN])


def test_the_frequency_is_the_one_that_linux_printed_and_the_survey_measured(
    tmp_path: Path,
) -> None:
    booted = boot(tmp_path / "r", survey=True)
    story, survey = booted.report.story, booted.report.survey
    tsc = story.clock("tsc")
    printed = detected_khz(booted.recording)
    assert survey is not None and survey.tsc is not None and tsc is not None
    if not printed:
        assert tsc.state is ClockState.REJECTED
        assert "TH101" in {finding.code for finding in booted.report.findings}
        return
    assert tsc.frequency_hz is not None
    assert tsc.frequency_hz // 1000 in printed
    # Linux itself accepts what agrees within 500 ppm.
    assert survey.tsc.low_hz * 0.999 <= tsc.frequency_hz <= survey.tsc.high_hz * 1.001


def test_a_frequency_that_is_told_is_the_frequency_that_linux_believes(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told())
    tsc = booted.report.story.clock("tsc")
    assert tsc is not None and tsc.state is ClockState.SELECTED
    assert tsc.frequency_hz == tsc_khz() * 1000
    assert "tsc_early_khz" in tsc.how
    assert said(booted.recording, "clocksource") == "tsc"


def test_without_the_plugin_the_console_tells(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told(), watch=False)
    story = booted.report.story
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert story.selected == said(booted.recording, "clocksource") == "tsc"
    assert booted.report.watching.events == 0
    assert any("console only" in text for text in story.unknown)


@pytest.mark.parametrize(
    "mark", [Mark.FIRST_INSTRUCTION, Mark.KERNEL_ENTRY, Mark.CLOCK_KNOWN, Mark.TIMER_ARMED]
)
def test_a_boot_ends_at_the_boundary_that_was_asked_for(tmp_path: Path, mark: Mark) -> None:
    booted = boot(tmp_path / "r", *told(), until=mark)
    story = booted.report.story
    assert story.outcome.kind is OutcomeKind.STOPPED
    assert booted.recording.header.ended_reason == "boundary"
    assert story.boundary_ns(mark) is not None
    assert story.boundary_ns(Mark.INIT) is None


def test_a_boot_until_init_reaches_init_and_no_further(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told(), until=Mark.INIT)
    assert booted.report.story.outcome.kind is OutcomeKind.INIT_REACHED
    assert not any("monotonic" in line.text for line in booted.recording.console)


def test_a_kernel_without_a_root_panics_and_has_told_its_story(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    booted = boot(tmp_path / "r", *told(), "root=/dev/nothing", disk=disk)
    story = booted.report.story
    assert story.outcome.kind is OutcomeKind.PANICKED
    assert "Unable to mount root fs" in story.outcome.text
    assert booted.recording.header.ended_reason == "guest-reset"
    assert story.selected in {"tsc-early", "tsc"}
    assert story.boundary_ns(Mark.INIT) is None


def test_a_kernel_that_moves_itself_is_found(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told(), kaslr=True)
    assert booted.report.kernel.entry == "bzImage"
    assert booted.report.story.outcome.kind is OutcomeKind.INIT_REACHED
    assert booted.report.story.selected == said(booted.recording, "clocksource")


def test_the_command_of_a_dry_run_boots_when_it_is_pasted(tmp_path: Path) -> None:
    kernel = sample_kernel()
    plugin_qemu()
    words = [sys.executable, "-m", "timehands", "boot", str(kernel), "--dry-run"]
    shown = subprocess.run(
        [*words, "--append", QUICKLY], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    pasted = subprocess.run(
        ["sh", "-c", shown], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60, check=True,
    )  # fmt: skip
    console = pasted.stdout.decode(errors="replace")
    assert "Linux version" in console
    assert "timehands: clocksource" in console


def test_a_recording_is_told_again_without_guest_and_kernel(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told())
    from timehands.boot import open_recording

    again = open_recording(tmp_path / "r")
    assert again.report == booted.report


def test_the_default_machine_is_the_one_that_is_recorded(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", until=Mark.KERNEL_ENTRY)
    assert booted.report.machine == Machine()
    assert booted.recording.header.command[0].endswith("qemu-system-x86_64")
