"""NetBSD's story on the real QEMU: of a test kernel, and of a real one where one is named.

``TIMEHANDS_NETBSD_KERNEL`` names a real kernel with symbols (its MICROVM configuration, or another
with a PVH entry). The oracle is what the kernel itself prints, and the machine: where instructions
are counted, TSC and LAPIC run at exactly 1 GHz. What DELAY(100) measures of that differs by more
than a percent: it waits for 118 of 119.3 ticks of the i8254.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Literal

import pytest

from boots.bare_guests import plugin_qemu
from guest_kernels.build import Form, guest_kernel
from timehands.boot import Booted, Request, boot_request
from timehands.machines.machine import Machine
from timehands.story.model import ClockRole, ClockState, Mark, OutcomeKind, Story

pytestmark = pytest.mark.boot

#: Instructions are counted, so that the TSC has exactly 1 GHz, and a busy host changes nothing.
EXACT = Machine(deterministic=True)
GHZ = 1_000_000_000
REAL = "TIMEHANDS_NETBSD_KERNEL"
_COUNTER = re.compile(r'Timecounter "([^"]+)" frequency (\d+) Hz quality (-?\d+)')
_MEASURED = re.compile(r"TSC freq from delay (\d+) Hz")


def kernels() -> list[object]:
    """The test kernel, and the real one."""
    skip = pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no kernel")
    return [pytest.param("dwarf", id="guest"), pytest.param("real", id="real", marks=skip)]


def path_of(which: Form | Literal["real"]) -> Path:
    return Path(os.environ[REAL]) if which == "real" else guest_kernel("netbsd", which)


def boot(folder: Path, kernel: Path, *words: str, **options: object) -> Booted:
    """Boot as a user does; without a survey unless asked for."""
    plugin_qemu()
    wanted = {"machine": EXACT, "survey": False, "folder": folder, **options}
    return asyncio.run(boot_request(Request(kernel, arguments=words, **wanted)))  # type: ignore[arg-type]


def printed(booted: Booted) -> dict[str, tuple[int, int]]:
    """The timecounters as the kernel prints them: name to frequency in Hz and quality."""
    found = (_COUNTER.search(line.text) for line in booted.recording.console)
    return {m[1]: (int(m[2]), int(m[3])) for m in found if m}


def callers(story: Story, name: str) -> tuple[str, ...]:
    """Who registered a timecounter, innermost first."""
    clock = story.clock(name)
    assert clock
    return next(step.backtrace for step in clock.steps if step.what.startswith("registered"))


def nearly(measured: int | None) -> bool:
    """Within 0.1 % of 1 GHz."""
    return measured is not None and abs(measured - GHZ) * 1000 <= GHZ


@pytest.fixture(scope="module", params=kernels())
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """A boot of each kernel that nothing is done to. ``-x``: the kernel says what it measures."""
    folder = tmp_path_factory.mktemp("netbsd") / "recording"
    return boot(folder, path_of(request.param), "-x", timeout_s=120.0)


def test_the_clocks_are_those_that_the_kernel_prints(told: Booted) -> None:
    story = told.report.story
    shown = {
        clock.name: (clock.frequency_hz, clock.rating)
        for clock in story.clocks
        if clock.role is ClockRole.SOURCE and clock.name != "dummy"
    }
    assert shown == printed(told)
    assert set(shown) == {"i8254", "lapic", "clockinterrupt", "TSC"}


def test_a_tsc_that_is_not_invariant_leaves_the_i8254(told: Booted) -> None:
    story = told.report.story
    assert (story.selected, story.selected_timer) == ("i8254", "lapic")
    tsc = story.clock("TSC")
    assert tsc and tsc.rating == -100 and tsc.state is ClockState.REJECTED
    assert any("edx bit 8 is clear" in step.what for step in tsc.steps)


def test_each_registration_has_its_callers(told: Booted) -> None:
    story = told.report.story
    assert callers(story, "i8254")[:2] == ("startrtclock", "cpu_configure")
    assert callers(story, "lapic")[0] == "lapic_initclock"
    assert "initclocks" in callers(story, "lapic")
    assert callers(story, "clockinterrupt")[0] == "initclocks"
    assert callers(story, "TSC")[:2] == ("tsc_tc_init", "cpu_boot_secondary_processors")
    assert all("main" in callers(story, name) for name in printed(told))
    if told.report.kernel.types:  # else a function that was inlined has no name
        assert "configure" in callers(story, "i8254")
        assert all("configure2" in callers(story, n) for n in ("lapic", "clockinterrupt", "TSC"))


def test_the_calibrations_come_in_their_order_with_their_results(told: Booted) -> None:
    measured = [c for c in told.report.story.calibrations if c.result_hz]
    assert [(c.of, c.against) for c in measured] == [
        ("tsc", "i8254"), ("lapic", "i8254"), ("tsc", "lapic"), ("lapic", "tsc"),
    ]  # fmt: skip
    assert nearly(measured[1].result_hz)
    texts = (line.text for line in told.recording.console)
    found = [int(match[1]) for text in texts if (match := _MEASURED.search(text))]
    assert [c.result_hz for c in measured if c.of == "tsc"] == found
    assert "only as true as the first pass" in measured[-1].detail


def test_the_leaf_that_was_not_read_is_told_with_the_reason(told: Booted) -> None:
    first = next(c for c in told.report.story.calibrations if c.method == "cpu_tsc_freq_cpuid")
    assert first.result_hz is None
    assert "on Intel only, this CPU is AuthenticAMD" in first.detail


def test_who_serves_delay_is_told(told: Booted) -> None:
    steps = [step.what for step in told.report.story.delay]
    assert steps == ["i8254 (i8254_delay)", "lapic (lapic_delay, set by lapic_calibrate_timer)"]


def test_the_kernels_variables_agree_with_what_was_seen(told: Booted) -> None:
    meant = {fact.name: (fact.value, fact.meaning) for fact in told.report.story.facts}
    facts = {name: value for name, (value, _) in meant.items()}
    assert facts["timecounter->tc_name"] == "i8254"
    assert str(facts["timecounters"]).split(", ") == [*reversed(printed(told)), "dummy"]
    assert (facts["tsc_freq"], facts["lapic_per_second"]) == (
        printed(told)["TSC"][0], printed(told)["lapic"][0],
    )  # fmt: skip
    assert facts["delay_func"] == "lapic_delay"
    assert "VM_GUEST_GENPVH" in meant["vm_guest"]


def test_the_question_for_a_root_device_is_its_end(told: Booted) -> None:
    story = told.report.story
    init = next(b for b in story.boundaries if b.name is Mark.INIT)
    assert (init.how, story.outcome.kind) == ("root device:", OutcomeKind.INIT_REACHED)
    assert "asks for its root device" in story.outcome.text
    assert told.recording.header.ended_reason == "boundary"


@pytest.mark.parametrize("form", ["symbols", "stripped"])
def test_less_is_known_without_types_and_without_symbols(tmp_path: Path, form: Form) -> None:
    booted = boot(tmp_path / "recording", path_of(form))
    story = booted.report.story
    sources = [c for c in story.clocks if c.role is ClockRole.SOURCE and c.name in printed(booted)]
    assert {c.name: (c.frequency_hz, c.rating) for c in sources} == printed(booted)
    assert (story.selected, story.selected_timer) == ("i8254", "lapic")
    traced = any(step.backtrace for clock in story.clocks for step in clock.steps)
    assert traced == (form == "symbols")
    timed = any(c.of == "tsc" and c.result_hz for c in story.calibrations)
    assert timed == (form == "symbols")  # cpu_frequency's code tells where the result is
    assert any("no symbols" in text for text in story.unknown) == (form == "stripped")


def test_without_the_plugin_the_console_tells(tmp_path: Path) -> None:
    booted = boot(tmp_path / "recording", path_of("symbols"), watch=False)
    story = booted.report.story
    assert story.selected == "i8254" and story.outcome.kind is OutcomeKind.INIT_REACHED
    assert {fact.name for fact in story.facts} >= {"delay_func", "tsc_freq"}


def test_a_leaf_beyond_the_range_is_told_with_what_it_gave(tmp_path: Path) -> None:
    booted = boot(tmp_path / "recording", path_of("dwarf"), "hvleaf=1")
    first = next(c for c in booted.report.story.calibrations if c.of == "tsc")
    assert first.against == "CPUID leaf 0x40000010"
    gave = next(
        e for e in booted.recording.events if e.kind.name == "CPUID" and e.leaf[0] >> 4 == 0x4000001
    )
    assert first.result_hz == gave.registers[0] * 1000
    assert f"eax {gave.registers[0]:#x}" in first.detail


def test_a_pit_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    machine = Machine(devices=(("pit", False),))
    booted = boot(tmp_path / "recording", path_of("dwarf"), machine=machine)
    story = booted.report.story
    assert story.outcome.kind is OutcomeKind.HUNG and "cpu_get_tsc_freq" in story.outcome.text
    waiting = next(c for c in story.calibrations if c.against == "i8254")
    assert "i8254 is absent" in waiting.detail and "did not return" in waiting.detail


def test_a_machine_without_mp_table_ticks_by_the_i8254(tmp_path: Path) -> None:
    story = boot(tmp_path / "recording", path_of("dwarf"), "lapic=0").report.story
    assert (story.selected_timer, story.clock("lapic")) == ("i8254", None)
    assert [step.what for step in story.delay] == ["i8254 (i8254_delay)"]


def test_a_failed_assertion_and_a_fault_are_told_with_their_place(tmp_path: Path) -> None:
    failed = boot(tmp_path / "assert", path_of("dwarf"), "assert=1").report.story.outcome
    assert failed.kind is OutcomeKind.PANICKED and "assertion" in failed.text
    fault = boot(tmp_path / "fault", path_of("dwarf"), "fault=page").report.story.outcome
    assert fault.kind is OutcomeKind.PANICKED
    assert "trap 6 at 0x1000 in read_from" in fault.text


@pytest.mark.parametrize(("damage", "said"), [("cyclic", "in a circle"), ("corrupt", "no entry")])
def test_a_damaged_list_is_told(tmp_path: Path, damage: str, said: str) -> None:
    story = boot(tmp_path / "recording", path_of("dwarf"), f"list={damage}").report.story
    listed = next(fact for fact in story.facts if fact.name == "timecounters")
    assert said in listed.meaning and "i8254" in str(listed.value)


def test_a_disk_that_the_kernel_cannot_see_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    story = boot(tmp_path / "recording", path_of("dwarf"), disk=disk).report.story
    assert any("does not see the disk" in text for text in story.unknown)
