from __future__ import annotations

from pathlib import Path

import pytest

from freebsd_recordings import TSC_HZ, FreeBsdTape, dummy_boot, healthy_freebsd, microvm, watched
from recordings import MS
from timehands.boot import tell
from timehands.guests.base import PVH_ENTRY
from timehands.guests.freebsd.story import addresses
from timehands.story.model import ClockRole, ClockState, Mark, OutcomeKind, Story


def _story(tape: FreeBsdTape, folder: Path) -> Story:
    return tell(tape.write(folder))[0]


def test_a_healthy_boot_is_told_from_entry_to_the_prompt(tmp_path: Path) -> None:
    story = _story(healthy_freebsd(), tmp_path)
    assert story.os == "freebsd"
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert story.outcome.text.startswith("the kernel came to mountroot>")
    assert [(b.name, b.at_ns, b.how) for b in story.boundaries[3:7]] == [
        (Mark.KERNEL_ENTRY, 10 * MS, PVH_ENTRY),
        (Mark.CLOCK_KNOWN, 124 * MS, "start_TSC left a TSC frequency"),
        (Mark.TIMER_ARMED, 290 * MS, "cpu_initclocks_bsp"),
        (Mark.INIT, 400 * MS, "mountroot>"),
    ]
    assert (story.selected, story.selected_timer) == ("TSC-low", "LAPIC")
    assert story.unknown == (
        "no message about clocks was printed (boot_verbose=1 makes the kernel print them)",
    )


def test_a_root_file_system_is_init(tmp_path: Path) -> None:
    tape = healthy_freebsd()
    tape.functions.pop("cngets")
    tape.events = [e for e in tape.events if e[0] < 7_000 * MS + 399 * MS]
    tape.call("vfs_mountroot", ms=399, until_ms=450)
    tape.ends("timeout", ms=9000)
    story = _story(tape, tmp_path)
    assert story.boundary_ns(Mark.INIT) == 450 * MS
    assert "still ran" in story.outcome.text


def test_a_passphrase_that_is_asked_for_is_no_prompt_for_a_root(tmp_path: Path) -> None:
    tape = microvm()
    tape.enter("cngets", ms=40)
    tape.ends("timeout", ms=90)
    assert _story(tape, tmp_path).boundary_ns(Mark.INIT) is None


def test_a_timecounter_is_told_with_callers_and_whether_it_was_taken(tmp_path: Path) -> None:
    story = _story(healthy_freebsd(), tmp_path)
    i8254, tsc = story.clock("i8254"), story.clock("TSC-low")
    assert i8254 is not None and tsc is not None
    assert (i8254.rating, i8254.frequency_hz, i8254.state) == (0, 1_193_182, ClockState.REGISTERED)
    assert i8254.steps[0].backtrace == ("attimer_attach", "device_attach")
    assert [s.what for s in i8254.steps] == [
        "registered, quality 0, 32 bits",
        "selected instead of dummy",
    ]
    assert tsc.state is ClockState.SELECTED and tsc.how == "clockcalib against i8254"
    assert "selected instead of i8254" in [s.what for s in tsc.steps]


def test_a_timecounter_of_negative_quality_is_rejected(tmp_path: Path) -> None:
    tape = watched(FreeBsdTape())
    tape.tc_init("i8254", ms=1, hz=1_193_182, quality=0, current="i8254")
    tape.tc_init("TSC-low", ms=2, hz=TSC_HZ >> 1, quality=-100, current="i8254")
    tsc = _story(tape, tmp_path).clock("TSC-low")
    assert tsc is not None and tsc.state is ClockState.REJECTED and tsc.rating == -100
    assert tsc.steps[-1].what == "not selected: its quality -100 is negative"


def test_a_tsc_that_was_given_up_is_a_rejected_clock_and_tells_why(tmp_path: Path) -> None:
    tape = microvm()
    tape.ends("timeout", ms=100)
    tsc = _story(tape, tmp_path).clock("TSC")
    assert tsc is not None and tsc.state is ClockState.REJECTED
    assert "calibration is switched off" in tsc.how


def test_the_variables_at_the_end_have_the_last_word(tmp_path: Path) -> None:
    tape = healthy_freebsd()
    rows = [{"name": "HPET", "frequency": 10**8, "quality": 950, "mask": 1, "flags": 0}]
    tape.looked["timecounters"] = {"rows": rows, "ends": "cycle"}
    tape.looked["timecounter"] = {"name": "HPET", "frequency": 10**8, "quality": 950}
    story = _story(tape, tmp_path)
    assert story.selected == "HPET"
    facts = {fact.name: fact for fact in story.facts}
    assert facts["timecounters"].meaning == "the list goes in a circle"
    assert facts["timecounter->tc_name"].value == "HPET"
    assert facts["tsc_freq"].meaning == f"{TSC_HZ:,} Hz"
    assert facts["vm_guest"].meaning == "VM_GUEST_VM"


def test_the_dummy_is_there_without_having_been_registered(tmp_path: Path) -> None:
    tape = healthy_freebsd()
    rows = [{"name": "dummy", "frequency": 10**6, "quality": -1_000_000, "mask": 1, "flags": 0}]
    tape.looked["timecounters"] = {"rows": rows, "ends": "end"}
    dummy = _story(tape, tmp_path).clock("dummy")
    assert dummy is not None and dummy.state is ClockState.OFFERED
    assert dummy.how.startswith("there from the start")


