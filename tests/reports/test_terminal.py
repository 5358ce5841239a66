"""The report in a terminal, against rich's own measure of cells and against hostile input."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from reports.build import (
    HOSTILE,
    empty_report,
    hang_report,
    healthy_report,
    hostile_report,
    jiffies_report,
    survey,
)
from reports.build_bsd import ALL_REPORTS, freebsd_report, netbsd_report
from timehands.machines.machine import Machine
from timehands.reports.plain import harmless
from timehands.reports.terminal import Detail, render
from timehands.watch.interventions import Did, Intervention, Stopped

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(("width", "color"), [(40, True), (80, False), (100, True), (140, False)])
@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("name", ALL_REPORTS)
def test_no_line_is_wider_than_asked_for(
    name: str, detail: Detail, color: bool, width: int
) -> None:
    text = render(ALL_REPORTS[name](), width=width, color=color, detail=detail)
    assert max(cell_len(COLOURS.sub("", line)) for line in text.split("\n")) <= width


@pytest.mark.parametrize("color", [False, True])
def test_nothing_from_a_guest_reaches_the_terminal_as_a_command(color: bool) -> None:
    text = COLOURS.sub("", render(hostile_report(), color=color, detail=Detail.ALL))
    assert all(c == "\n" or c.isprintable() for c in text)


def test_without_colours_there_is_no_escape_at_all() -> None:
    assert "\x1b" not in render(jiffies_report(), color=False)


def test_colours_change_no_word() -> None:
    plain = render(jiffies_report(), color=False)
    assert [
        line.rstrip() for line in COLOURS.sub("", render(jiffies_report(), color=True)).split("\n")
    ] == plain.split("\n")


@pytest.mark.parametrize("name", ALL_REPORTS)
def test_a_stream_without_unicode_gets_ascii(name: str) -> None:
    text = render(ALL_REPORTS[name](), color=False, unicode=False, detail=Detail.ALL)
    assert text.isascii()
    assert max(map(len, text.split("\n"))) <= 100


def test_the_verdict_comes_first() -> None:
    first = render(jiffies_report(), color=False).split("\n")[0]
    assert first.startswith("✗ Linux runs on refined-jiffies")
    assert first.endswith("init reached after 2.18 s")


def test_a_healthy_boot_says_that_nothing_is_wrong() -> None:
    text = render(healthy_report(), color=False)
    assert text.startswith("✓ Linux runs on tsc at 2.596132 GHz; nothing wrong was found")
    assert "explain" not in text
    assert "\nEnded" not in text


def test_a_hang_says_where() -> None:
    text = render(hang_report(), color=False)
    assert text.startswith("✗ Linux hangs in pit_calibrate_tsc+0x6c: ")
    assert re.search(r"init +not seen", text)
    assert re.search(r"Ended +spins on port 0x61, in pit_calibrate_tsc\+0x6c \[e300\]", text)


def test_evidence_is_followed_by_its_place_in_the_recording() -> None:
    text = render(jiffies_report(), color=False)
    assert "leaf 0x15 answers zeros [e12]" in text
    assert "[e412 ... e469, 58 in all]" in text


def test_a_fix_that_was_tried_says_what_came_out() -> None:
    text = render(jiffies_report(), color=False)
    assert "proved: mended: tsc selected, 2.500 GHz, boot 171 ms shorter" in text
    assert "proved: no change: refined-jiffies selected, 250 Hz, boot 12 ms longer" in text


def test_a_fix_that_two_findings_share_is_told_once() -> None:
    text = render(jiffies_report(), color=False)
    assert text.count("tells the kernel the rate") == 1
    assert "tsc_early_khz=2500000, as for TH101" in text


def test_the_proof_has_the_first_boot_above_the_trials() -> None:
    lines = render(jiffies_report(), color=False).split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("Proof"))
    assert lines[start + 2].startswith("(nothing)")
    assert "2.089 s" in lines[start + 2]
    assert "mended" in lines[start + 3] and "-171 ms" in lines[start + 3]


def test_it_ends_with_how_to_see_it_again() -> None:
    last = render(jiffies_report(), color=False).rstrip().split("\n")[-2:]
    assert last == ["More  timehands report /tmp/recording", "      timehands explain TH101"]


def test_a_survey_says_what_the_machine_offers_and_lacks() -> None:
    text = render(replace(jiffies_report(), survey=survey()), color=False)
    joined = " ".join(text.split())
    assert "offers TSC 2.5000 GHz (not invariant), i8254 1.1932 MHz, RTC (ticks)" in joined
    assert "does not offer TSC frequency, pvclock, LAPIC, TSC-deadline, HPET" in joined
    assert "Xen" not in joined


def test_a_boot_that_gave_nothing_still_makes_a_report() -> None:
    text = render(empty_report(), color=False)
    assert "No clock was seen." in text


def test_what_we_changed_stands_above_everything_that_it_may_have_caused() -> None:
    lines = render(freebsd_report(), color=False).split("\n")
    assert lines[2].startswith("We changed  xen_pvh_init_ops+16 = &i8254_delay")
    assert lines[2].endswith("before the boot")
    assert lines[3].strip() == "tsc_freq = 1 (was 0), at stop s3 (0.900 s)"


def test_a_clock_says_who_registered_it_and_whether_the_kernel_switched_to_it() -> None:
    text = " ".join(render(netbsd_report(), color=False).split())
    called = "startrtclock < cpu_configure < configure < main"
    assert f"i8254 0.120 s registered, from {called}; selected instead of dummy" in text
    assert "lapic 0.300 s registered, from lapic_initclock < initclocks < configure2" in text


def test_busy_waits_are_told_by_stage() -> None:
    text = " ".join(render(freebsd_report(), color=False).split())
    assert "at first xen_delay (init_ops.early_delay) [e8] from 0.310 s i8254_delay" in text


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine(), "(s1): may be off; --deterministic avoids it"),
        (Machine(accelerator="kvm", cpu="host"), "(s1): not to be trusted under KVM"),
        (Machine(deterministic=True), "(s1): costs some µs, this machine's time stops too"),
    ],
)
def test_a_calibration_says_what_a_stop_inside_it_does(machine: Machine, said: str) -> None:
    text = " ".join(render(replace(freebsd_report(), machine=machine), color=False).split())
    assert f"measured while the guest was stopped {said}" in text
    assert text.count("no stop fell inside") == 2


def test_a_boot_that_was_not_stopped_says_nothing_of_stops() -> None:
    text = render(netbsd_report(), color=False)
    assert "stopped" not in text and "We changed" not in text


def test_stops_are_a_table_with_what_was_printed() -> None:
    text = " ".join(render(freebsd_report(), color=False).split())
    assert "We stopped the guest 4 times" in text
    assert "s2 0.610 s 5 ms tc_init tc_init; tc->tc_name = i8254; tc->tc_frequency" in text
    assert "s3 0.900 s to the end write of tsc_freq" in text


def passing(index: int, pc: int) -> Stopped:
    why = "passed: cpuid 0x40000010"
    return Stopped(index, 10**9 * index, 10**9 * index + 80_000, 0, pc, why, f"f{pc} at a.c:1")


def test_stops_in_passing_are_one_line_for_each_place() -> None:
    stops = tuple(passing(index, 1 + index % 2) for index in range(1, 8))
    text = " ".join(render(replace(freebsd_report(), stops=stops), color=False).split())
    assert "We stopped the guest 7 times, for 560 us in all; 7 of them in passing" in text
    assert "f2 at a.c:1, 4 times" in text
    assert "f1 at a.c:1, 3 times" in text
    assert "320 us passed: cpuid 0x40000010" in text
    full = render(replace(freebsd_report(), stops=stops), color=False, detail=Detail.ALL)
    assert full.count("f2 at a.c:1") == 4


def test_the_same_change_is_told_once_with_how_often_it_was_made() -> None:
    done = Intervention(0, 10**9, Did.SKIP, "left out panic")
    changes = tuple(replace(done, index=index) for index in range(5))
    text = " ".join(render(replace(freebsd_report(), interventions=changes), color=False).split())
    assert text.count("left out panic") == 1
    assert ", and 4 more times" in text


def test_the_kernels_variables_are_shown_and_what_could_not_be_read_is_said() -> None:
    text = render(freebsd_report(), color=False)
    assert re.search(r"tsc_freq +2499998056 +Hz", text)
    assert re.search(r"HYPERVISOR_shared_info +could not be read", text)


def test_messages_and_steps_come_on_demand() -> None:
    text = " ".join(render(freebsd_report(), color=False, detail=Detail.CLOCKS).split())
    assert "Statistical TSC calibration took 71 us and 58 data points [c12] clockcalib(): " in text
    assert "0.302 s leaf 0x15 answers zeros [e13]" in text
    assert "Boundary" not in text
    assert "Statistical" not in render(freebsd_report(), color=False)


def test_all_leaves_nothing_out() -> None:
    many = replace(freebsd_report(), stops=freebsd_report().stops * 30)
    short = render(many, color=False)
    full = render(many, color=False, detail=Detail.ALL)
    assert "... and 108 stops more" in short
    assert "stops more" not in full
    assert "Boundary" in full and "Statistical" in full


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_harmless_text_prints_and_stays_on_its_line(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert harmless(shown) == shown


def test_harmless_text_is_cut_to_its_limit() -> None:
    assert len(harmless("x" * 10_000, 50)) == 50


def test_harmless_shows_what_was_there() -> None:
    assert harmless(HOSTILE).startswith("\\x1b[31mred\\x1b]0;title\\x07 </script>")
