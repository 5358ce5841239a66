"""FreeBSD on the real QEMU: our own kernel that fails as the real one does, and a real one.

The real kernel is the one that ``TIMEHANDS_FREEBSD_KERNEL`` names: of the FIRECRACKER
configuration, with its symbols.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from boots.bare_guests import plugin_qemu
from boots.test_guest_kernels import nearly
from guest_kernels.build import Form, guest_kernel
from timehands.boot import Booted, Request, boot, prepare, ready_payloads
from timehands.findings.model import FixKind, Proof, Verdict
from timehands.guests.freebsd import ATTIMER_HINTS, EARLY_DELAY_PATCH
from timehands.machines.machine import Machine
from timehands.prove import prove
from timehands.story.model import ClockState, Mark, OutcomeKind, Story
from timehands.watch.interventions import Did

pytestmark = pytest.mark.boot

EXACT = Machine(deterministic=True)
CALIBRATE = "machdep.disable_tsc_calibration=0"
MENDED = (CALIBRATE, *ATTIMER_HINTS.split())
WITH_SYMBOLS: tuple[Form, ...] = ("dwarf", "symbols")


async def _boot(request: Request, *, proving: bool) -> Booted:
    prepared = prepare(request)
    ready_payloads(prepared)
    booted = await boot(prepared)
    return await prove(booted, prepared) if proving else booted


def booted(request: Request, *, proving: bool = False) -> Booted:
    """A boot that a QEMU with the plugin watches, with its proof if it is asked for."""
    plugin_qemu()
    return asyncio.run(_boot(request, proving=proving))


def ours(folder: Path, *words: str, form: Form = "dwarf", mended: bool = False) -> Request:
    """Our kernel on a machine in virtual time; ``mended``: with all that it needs."""
    return Request(
        guest_kernel("freebsd", form),
        EXACT,
        (*(MENDED if mended else ()), *words),
        folder=folder / "recording",
        timeout_s=60,
        patches=(EARLY_DELAY_PATCH,) if mended else (),
    )


def codes(told: Booted) -> set[str]:
    """What was found."""
    return {finding.code for finding in told.report.findings}


def proof_of(told: Booted) -> Proof:
    """The proof, which there is to be."""
    assert told.report.proof is not None
    return told.report.proof


def at_the_prompt(story: Story) -> bool:
    """Whether the kernel came as far as it gets without a root file system."""
    return story.outcome.kind is OutcomeKind.INIT_REACHED and "mountroot>" in story.outcome.text


@pytest.mark.parametrize("form", WITH_SYMBOLS)
def test_all_causes_are_found_in_one_run_and_mended(tmp_path: Path, form: Form) -> None:
    told = booted(ours(tmp_path, form=form), proving=True)
    assert told.report.story.outcome.kind is OutcomeKind.PANICKED
    assert "page fault at 0x20 in " in told.report.story.outcome.text
    assert "pvclock_get_timecount" in told.report.story.outcome.text
    assert {"TH104", "TH105", "TH306"} <= codes(told)
    best = proof_of(told).best
    assert best is not None and best.verdict is Verdict.MENDED
    assert {f.value for f in best.fixes} == {CALIBRATE, EARLY_DELAY_PATCH, ATTIMER_HINTS}
    assert best.selected == "TSC"
    assert best.measured_hz and nearly(best.measured_hz, 10**9)
    assert best.lapic_hz and nearly(best.lapic_hz, 10**9)
    alone = {t.fixes[0].value: t for t in proof_of(told).trials if len(t.fixes) == 1}
    assert set(alone) == {CALIBRATE, EARLY_DELAY_PATCH, ATTIMER_HINTS}
    assert all(trial.verdict is not Verdict.MENDED for trial in alone.values())


def test_the_assertion_of_a_debugging_kernel_is_explained(tmp_path: Path) -> None:
    told = booted(ours(tmp_path, "invariants=1"))
    assert told.report.story.outcome.text == "the kernel panicked: TSC not initialized"
    (finding,) = [f for f in told.report.findings if f.code == "TH104"]
    assert "an assertion ended the boot" in finding.cause
    assert [f.value for f in finding.fixes] == [CALIBRATE]


def test_a_stripped_kernel_tells_by_its_console(tmp_path: Path) -> None:
    told = booted(ours(tmp_path, form="stripped"))
    story = told.report.story
    assert story.outcome.kind is OutcomeKind.PANICKED
    assert "page fault" in story.outcome.text
    assert any("no symbols" in text for text in story.unknown)
    (finding,) = [f for f in told.report.findings if f.code == "TH101"]
    assert [(f.kind, f.value) for f in finding.fixes] == [(FixKind.KERNEL_ARGUMENT, CALIBRATE)]


@pytest.mark.parametrize("form", WITH_SYMBOLS)
def test_a_mended_boot_is_told_in_full(tmp_path: Path, form: Form) -> None:
    told = booted(ours(tmp_path, form=form, mended=True))
    story = told.report.story
    assert at_the_prompt(story)
    assert (story.selected, story.selected_timer) == ("TSC", "LAPIC")
    assert story.boundary_ns(Mark.CLOCK_KNOWN) is not None
    i8254, tsc = story.clock("i8254"), story.clock("TSC")
    assert i8254 is not None and "attimer_attach" in " ".join(i8254.steps[0].backtrace)
    assert tsc is not None and tsc.state is ClockState.SELECTED
    assert [c.against for c in story.calibrations if c.result_hz] == ["i8254", "i8254", "TSC"]
    assert story.delay[0].what.startswith("i8254")
    facts = {fact.name: fact.value for fact in story.facts}
    assert facts["timecounter->tc_name"] == "TSC"
    assert facts["init_ops.early_delay"] == "i8254_delay"
    assert facts["timecounters"] == "TSC, i8254, dummy"
    assert {m.source for m in story.messages} >= {"clockcalib", "tc_init", "et_register"}
    changed = [(done.kind, done.what) for done in told.recording.interventions]
    assert changed == [
        (Did.PATCH, "xen_pvh_init_ops+8 = &i8254_init (was &xen_clock_init)"),
        (Did.PATCH, "xen_pvh_init_ops+16 = &i8254_delay (was &xen_delay)"),
    ]
    assert not (told.recording.folder / "kernel.patched").exists()
    assert told.recording.header.load.kernel == guest_kernel("freebsd", form)


def test_a_reference_that_is_none_is_found_though_the_kernel_looks_healthy(tmp_path: Path) -> None:
    request = replace(ours(tmp_path, CALIBRATE), patches=(EARLY_DELAY_PATCH,))
    told = booted(request)
    assert at_the_prompt(told.report.story)
    assert {"TH105", "TH107"} <= codes(told)


@pytest.mark.parametrize(
    ("words", "where"),
    [("fault=page", "read_from"), ("fault=general", "read_from")],
)
def test_a_fault_is_told_with_its_callers(tmp_path: Path, words: str, where: str) -> None:
    outcome = booted(ours(tmp_path, words, mended=True)).report.story.outcome
    assert outcome.kind is OutcomeKind.PANICKED
    assert outcome.where is not None and outcome.where.startswith(where)
    assert "mi_startup" in outcome.where


def test_an_assertion_that_fails_is_a_panic_with_its_words(tmp_path: Path) -> None:
    outcome = booted(ours(tmp_path, "assert=1", mended=True)).report.story.outcome
    assert "Assertion timecounter != &dummy_timecounter failed" in outcome.text


@pytest.mark.parametrize(
    ("word", "how"),
    [("cyclic", "the list goes in a circle"), ("corrupt", "leads to memory that holds no entry")],
)
def test_a_damaged_list_is_read_to_where_it_breaks(tmp_path: Path, word: str, how: str) -> None:
    told = booted(ours(tmp_path, f"list={word}", mended=True))
    (fact,) = [f for f in told.report.story.facts if f.name == "timecounters"]
    assert how in fact.meaning
    assert "i8254" in str(fact.value)


def test_a_count_that_stands_still_is_a_hang_in_the_calibration(tmp_path: Path) -> None:
    told = booted(ours(tmp_path, "hang=i8254_delay", mended=True))
    story = told.report.story
    assert story.outcome.kind is OutcomeKind.HUNG
    assert story.outcome.where == "i8254_delay"
    assert {"TH601", "TH101"} <= codes(told)
    (late,) = [c for c in story.calibrations if c.method == "probe_tsc_freq_late"]
    assert (late.against, late.result_hz) == ("i8254", None)


def test_a_pit_that_is_absent_is_given_back(tmp_path: Path) -> None:
    machine = replace(EXACT, devices=(("pit", False),))
    told = booted(replace(ours(tmp_path, mended=True), machine=machine), proving=True)
    assert {"TH301", "TH601"} <= codes(told)
    (trial,) = proof_of(told).trials
    assert [fix.value for fix in trial.fixes] == ["pit=on"]
    assert trial.verdict is Verdict.MENDED


def test_a_ramdisk_is_warned_of_before_the_boot(tmp_path: Path) -> None:
    ramdisk = tmp_path / "ramdisk"
    ramdisk.write_bytes(b"070701")
    request = replace(ours(tmp_path), initrd=ramdisk)
    assert "FreeBSD" in prepare(request).ramdisk_note
    assert "TH307" in codes(booted(request))


def real_kernel() -> Path:
    """The kernel that the environment names."""
    named = os.environ.get("TIMEHANDS_FREEBSD_KERNEL")
    if not named:
        pytest.skip("TIMEHANDS_FREEBSD_KERNEL names no kernel")
    return Path(named)


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_real_kernel_is_brought_to_its_prompt(tmp_path: Path, *, deterministic: bool) -> None:
    kernel = real_kernel()
    machine = Machine(deterministic=deterministic)
    request = Request(kernel, machine, folder=tmp_path / "recording", timeout_s=120)
    told = booted(request, proving=True)
    assert {"TH104", "TH105", "TH306"} <= codes(told)
    best = proof_of(told).best
    assert best is not None and best.verdict is Verdict.MENDED
    assert {f.value for f in best.fixes} == {CALIBRATE, EARLY_DELAY_PATCH, ATTIMER_HINTS}
    survey = told.report.survey
    assert survey is not None and survey.tsc is not None and survey.lapic.rate is not None
    assert best.measured_hz and nearly(best.measured_hz, survey.tsc.hz)
    assert best.lapic_hz and nearly(best.lapic_hz, survey.lapic.rate.hz)
