from __future__ import annotations

import json
from pathlib import Path

import pytest

from recordings import MS, STARTED_NS, Tape
from timehands.machines.machine import Machine
from timehands.story.model import Outcome, OutcomeKind
from timehands.story.outcome import Signs, busiest, outcome_of, reset_addresses
from timehands.watch.recording import Spot
from timehands.watch.stuck import CANNOT_GO_ON

HANG = 0xFFFFFFFF81001234
INIT = Signs(init=("e5",))
NOTHING = Signs()


def _kind_and_text(tape: Tape, signs: Signs, folder: Path) -> tuple[OutcomeKind, str]:
    outcome = outcome_of(tape.write(folder), signs)
    return outcome.kind, outcome.text


@pytest.mark.parametrize(
    ("reason", "kind", "word"),
    [
        ("guest-reset", OutcomeKind.RESET, "triple fault"),
        ("guest-shutdown", OutcomeKind.HALTED, "switched the machine off"),
        ("halted", OutcomeKind.HALTED, "interrupts off"),
        ("idle", OutcomeKind.HUNG, "waits for an interrupt"),
        ("hung", OutcomeKind.HUNG, "spins"),
        ("timeout", OutcomeKind.TIMED_OUT, "time was over"),
        ("boundary", OutcomeKind.STOPPED, "asked for"),
        ("interrupted", OutcomeKind.STOPPED, "interrupted"),
        ("guest-panic", OutcomeKind.STOPPED, "guest-panic"),
        ("lost", OutcomeKind.VM_LOST, "QEMU died"),
    ],
)
def test_every_end_before_init_has_an_outcome_of_its_own(
    tmp_path: Path, reason: str, kind: OutcomeKind, word: str
) -> None:
    tape = Tape()
    tape.ends(reason, ms=80)
    outcome = outcome_of(tape.write(tmp_path), NOTHING)
    assert outcome.kind is kind
    assert word in outcome.text
    assert outcome.at_ns == 80 * MS


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("boundary", "as asked"),
        ("idle", "idle"),
        ("hung", "nothing new"),
        ("halted", "halted"),
        ("timeout", "time was over"),
        ("guest-reset", "reset the machine"),
        ("guest-shutdown", "switched the machine off"),
        ("interrupted", "interrupted"),
        ("something else", "something else"),
    ],
)
def test_whatever_comes_after_init_it_was_reached(tmp_path: Path, reason: str, word: str) -> None:
    tape = Tape()
    tape.ends(reason, ms=80)
    outcome = outcome_of(tape.write(tmp_path), INIT)
    assert outcome.kind is OutcomeKind.INIT_REACHED
    assert word in outcome.text
    assert outcome.evidence == ("e5",)


def test_an_init_that_finished_ended_the_machine(tmp_path: Path) -> None:
    tape = Tape()
    tape.ends("guest-reset", ms=80)
    signs = Signs(init=("e5",), finished=True, restart=True)
    assert "ended the machine" in _kind_and_text(tape, signs, tmp_path)[1]


def test_a_recording_that_was_cut_off_counts_as_interrupted(tmp_path: Path) -> None:
    assert _kind_and_text(Tape(), NOTHING, tmp_path) == (
        OutcomeKind.STOPPED,
        "ended before init: interrupted",
    )


def test_a_panic_counts_more_than_init_and_than_the_reset_after_it(tmp_path: Path) -> None:
    tape = Tape()
    tape.ends("guest-reset", ms=80)
    signs = Signs(init=("e5",), panic="no root", panic_evidence=("c3",), restart=True)
    outcome = outcome_of(tape.write(tmp_path), signs)
    assert outcome.kind is OutcomeKind.PANICKED
    assert outcome.text == "the kernel panicked: no root"
    assert outcome.evidence == ("c3",)


def test_a_lost_machine_counts_more_than_all_else_and_says_what_qemu_said(tmp_path: Path) -> None:
    tape = Tape(header={"exit_status": -11, "stderr": "warning\nqemu: fatal: out of luck\n"})
    tape.ends("lost", ms=80)
    signs = Signs(init=("e5",), panic="no root")
    assert _kind_and_text(tape, signs, tmp_path) == (
        OutcomeKind.VM_LOST,
        "QEMU died (exit status -11): qemu: fatal: out of luck",
    )


def test_a_restart_that_the_kernel_asked_for_is_no_triple_fault(tmp_path: Path) -> None:
    tape = Tape()
    tape.ends("guest-reset", ms=80)
    kind, text = _kind_and_text(tape, Signs(restart=True), tmp_path)
    assert kind is OutcomeKind.RESET
    assert "triple fault" not in text


