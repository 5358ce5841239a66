from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bsd_recordings import BsdTape, netbsd_boot
from recordings import MS, Tape
from timehands.boot import tell
from timehands.guests.netbsd import NetBSD
from timehands.guests.netbsd.plan import WANTED
from timehands.guests.netbsd.story import addresses
from timehands.machines.machine import Machine
from timehands.story.model import Calibration, ClockRole, ClockState, Mark, OutcomeKind, Story


def _story(tape: Tape, folder: Path) -> Story:
    return tell(tape.write(folder))[0]


def _calibration(story: Story, method: str, number: int = 0) -> Calibration:
    return [c for c in story.calibrations if c.method == method][number]


def test_a_boot_is_told_from_entry_to_its_question(tmp_path: Path) -> None:
    story = _story(netbsd_boot(), tmp_path)
    assert {b.name: b.at_ns for b in story.boundaries if b.at_ns is not None} == {
        Mark.PROCESS_STARTED: 0,
        Mark.VM_READY: 3 * MS,
        Mark.FIRST_INSTRUCTION: 5 * MS,
        Mark.KERNEL_ENTRY: 20 * MS,
        Mark.CLOCK_KNOWN: 30 * MS + MS // 10,
        Mark.TIMER_ARMED: 321 * MS,
        Mark.INIT: 900 * MS,
        Mark.ENDED: 901 * MS,
    }
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert "asks for its root device" in story.outcome.text


def test_the_clocks_are_those_of_tc_init(tmp_path: Path) -> None:
    story = _story(netbsd_boot(), tmp_path)
    sources = [c for c in story.clocks if c.role is ClockRole.SOURCE]
    assert [(c.name, c.frequency_hz, c.rating, c.state) for c in sources] == [
        ("i8254", 1_193_182, 100, ClockState.SELECTED),
        ("lapic", 1_000_100_000, -100, ClockState.REJECTED),
        ("clockinterrupt", 100, 0, ClockState.REGISTERED),
        ("TSC", 2_600_000_000, -100, ClockState.REJECTED),
    ]
    assert (story.selected, story.selected_timer) == ("i8254", "lapic")
    timer = story.clock("lapic", ClockRole.EVENTS)
    assert timer and timer.frequency_hz == 1_000_100_000


def test_a_function_that_called_by_a_jump_is_named(tmp_path: Path) -> None:
    tsc = _story(netbsd_boot(), tmp_path).clock("TSC")
    assert tsc
    registered = next(step for step in tsc.steps if step.what.startswith("registered"))
    assert registered.backtrace == ("tsc_tc_init", "main")


