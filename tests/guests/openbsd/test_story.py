from __future__ import annotations

from pathlib import Path

from bsd_recordings import I8254_DELAY, OPENBSD, BsdTape
from timehands.boot import tell
from timehands.guests.openbsd import OpenBSD
from timehands.guests.openbsd.messages import KNOWN
from timehands.story.model import ClockState, Mark, OutcomeKind, Story


def _story(tape: BsdTape, folder: Path) -> Story:
    return tell(tape.write(folder))[0]


def _tape() -> BsdTape:
    return BsdTape(kernel=OPENBSD, arguments=())


def test_an_invariant_tsc_that_a_leaf_told_is_selected(tmp_path: Path) -> None:
    tape = _tape()
    tape.enter("tsc_identify", ms=10)
    tape.cpuid(0x80000007, 0, 0, 0, 0x100, ms=10.5)
    tape.cpuid(0x15, 2, 208, 25_000_000, ms=11)
    at_return = {"tsc_frequency": 2_600_000_000, "tsc_is_invariant": 1}
    tape.leave("tsc_identify", ms=12, reads=dict(at_return))
    tape.counter("i8254", ms=20, hz=1_193_182, quality=0)
    tape.counter("tsc", ms=30, hz=2_600_000_000, quality=2000)
    story = _story(tape, tmp_path)
    assert story.selected == "tsc"
    tsc = story.clock("tsc")
    assert tsc and tsc.how == "tsc_identify against CPUID leaf 0x15"
    assert "invariant (CPUID 0x80000007 edx bit 8 is set)" in [step.what for step in tsc.steps]
    assert story.calibrations[0].detail.startswith("leaf 0x15 gave eax 0x2, ebx 0xd0")


def test_a_tsc_is_measured_again_by_a_better_clock(tmp_path: Path) -> None:
    tape = _tape()
    name = {"tc_name": "acpihpet0"}
    tape.enter("measure_tsc_freq", ms=10, reads=dict(name))
    tape.leave("measure_tsc_freq", 2_600_000_000, ms=310)
    tape.enter("measure_tsc_freq", ms=400, reads=dict(name))
    tape.leave("measure_tsc_freq", 0, ms=700)
    good, bad = _story(tape, tmp_path).calibrations
    assert (good.against, good.result_hz) == ("acpihpet0", 2_600_000_000)
    assert bad.result_hz is None and "two of three" in bad.detail


def test_the_same_quality_and_frequency_replaces(tmp_path: Path) -> None:
    tape = _tape()
    tape.counter("first", ms=10, hz=1000, quality=100)
    tape.counter("same", ms=20, hz=1000, quality=100)
    assert _story(tape, tmp_path).selected == "same"


def test_a_tsc_that_differs_between_cpus_is_taken_back(tmp_path: Path) -> None:
    tape = _tape()
    tape.counter("tsc", ms=10, hz=2_600_000_000, quality=2000)
    tape.enter("tc_reset_quality", ms=20, reads={"tc_name": "tsc"})
    tape.looked = {"timecounter": {"name": "i8254", "frequency": 1_193_182, "quality": 0}}
    tape.line("tsc: cpu0/cpu1: sync test round 1/2 failed", ms=19)
    story = _story(tape, tmp_path)
    tsc = story.clock("tsc")
    assert tsc and tsc.state is ClockState.REJECTED
    assert story.selected == "i8254"
    assert story.messages[0].source == "tsc_report_test_results"


def test_the_lapic_is_timed_by_the_i8254(tmp_path: Path) -> None:
    tape = _tape()
    tape.measures(
        "lapic_calibrate_timer", ms=10, until_ms=120,
        before={"lapic_per_second": 0, "delay_func": I8254_DELAY},
        after={"lapic_per_second": 1_000_000_000},
    )  # fmt: skip
    tape.port_in(0x40, 7, ms=11)
    tape.enter("lapic_startclock", ms=130)
    tape.functions["tc_init"] = []
    story = _story(tape, tmp_path)
    assert [(c.of, c.against, c.result_hz) for c in story.calibrations] == [
        ("lapic", "i8254", 1_000_000_000)
    ]
    assert (story.selected_timer, story.boundary_ns(Mark.TIMER_ARMED)) == ("lapic", 130_000_000)
    assert [step.what for step in story.delay] == ["i8254 (i8254_delay)"]


def test_the_prompt_is_known_from_the_console(tmp_path: Path) -> None:
    tape = _tape()
    tape.line("root device: ", ms=100)
    tape.ends("boundary", ms=101)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.INIT_REACHED and "root device" in outcome.text


def test_its_lines_and_words() -> None:
    known = OpenBSD()
    assert known.told(Mark.ENDED, "root device: ") and known.told(Mark.ENDED, "Stopped at ")
    assert not known.told(Mark.ENDED, "root on sd0a (1234.a)")
    assert "boot(8)" in known.loader
    lines = {
        "LAPIC": "cpu0: apic clock running at 1000MHz",
        "ACPI timer": "acpitimer0 at acpi0: 3579545 Hz, 24 bits",
        "HPET": "acpihpet0 at acpi0: 100000000 Hz",
        "hypervisor": "pvbus0 at mainbus0: KVM",
        "pvclock": "pvclock0 at pvbus0",
    }
    for name, text in lines.items():
        assert [one.name for one in KNOWN if one.pattern.search(text)] == [name]