def test_a_triple_fault_says_where(tmp_path: Path) -> None:
    tape = Tape(reset_log="RIP=0000000001000000 RFL=2\nRIP=ffffffff81001234 RFL=00000086\n")
    tape.symbols[HANG] = "idt_setup_early_handler+0x4"
    tape.ends("guest-reset", ms=80)
    outcome = outcome_of(tape.write(tmp_path), NOTHING)
    assert outcome.where == "idt_setup_early_handler+0x4"
    assert "at idt_setup_early_handler+0x4" in outcome.text


def test_a_triple_fault_in_unnamed_code_says_the_address(tmp_path: Path) -> None:
    tape = Tape(reset_log="EIP=0010abcd EFL=00000002")
    tape.ends("guest-reset", ms=80)
    assert outcome_of(tape.write(tmp_path), NOTHING).where == "0x10abcd"


def test_a_hang_says_where_it_spins_and_within_what(tmp_path: Path) -> None:
    tape = Tape(spots=(Spot(0, HANG, False, True),) * 8)
    tape.symbols[HANG] = "delay_loop+0x7"
    tape.ends("hung", ms=80)
    outcome = outcome_of(tape.write(tmp_path), Signs(busy_in="calibrate_delay"))
    assert outcome.where == "delay_loop"
    assert outcome.text == "it spins in delay_loop and runs nothing new (within calibrate_delay)"


def test_the_busiest_place_is_that_of_most_looks_and_halted_vcpus_do_not_count(
    tmp_path: Path,
) -> None:
    tape = Tape()
    tape.symbols = {HANG: "spin+0x1", HANG + 8: "spin+0x9", 0x10: "other", 0x20: "idle"}
    recording = tape.write(tmp_path)
    looks = [(HANG, False), (0x10, False), (HANG + 8, False), *[(0x20, True)] * 5]
    spots = tuple(Spot(0, pc, halted, True) for pc, halted in looks)
    assert busiest(recording, spots) == "spin"
    assert busiest(recording, spots[3:]) == "idle"
    assert busiest(recording, ()) is None


def test_addresses_of_resets_are_those_of_qemus_note() -> None:
    # The layout of x86_cpu_dump_state (QEMU target/i386/cpu-dump.c), 64 and 32 bits.
    log = (
        "CPU Reset (CPU 0)\nRAX=0 RBX=0\nRIP=ffffffff81000010 RFL=00000046 [---Z-P-]\n"
        "EIP=0000fff0 EFL=00000002\nERIP=1 XRIP=zz"
    )
    assert reset_addresses(log) == (0xFFFFFFFF81000010, 0xFFF0)
    assert reset_addresses("") == ()


def test_a_guest_that_we_ended_is_said_to_have_been_ended_by_us(tmp_path: Path) -> None:
    tape = Tape()
    tape.enter("start_kernel", ms=20)
    tape.ends("stopped", ms=100)
    told = outcome_of(tape.write(tmp_path), Signs())
    assert (told.kind, told.text) == (
        OutcomeKind.STOPPED,
        "we ended it before init was reached",
    )


MONITOR = Machine("kvm", "monitor", "host")
EMULATION = "KVM cannot go on: an instruction that KVM cannot emulate"


def _lost(folder: Path, data: dict[str, object] | None) -> Outcome:
    tape = Tape(machine=MONITOR)
    tape.symbols[HANG] = "new_slab+0x1d"
    tape.ends("lost", ms=80)
    recording = tape.write(folder)
    if data is not None:
        row = {"ns": STARTED_NS + 70 * MS, "name": CANNOT_GO_ON, "data": data}
        (folder / "machine.jsonl").write_text(json.dumps(row) + "\n")
    return outcome_of(recording, INIT)


def test_where_kvm_cannot_emulate_is_told_with_the_instruction_and_a_way_round(
    tmp_path: Path,
) -> None:
    data = {"words": EMULATION, "pc": HANG, "code": "f0 48 0f c7 0f 00 00 00 00"}
    outcome = _lost(tmp_path, data)
    assert (outcome.kind, outcome.where) == (OutcomeKind.VM_LOST, "new_slab+0x1d")
    assert outcome.text == (
        "KVM cannot emulate this instruction here: cmpxchg16b, at new_slab+0x1d "
        "(0xffffffff81001234), code f0 48 0f c7 0f 00 00 00; --cpu host,-cx16 hides it from the "
        "guest"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "the monitor lost its guest: it does not say why"),
        ({"words": "vCPU 0: OSError: disk"}, "vCPU 0: OSError: disk"),
        (
            {"words": EMULATION, "pc": 0x1000},
            "KVM cannot emulate this instruction here: at 0x1000, its code cannot be read",
        ),
        (
            {"words": "the processor refused to enter the guest", "pc": HANG},
            "the processor refused to enter the guest, at new_slab+0x1d (0xffffffff81001234)",
        ),
    ],
)
def test_every_other_loss_is_told_as_far_as_it_is_known(
    tmp_path: Path, data: dict[str, object] | None, text: str
) -> None:
    assert _lost(tmp_path, data).text == text