def test_frame_pointers_give_further_callers(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.symbols |= {0x10: "cpu_configure+0x5", 0x20: "main+0x7"}
    tape.counter("i8254", ms=30, hz=1_193_182, quality=100, further=(0x10, 0x20, 0x30))
    clock = _story(tape, tmp_path).clock("i8254")
    assert clock and clock.steps[0].backtrace == ("main", "cpu_configure", "main")


def test_the_calibrations_are_told_with_what_they_rest_on(tmp_path: Path) -> None:
    story = _story(netbsd_boot(), tmp_path)
    told = _calibration(story, "cpu_tsc_freq_cpuid")
    assert "on Intel only, this CPU is AuthenticAMD" in told.detail and told.result_hz is None
    first, second = (_calibration(story, "cpu_get_tsc_freq", n) for n in (0, 1))
    assert (first.against, first.result_hz) == ("i8254", 2_570_000_000)
    assert (second.against, second.result_hz) == ("lapic", 2_600_000_000)
    assert second.detail.startswith("again: ") and "took 120 ms of host time" in second.detail
    assert "host time" not in first.detail
    once, twice = (_calibration(story, "lapic_calibrate_timer", n) for n in (0, 1))
    assert (once.against, twice.against) == ("i8254", "tsc")
    assert "only as true as the first pass" in twice.detail


def test_host_time_says_nothing_on_a_deterministic_machine(tmp_path: Path) -> None:
    tape = netbsd_boot()
    tape.machine = Machine(deterministic=True)
    assert not any("host time" in c.detail for c in _story(tape, tmp_path).calibrations)


def test_a_rate_that_does_not_fit_is_told(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.measures(
        "lapic_calibrate_timer", 1, ms=10, until_ms=60,
        after={"lapic_per_second": 5_283_168_000 - (1 << 32)},
    )  # fmt: skip
    detail = _calibration(_story(tape, tmp_path), "lapic_calibrate_timer").detail
    assert "5,283,168,000 Hz came out" in detail


@pytest.mark.parametrize(
    ("highest", "said"),
    [(0x40000001, "leaves end at 0x40000001"), (0x40000010, ""), (None, "was not asked for")],
)
def test_the_hypervisors_leaf_is_told_with_its_range(
    tmp_path: Path, highest: int | None, said: str
) -> None:
    tape = BsdTape()
    if highest is not None:
        tape.cpuid(0x40000000, highest, ms=9)
    tape.enter("cpu_tsc_freq_cpuid", ms=10)
    tape.cpuid(0x40000010, 0x21F, 0x240, ms=11)
    tape.leave("cpu_tsc_freq_cpuid", 543_000, ms=12)
    told = _calibration(_story(tape, tmp_path), "cpu_tsc_freq_cpuid")
    assert (told.against, told.result_hz) == ("CPUID leaf 0x40000010", 543_000)
    assert "gave eax 0x21f (543 kHz) and ebx 0x240" in told.detail and said in told.detail
    assert bool(said) == (";" in told.detail)


def test_a_told_frequency_is_not_measured(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.call("cpu_tsc_freq_cpuid", ms=11, until_ms=12, result=2_600_000_000)
    tape.measures("cpu_get_tsc_freq", ms=10, until_ms=13, after={"cpu_cc_freq": 2_600_000_000})
    methods = [c.method for c in _story(tape, tmp_path).calibrations]
    assert methods == ["cpu_tsc_freq_cpuid"]


def test_an_absent_i8254_is_told_where_it_is_waited_for(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.enter("cpu_get_tsc_freq", ms=10)
    for step in range(4):
        tape.port_in(0x40, 0xFF, ms=11 + step)
    tape.ends("hung", ms=9000)
    story = _story(tape, tmp_path)
    assert "i8254 is absent" in story.calibrations[0].detail
    assert story.outcome.kind is OutcomeKind.HUNG and "cpu_get_tsc_freq" in story.outcome.text


def test_who_serves_delay_is_told_with_each_change(tmp_path: Path) -> None:
    steps = _story(netbsd_boot(), tmp_path).delay
    assert [(s.at_ns, s.what) for s in steps] == [
        (39 * MS, "i8254 (i8254_delay)"),
        (160 * MS, "lapic (lapic_delay, set by lapic_calibrate_timer)"),
    ]


def test_equal_quality_needs_a_greater_frequency(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.counter("first", ms=10, hz=1000, quality=100)
    tape.counter("same", ms=20, hz=1000, quality=100)
    tape.counter("faster", ms=30, hz=1001, quality=100)
    story = _story(tape, tmp_path)
    assert story.selected == "faster"
    same = story.clock("same")
    assert same and "same quality and no smaller frequency" in same.steps[-1].what


def test_the_console_alone_tells_of_clocks(tmp_path: Path) -> None:
    tape = BsdTape(instrument="none")
    for ms, text in enumerate(
        (
            '[   1.0] timecounter: Timecounter "i8254" frequency 1193182 Hz quality 100',
            '[   1.0] timecounter: Timecounter "lapic" frequency 1008974000 Hz quality -100',
            '[   1.0] timecounter: Timecounter "clockinterrupt" frequency 100 Hz quality 0',
            "[   1.0] cpu0: TSC freq from delay 2623164500 Hz",
            '[   1.0] timecounter: Timecounter "TSC" frequency 2623164500 Hz quality 3000',
            "[   1.1] boot device: <unknown>",
            "[   1.1] root device: ",
        )
    ):
        tape.line(text, ms=10 + ms)
    tape.ends("boundary", ms=20)
    story = _story(tape, tmp_path)
    assert (story.selected, story.selected_timer) == ("TSC", "lapic")
    assert story.calibrations[0].result_hz == 2_623_164_500
    assert story.boundary_ns(Mark.INIT) == 16 * MS
    assert len(story.messages) == 6
    assert any("no function was watched" in text for text in story.unknown)


def test_a_panic_is_told_with_its_trap(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.symbols[0xFFFFFFFF80261640] = "gettick+0x20"
    tape.line("[   1.0] fatal page fault in supervisor mode", ms=10)
    tape.line(
        "[   1.0] trap type 6 code 0 rip 0xffffffff80261640 cs 0x8 rflags 0x246 cr2 0x20 ilevel 0",
        ms=11,
    )
    tape.line("[   1.0] panic: trap", ms=12)
    tape.ends("guest-reset", ms=13)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.PANICKED
    assert outcome.text.endswith("trap (trap 6 at 0x20 in gettick+0x20)")
    assert set(outcome.evidence) == {"c1", "c2"}


def test_a_function_that_was_inlined_is_named_before_the_one_it_is_in(tmp_path: Path) -> None:
    tape = BsdTape()
    tape.symbols[0x10] = "configure2 < main+0x2f"
    tape.counter("lapic", ms=30, hz=1000, quality=-100, caller=0x10)
    clock = _story(tape, tmp_path).clock("lapic")
    assert clock and clock.steps[0].backtrace == ("configure2", "main")


def test_the_kernels_variables_have_the_last_word(tmp_path: Path) -> None:
    tape = netbsd_boot()
    rows = [
        {"name": "TSC", "frequency": 2_600_000_001, "quality": 3000, "mask": 1},
        {"name": "i8254", "frequency": 1_193_182, "quality": 100, "mask": 1},
    ]
    tape.looked = {
        "timecounter": rows[0],
        "timecounters": {"rows": rows, "ends": "cycle"},
        "variables": {"vm_guest": 10, "delay_func": "lapic_delay", "lapic_per_second": 7},
        "command_line": "console=com",
    }
    story = _story(tape, tmp_path)
    assert story.selected == "TSC"
    facts = {fact.name: fact for fact in story.facts}
    assert facts["timecounters"].meaning == "the list goes in a circle"
    assert facts["vm_guest"].meaning == "VM_GUEST_GENPVH"
    tape.looked["vm_guest"] = "VM_GUEST_NVMM"
    named = {fact.name: fact for fact in _story(tape, tmp_path).facts}
    assert (named["vm_guest"].value, named["vm_guest"].meaning) == (10, "VM_GUEST_NVMM")
    assert facts["command line"].value == "console=com"


@pytest.mark.parametrize(
    "looked",
    [
        {"timecounters": [], "timecounter": 3, "variables": "no"},
        {"timecounters": {"rows": [{"name": 1}, 7, {"name": "x", "frequency": None}]}},
        {"variables": {"hz": True, "tsc_freq": [1]}, "tslog": {"records": 7}},
    ],
)
def test_variables_that_make_no_sense_are_left_out(
    tmp_path: Path, looked: dict[str, object]
) -> None:
    tape = netbsd_boot()
    tape.looked = looked
    assert _story(tape, tmp_path).selected == "i8254"


@settings(suppress_health_check=list(HealthCheck), max_examples=40)
@given(names=st.lists(st.sampled_from([w.name for w in WANTED]), max_size=40), data=st.data())
def test_calls_in_any_order_are_told_without_failing(
    tmp_path: Path, names: list[str], data: st.DataObject
) -> None:
    tape = BsdTape()
    for ms, name in enumerate(names):
        if data.draw(st.booleans()):
            tape.enter(name, data.draw(st.integers(0, 3)), ms=ms, reads={"tc_name": b"\xff\x1b"})
        else:
            tape.leave(name, data.draw(st.none() | st.integers(0, 1 << 63)), ms=ms)
    recording = tape.write(tmp_path)
    assert tell(recording)[0].os == "netbsd"
    assert all(address >= 0 for address in addresses(recording))


def test_it_says_that_it_takes_no_frequency() -> None:
    known = NetBSD()
    assert known.arguments(Machine()) == ("console=com", "-v")
    assert known.told(Mark.ENDED, "[   1.0695163] root device: ")
    assert known.told(Mark.ENDED, "root device (default ld0a): ")
    assert not known.told(Mark.ENDED, "[   1.0] root device: ld0a")
