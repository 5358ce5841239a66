from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings import LINUX, MS, PC, UNKNOWN, Tape, healthy_boot, jiffies_boot
from timehands.boot import tell
from timehands.guests.base import PVH_ENTRY
from timehands.guests.linux.plan import WANTED
from timehands.guests.linux.story import addresses
from timehands.guests.registry import KNOWLEDGE
from timehands.machines.machine import Machine
from timehands.story.model import ClockState, Mark, OutcomeKind, SpanKind, Story
from timehands.watch.records import Kind

HOSTILE = b"\x1b[2J\xff\x00</script>\n" * 5


def _story(tape: Tape, folder: Path) -> Story:
    return tell(tape.write(folder))[0]


def test_a_healthy_boot_is_told_from_entry_to_init(tmp_path: Path) -> None:
    story = _story(healthy_boot(), tmp_path)
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    assert story.outcome.text == "init was reached and ended the machine"
    assert (story.selected, story.selected_timer) == ("tsc", "lapic")
    assert [(b.name, b.at_ns) for b in story.boundaries] == [
        (Mark.PROCESS_STARTED, 0),
        (Mark.VM_READY, 3 * MS),
        (Mark.FIRST_INSTRUCTION, 5 * MS),
        (Mark.KERNEL_ENTRY, 20 * MS),
        (Mark.CLOCK_KNOWN, 36 * MS),
        (Mark.TIMER_ARMED, 50 * MS),
        (Mark.INIT, 1000 * MS),
        (Mark.ENDED, 2010 * MS),
    ]
    assert story.boot_ns == 995 * MS
    assert story.unknown == ()


def test_every_boundary_that_was_seen_has_its_evidence(tmp_path: Path) -> None:
    recording = healthy_boot().write(tmp_path)
    known = {event.reference: event for event in recording.events}
    for boundary in tell(recording)[0].boundaries[2:-1]:
        (reference,) = boundary.evidence
        assert recording.since_start(known[reference].host_ns) == boundary.at_ns
        assert boundary.how


def test_a_boot_that_finds_no_frequency_runs_on_jiffies(tmp_path: Path) -> None:
    story = _story(jiffies_boot(), tmp_path)
    assert (story.selected, story.selected_timer) == ("refined-jiffies", "pit")
    assert story.boundary_ns(Mark.CLOCK_KNOWN) is None
    tsc = story.clock("tsc")
    assert tsc is not None and tsc.state is ClockState.REJECTED
    assert tsc.frequency_hz is None
    assert "could not calculate TSC khz" in tsc.steps[-1].what


