"""Other machines, and a kernel that nobody knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from boots.bare_guests import build_guest, plugin_qemu
from boots.test_linux import boot, said, told
from timehands.boot import Request, boot_request
from timehands.machines.machine import Machine
from timehands.story.model import ClockRole, Mark, OutcomeKind

pytestmark = pytest.mark.boot


@pytest.mark.parametrize(
    "machine", [Machine(type="q35"), Machine(type="pc", devices=(("hpet", False),))], ids=str
)
def test_linux_finds_the_clocks_of_a_pc(tmp_path: Path, machine: Machine) -> None:
    booted = boot(tmp_path / "r", *told(), machine=machine)
    story, recording = booted.report.story, booted.recording
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert story.selected == said(recording, "clocksource")
    assert story.selected_timer == said(recording, "clockevent")
    assert set(said(recording, "available").split()) <= {c.name for c in story.clocks}
    pm = story.clock("acpi_pm")
    assert pm is not None and pm.frequency_hz == 3_579_545
    hpet = story.clock("hpet")
    assert (hpet is not None and hpet.frequency_hz == 100_000_000) is machine.has("hpet")


def test_two_vcpus_are_told_as_one_boot(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told(), machine=Machine(type="q35", vcpus=2))
    story = booted.report.story
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert {event.vcpu for event in booted.recording.events} == {0, 1}
    assert story.selected == said(booted.recording, "clocksource")
    ended = story.boundary_ns(Mark.ENDED)
    assert ended is not None
    assert not [s for s in story.spans if s.name.startswith("initcall") and s.end_ns >= ended]


def test_without_an_rtc_the_date_is_wrong_and_the_rtc_absent(tmp_path: Path) -> None:
    booted = boot(tmp_path / "r", *told(), machine=Machine(devices=(("rtc", False),)), survey=True)
    codes = {finding.code for finding in booted.report.findings}
    assert {"TH302", "TH501"} <= codes
    rtc = booted.report.story.clock("rtc", ClockRole.WALL)
    assert rtc is not None and "absent" in rtc.how


BODY = """
    uint32_t low, high, a = 0x15, b, c = 0, d;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    outb(0x43, 0x34); outb(0x40, 0xff); outb(0x40, 0xff); inb(0x40);
    outb(0x70, 0x0a); inb(0x71);
    __asm__ volatile("lidt %0; ud2" :: "m"(*(const char(*)[6])"\\0\\0\\0\\0\\0"));
    (void)low; (void)high; (void)b; (void)d;
"""


def test_an_unknown_kernel_is_told_by_its_instructions(tmp_path: Path) -> None:
    plugin_qemu()
    request = Request(build_guest(tmp_path, BODY), survey=False, folder=tmp_path / "r")
    story = asyncio.run(boot_request(request)).report.story
    assert story.os == "unknown"
    assert {clock.name for clock in story.clocks} == {"tsc", "i8254", "rtc"}
    assert story.boundary_ns(Mark.KERNEL_ENTRY) is not None
    assert story.outcome.kind is OutcomeKind.RESET
    assert "triple fault" in story.outcome.text