def test_a_lapic_timer_that_was_not_calibrated_yet_is_said(tmp_path: Path) -> None:
    tape = microvm()
    tape.looked["variables"] = {"lapic_timer_divisor": 0}
    tape.ends("timeout", ms=100)
    facts = {fact.name: fact.meaning for fact in _story(tape, tmp_path).facts}
    assert facts["lapic_timer_divisor"] == "the LAPIC timer is not calibrated yet"


def test_a_fault_names_functions_and_not_what_was_inlined_there(tmp_path: Path) -> None:
    tape = microvm()
    inner = "atomic_load_acq_int < pvclock_read_time_info < pvclock_get_timecount+0x8"
    tape.fault(inner, "xen_delay+0x2c", ms=50)
    assert _story(tape, tmp_path).outcome.where == "pvclock_get_timecount < xen_delay"


def test_an_event_timer_is_selected_by_the_kernels_own_variable(tmp_path: Path) -> None:
    timer = _story(healthy_freebsd(), tmp_path).clock("LAPIC", ClockRole.EVENTS)
    assert timer is not None and timer.state is ClockState.SELECTED and timer.rating == 600


def test_a_pvclock_that_was_never_reached_says_why(tmp_path: Path) -> None:
    clock = _story(healthy_freebsd(), tmp_path).clock("kvmclock")
    assert clock is not None and clock.state is ClockState.OFFERED
    assert clock.how == "the hypervisor TCGTCGTCGTCG is not KVM's (VM_GUEST_VM)"


def test_a_fault_is_told_with_its_address_and_the_functions_around(tmp_path: Path) -> None:
    tape = microvm()
    tape.fault("pvclock_get_timecount", "xen_delay", "start_TSC", ms=50)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.PANICKED
    assert outcome.where == "pvclock_get_timecount < xen_delay < start_TSC"
    assert outcome.text == f"the kernel panicked: page fault at 0x20 in {outcome.where}"


def test_a_panic_that_is_no_fault_has_no_place_of_one(tmp_path: Path) -> None:
    tape = microvm()
    tape.enter("trap", ms=20, reads={"tf_rip": 0xFFFFFFFF80000010, "tf_addr": 0})
    tape.line("panic: TSC not initialized", ms=40)
    tape.ends("boundary", ms=41)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.text == "the kernel panicked: TSC not initialized"
    assert outcome.where is None


def test_who_serves_delay_is_told_when_it_changes(tmp_path: Path) -> None:
    tape = microvm()
    tape.delay(10, ms=40)
    tape.delay(10, ms=41)
    tape.delay(10, ms=50, current="HPET", quality=950)
    tape.delay(10, ms=60, tsc_hz=TSC_HZ, invariant=True)
    tape.ends("timeout", ms=100)
    steps = _story(tape, tmp_path).delay
    assert [step.at_ns for step in steps] == [40 * MS, 50 * MS, 60 * MS]
    assert steps[0].what == "Xen's clock (xen_delay, as timecounter dummy has quality -1,000,000)"
    assert steps[0].backtrace == ("ns8250_bus_attach",)
    assert steps[1].what == "HPET (timecounter HPET, quality 950)"
    assert steps[2].what.startswith("TSC (")


def test_addresses_name_callers_faults_and_who_serves_delay(tmp_path: Path) -> None:
    tape = dummy_boot()
    tape.line("instruction pointer\t= 0x20:0xffffffff808d3a40", ms=50)
    recording = tape.write(tmp_path)
    found = set(addresses(recording))
    assert 0xFFFFFFFF808D3A40 in found
    assert set(tape.symbols) - {0xFFFFFFFF8042C7A0} <= found


HOSTILE: list[object] = [None, 5, "x", [], [5], {"rows": 5}, {"rows": [None, 5, {"name": 5}]}]


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
@pytest.mark.parametrize(
    "key",
    ["timecounters", "timecounter", "eventtimer", "variables", "environment", "early_delay"],
)
def test_a_look_that_makes_no_sense_is_left_out(tmp_path: Path, key: str, hostile: object) -> None:
    tape = healthy_freebsd()
    tape.looked[key] = hostile
    story = _story(tape, tmp_path)
    assert story.selected == "TSC-low"
    assert story.outcome.kind is OutcomeKind.INIT_REACHED


CONSOLE = """\
---<<BOOT>>---
Hypervisor: Origin = "TCGTCGTCGTCG"
Event timer "LAPIC" quality 600
LAPIC: ipi_wait() us multiplier 25 (r 817008 tsc 2500368650)
Early TSC frequency 2500368650Hz calibrated from 8254 PIT
Timecounter "i8254" frequency 1193182 Hz quality 0
Statistical TSC calibration took 71000 us and 58000 data points
Timecounter "TSC-low" frequency 1249999028 Hz quality 800
Statistical lapic calibration took 700 us and 3000 data points
lapic: Divisor 2, Frequency 500000964 Hz
Timecounters tick every 10.000 msec
  <empty line>    Abort manual input
"""


def test_the_console_alone_tells_clocks_and_calibrations(tmp_path: Path) -> None:
    tape = FreeBsdTape(instrument="console")
    for ms, text in enumerate(CONSOLE.splitlines(), 10):
        tape.line(text, ms=ms)
    tape.ends("boundary", ms=100)
    story = _story(tape, tmp_path)
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert (story.selected, story.selected_timer) == ("TSC-low", "LAPIC")
    assert [(c.of, c.against, c.result_hz) for c in story.calibrations] == [
        ("tsc", "DELAY", 2_500_368_650),
        ("tsc", "i8254", 2_499_998_056),
        ("lapic", "TSC-low", 1_000_001_928),
    ]
    assert len(story.messages) == 10
    assert {m.source for m in story.messages} >= {"clockcalib", "tc_init", "lapic_init"}
