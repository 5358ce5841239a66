"""Whatever a guest makes the recorder write, a story comes of it, and in bounded time."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freebsd_recordings import FreeBsdTape
from timehands.boot import tell
from timehands.guests.freebsd.plan import WANTED
from timehands.guests.telling import CALLERS
from timehands.watch.records import Kind

NAMES = [wanted.name for wanted in WANTED]
READS = [
    "tc_name", "tc_frequency", "tc_quality", "tc_flags", "tc_counter_mask", "current", CALLERS,
    "current_quality", "early_delay", "tsc_freq", "tsc_is_invariant", "tsc_skip_calibration",
    "clkname", "et_name", "et_quality", "tf_rip", "tf_addr", "caller1", "string", "hv_high",
    "vm_guest", "cpu_high", "count_freq", "lapic_timer_divisor",
]  # fmt: skip
NUMBER = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 0x40000010, 0xFFFFFFFF])
HOSTILE = st.binary(max_size=80) | NUMBER | st.text(max_size=20)
CALLED = st.tuples(
    st.sampled_from(NAMES), st.booleans(), NUMBER, st.dictionaries(st.sampled_from(READS), HOSTILE)
)
SAID = st.sampled_from(
    [
        "panic: x", "Fatal trap 12: y", "fault virtual address\t= 0xffffffffffffffff",
        "Statistical TSC calibration took 0 us and 0 data points", "panic: ",
        'Timecounter "TSC" frequency 0 Hz quality -0', "--- trap 0xc", "lapic: Divisor 0, Freq",
        "lapic: Divisor 999999, Frequency 99999999999999999999 Hz", "mountroot> \x1b[2J",
        'Timecounter "" frequency 1 Hz quality 1', "f() at f+0x1/frame 0",
    ]
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(CALLED, max_size=25), st.lists(SAID | st.text(max_size=40), max_size=8))
def test_any_calls_and_lines_make_a_story(
    tmp_path: Path,
    called: list[tuple[str, bool, int, dict[str, bytes | int | str]]],
    said: list[str],
) -> None:
    tape = FreeBsdTape()
    for ms, (name, enters, number, reads) in enumerate(called):
        clean = {k: v for k, v in reads.items() if not isinstance(v, str) or v.isascii()}
        if enters:
            tape.enter(name, number, ms=ms, caller=number, reads=clean)
        else:
            tape.leave(name, number, ms=ms, reads=clean)
        tape.event(Kind.CPUID, 0x40000010, number, number, ms=ms)
    for ms, text in enumerate(said):
        tape.line(text.encode("ascii", "replace").decode(), ms=ms)
    story, _findings = tell(tape.write(tmp_path))
    assert story.os == "freebsd"
    assert len(story.clocks) <= 70