def test_a_hang_says_in_which_function_and_keeps_it_open_to_the_end(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.enter("x86_late_time_init", ms=30)
    tape.enter("calibrate_delay", ms=60)
    tape.ends("hung", ms=3060)
    story = _story(tape, tmp_path)
    assert story.outcome.kind is OutcomeKind.HUNG
    assert "within calibrate_delay" in story.outcome.text
    (delay,) = [s for s in story.spans if s.name == "calibrate_delay"]
    assert (delay.start_ns, delay.end_ns, delay.depth) == (60 * MS, 3060 * MS, 2)
    assert delay.kind is SpanKind.CALIBRATION


def test_a_panic_is_told_by_its_message_on_the_console(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    message = "VFS: Unable to mount root fs on unknown-block(0,0)"
    tape.line(f"[    1.5] Kernel panic - not syncing: {message}", ms=1500)
    tape.ends("guest-reset", ms=1600)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.PANICKED
    assert outcome.text == f"the kernel panicked: {message}"
    assert outcome.evidence == ("c0",)


@pytest.mark.parametrize("function", ["panic", "vpanic"])
def test_a_panic_that_did_not_reach_the_console_is_told_by_its_format(
    tmp_path: Path, function: str
) -> None:
    tape = Tape()
    tape.enter(function, ms=1500, reads={"string": "\x01" + "0No working init found."})
    tape.ends("guest-reset", ms=1600)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.text == "the kernel panicked: No working init found."
    assert outcome.evidence == ("e0",)


def test_a_reset_without_panic_or_restart_is_a_triple_fault(tmp_path: Path) -> None:
    tape = Tape(reset_log="RIP=ffffffff81000000 RFL=00000086")
    tape.symbols[PC] = "startup_64+0x10"
    tape.begins()
    tape.ends("guest-reset", ms=40)
    outcome = _story(tape, tmp_path).outcome
    assert (outcome.kind, outcome.where) == (OutcomeKind.RESET, "startup_64+0x10")
    assert "triple fault" in outcome.text


def test_a_restart_by_the_kernel_is_no_triple_fault(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("native_machine_emergency_restart", ms=30)
    tape.ends("guest-reset", ms=40)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.RESET
    assert "triple fault" not in outcome.text


def _console_only() -> Tape:
    """As under KVM, where no plugin watches."""
    tape = Tape(instrument="console", machine=Machine(accelerator="kvm", cpu="host"))
    tape.line("[    0.0] Linux version 6.1.0-test", ms=100)
    tape.line("[    0.0] tsc: Detected 2596.155 MHz processor", ms=120)
    tape.line("[    0.3] clocksource: Switched to clocksource tsc-early", ms=300)
    tape.line("[    1.3] clocksource: Switched to clocksource tsc", ms=1300)
    tape.line("[    1.4] Run /init as init process", ms=1400)
    tape.line("timehands: monotonic 1000", ms=1410)
    return tape


def test_the_console_alone_tells_boundaries_and_the_clock(tmp_path: Path) -> None:
    tape = _console_only()
    tape.line("timehands: monotonic 2000", ms=2410)
    tape.ends("guest-reset", ms=2500)
    story = _story(tape, tmp_path)
    assert story.outcome.text == "init was reached and ended the machine"
    assert story.selected == "tsc"
    seen = {b.name: (b.at_ns, b.evidence) for b in story.boundaries}
    assert seen[Mark.KERNEL_ENTRY] == (100 * MS, ("c0",))
    assert seen[Mark.CLOCK_KNOWN] == (120 * MS, ("c1",))
    assert seen[Mark.INIT] == (1400 * MS, ("c4",))
    assert seen[Mark.FIRST_INSTRUCTION] == (4 * MS, ())
    assert any("console only" in text for text in story.unknown)


def test_one_report_of_init_is_not_yet_its_end(tmp_path: Path) -> None:
    tape = _console_only()
    tape.ends("guest-reset", ms=1500)
    outcome = _story(tape, tmp_path).outcome
    assert outcome.kind is OutcomeKind.INIT_REACHED
    assert outcome.text == "init was reached; then the guest reset the machine"


def test_what_init_says_of_the_clock_counts_most(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.line("timehands: clocksource hpet", ms=1500)
    tape.line("timehands: clocksource acpi_pm", ms=1600)
    tape.line("timehands: clockevent hpet", ms=1600)
    story = _story(tape, tmp_path)
    assert (story.selected, story.selected_timer) == ("acpi_pm", "hpet")
    assert story.clock("tsc").state is ClockState.REGISTERED  # type: ignore[union-attr]


def test_a_kernel_without_btf_is_told_by_its_functions_and_console(tmp_path: Path) -> None:
    tape = Tape(kernel=replace(LINUX, types=()))
    tape.begins()
    tape.enter(PVH_ENTRY, ms=20)
    tape.enter("__clocksource_register_scale", 0, 1000, 2_500_000, ms=40)
    tape.call("timekeeping_notify", ms=50, until_ms=51)
    tape.line("timehands: clocksource tsc", ms=1010)
    tape.init(ms=1000)
    tape.ends("guest-reset", ms=1100)
    story = _story(tape, tmp_path)
    assert story.selected == "tsc"
    assert any("no BTF" in text for text in story.unknown)


def test_a_recording_that_was_cut_off_still_tells_its_story(tmp_path: Path) -> None:
    tape = healthy_boot()
    tape.ended = None
    tape.lines.clear()
    recording = tape.write(tmp_path)
    raw = (tmp_path / "events.bin").read_bytes()
    (tmp_path / "events.bin").write_bytes(raw[: len(raw) // 2 + 13])
    story = _story_of(tmp_path)
    assert recording.header.ended_reason is None
    assert story.outcome.kind is OutcomeKind.STOPPED
    assert 20 * MS < story.outcome.at_ns < 1000 * MS
    assert story.boundary_ns(Mark.ENDED) is None
    assert story.boundary_ns(Mark.KERNEL_ENTRY) == 20 * MS


def _story_of(folder: Path) -> Story:
    from timehands.boot import open_recording

    return open_recording(folder).report.story


def test_a_deterministic_machine_has_no_rate_and_no_date(tmp_path: Path) -> None:
    tape = healthy_boot()
    assert _story(tape, tmp_path / "host").rate is not None
    tape.machine = Machine(deterministic=True)
    story = _story(tape, tmp_path / "counted")
    assert (story.rate, story.wall) == (None, None)


def test_the_step_of_jiffies_widens_the_bounds_of_the_rate(tmp_path: Path) -> None:
    on_tsc = _story(healthy_boot(), tmp_path / "tsc").rate
    on_jiffies = _story(jiffies_boot(), tmp_path / "jiffies").rate
    assert on_tsc is not None and on_jiffies is not None
    assert on_tsc.high_ppm < 1000
    assert on_jiffies.high_ppm > 4000


def test_init_by_another_name_is_recognised_by_run_init_process(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("run_init_process", ms=700, reads={"string": "/sbin/init"})
    tape.ends("timeout", ms=900)
    story = _story(tape, tmp_path)
    assert story.outcome.kind is OutcomeKind.INIT_REACHED
    (init,) = [b for b in story.boundaries if b.name is Mark.INIT]
    assert (init.at_ns, init.how) == (700 * MS, "run_init_process(/sbin/init)")


def test_initcalls_are_named_by_what_they_call(tmp_path: Path) -> None:
    tape = Tape()
    address = PC + 0x5000
    tape.symbols[address] = "i8042_init"
    tape.call("do_one_initcall", address, ms=10, until_ms=30)
    tape.call("do_one_initcall", address + 8, ms=40, until_ms=50)
    tape.ends("guest-reset", ms=60)
    recording = tape.write(tmp_path)
    names = [s.name for s in tell(recording)[0].spans if s.depth]
    assert names == ["initcall i8042_init", f"initcall 0x{address + 8:x}"]
    assert {address, address + 8} <= set(addresses(recording))


def test_hostile_strings_of_a_guest_do_no_harm(tmp_path: Path) -> None:
    tape = Tape()
    tape.begins()
    name = HOSTILE[:64]
    tape.enter("__clocksource_register_scale", 0, 1, 9, ms=30, reads={"name": name, "rating": -1})
    tape.enter("timekeeping_notify", ms=31, reads={"name": name})
    tape.enter("tick_setup_device", ms=32, reads={"name": name, "mult": 1 << 63, "shift": 255})
    tape.enter("mark_tsc_unstable", ms=33, reads={"string": HOSTILE[:80]})
    tape.enter("run_init_process", ms=34, reads={"string": HOSTILE[:80]})
    tape.line(HOSTILE.decode("latin-1"), ms=35)
    tape.line("timehands: clocksource " + "x" * 4000, ms=36)
    tape.line("timehands: ", ms=37)
    tape.ends("guest-reset", ms=40)
    story = _story(tape, tmp_path)
    assert story.selected == "x" * 4000
    assert "\x1b" in next(c.name for c in story.clocks if "script" in c.name)


_FUNCTIONS = [PVH_ENTRY, *(w.name for w in WANTED), "unheard_of"]
_U64 = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
_SOUP = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["enter", "leave"]),
            st.sampled_from(_FUNCTIONS),
            _U64,
            st.dictionaries(
                st.sampled_from(
                    ["name", "rating", "mult", "shift", "string", "tsc_khz", "lapic_timer_period"]
                ),
                st.one_of(st.binary(max_size=80), st.sampled_from([b"tsc", b"jiffies", b"lapic"])),
                max_size=4,
            ),
        ),
        st.tuples(st.sampled_from(list(Kind)), _U64, _U64, _U64),
        st.tuples(
            st.just("line"),
            st.one_of(
                st.text(max_size=60),
                st.sampled_from(
                    [
                        "Kernel panic - not syncing: ",
                        "clocksource: Switched to clocksource tsc",
                        "tsc: Marking TSC unstable due to ",
                        "timehands: clocksource unknown",
                        "Run /init as init process",
                        "tsc: Detected 1.5 MHz",
                    ]
                ),
            ),
        ),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=_SOUP,
    reason=st.sampled_from([None, "hung", "guest-reset", "lost", "idle", "timeout", "nonsense"]),
    arguments=st.lists(st.text(max_size=30), max_size=3),
)
def test_no_soup_of_events_breaks_a_story(
    tmp_path: Path, steps: list[tuple[object, ...]], reason: str | None, arguments: list[str]
) -> None:
    for kernel in (LINUX, UNKNOWN):
        recording = _cooked(Tape(kernel=kernel), steps, reason, arguments).write(tmp_path)
        story, findings = tell(recording)
        assert story.os in {known.name for known in KNOWLEDGE}
        assert [b.name for b in story.boundaries] == list(Mark)
        assert all(span.end_ns >= span.start_ns for span in story.spans if span.depth)
        assert all(c.evidence or c.steps or c.name for c in story.clocks)
        assert all(finding.code.startswith("TH") for finding in findings)


def _cooked(
    tape: Tape, steps: list[tuple[object, ...]], reason: str | None, arguments: list[str]
) -> Tape:
    tape.arguments = tuple(arguments)
    for ms, step in enumerate(steps, 1):
        match step:
            case ("enter", str(name), int(value), dict(reads)):
                tape.enter(name, value, value, value & 0xFFFF, ms=ms, vcpu=ms % 2, reads=reads)
            case ("leave", str(name), int(value), dict(reads)):
                tape.leave(name, value, ms=ms, vcpu=ms % 2, reads=reads)
            case ("line", str(text)):
                tape.line(text, ms=ms)
            case (Kind() as kind, int(a), int(b), int(c)):
                tape.event(kind, a, b, c, ms=ms)
    if reason:
        tape.ends(reason, ms=len(steps) + 1)
    return tape
