"""The judge on logs made by hand: right clocks pass, and each wrong one fails by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conform_logs import FAR, Machine, cycles, one
from timehands.clocks.rtc import UPDATE_WARNING_NS
from timehands.conform.cases import AREAS, CASES
from timehands.conform.judge import RULES, Judgement, judge
from timehands.conform.log import Line, read_log
from timehands.conform.verdicts import Verdict

Change = Callable[[Machine], object]


def judged(machine: Machine) -> Judgement:
    return judge(machine.log(), "a machine made by hand")


def verdicts(judgement: Judgement, verdict: Verdict) -> set[str]:
    return {each.case.id for each in judgement.cases if each.verdict is verdict}


def put(case: str, **values: int) -> Change:
    """Says other numbers in one case's line."""
    return lambda machine: machine.cases[case].update(one(**values))


def put_list(case: str, key: str, *values: int) -> Change:
    return lambda machine: machine.cases[case].update({key: values})


def scaled(case: str, key: str, percent: int) -> Change:
    """Numbers of a list, all larger or smaller."""

    def change(machine: Machine) -> None:
        numbers = machine.cases[case]
        numbers[key] = tuple(number * percent // 100 for number in numbers[key])

    return change


def late(case: str, *us: int) -> Change:
    """Wakes later by these times than in a machine whose timers are right."""

    def change(machine: Machine) -> None:
        took = machine.cases[case]["took"]
        more = [n + cycles(1_000 * us) for n, us in zip(took, us, strict=True)]
        machine.cases[case]["took"] = tuple(more)

    return change


def having(**fields: object) -> Change:
    def change(machine: Machine) -> None:
        for name, value in fields.items():
            setattr(machine, name, value)

    return change


def test_every_case_has_a_rule_and_an_area() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
    assert set(names) == set(RULES)
    assert {case.area for case in CASES} == set(AREAS)


def test_right_clocks_pass_in_everything_that_was_looked_at() -> None:
    judgement = judged(Machine())
    others = {
        f"host.{what}_{case}"
        for what in ("snapshot", "migration")
        for case in ("monotonic", "policy", "told")
    }
    assert judgement.conforms
    assert verdicts(judgement, Verdict.SKIP) == others
    assert verdicts(judgement, Verdict.PASS) == {case.id for case in CASES} - others


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("discovery.signature", put_list("discovery.signature", "r0", 0x10, 1, 2, 3)),
        ("discovery.features", put("pvclock.old_msrs", refused=1)),
        ("discovery.timing", put_list("discovery.timing", "regs", 2_602_600, 10**6, 0, 0)),
        ("discovery.timing_lapic", put_list("discovery.timing", "regs", 2_600_000, 24_000, 0, 0)),
        ("discovery.crystal", put_list("discovery.crystal", "regs", 2, 208, 24_000_000, 0)),
        ("discovery.processor", put_list("discovery.processor", "regs", 4_000, 0, 0, 0)),
        ("discovery.brand", having(tsc_khz=3_900_000)),
        ("tsc.monotonic", put("tsc.monotonic", backwards=1, worst=5)),
        ("tsc.monotonic", put("tsc.monotonic", elapsed=0)),
        ("tsc.across", put("tsc.across", warps=3, worst=100)),
        ("tsc.offset", put("tsc.offset", low=FAR + 30_000, high=FAR + 31_000)),
        ("tsc.offset", put("tsc.offset", low=FAR - 31_000, high=FAR - 30_000)),
        ("tsc.invariant", put("tsc.across", warps=3, worst=100)),
        ("tsc.deadline", put("tsc.deadline", fired=0)),
        ("tsc.deadline", put("tsc.deadline", irq=10**9 + 3_900_000)),
        ("tsc.deadline", put("tsc.deadline", msr_after=7)),
        ("tsc.deadline", put("tsc.deadline", after_disarm=1)),
        ("tsc.deadline", put("tsc.deadline", past_fired=0)),
        ("tsc.write", put("tsc.write", refused=1)),
        ("tsc.write", put("tsc.write", adjust_after=0)),
        ("tsc.adjust", put("tsc.adjust", read_back=0)),
        ("pvclock.old_msrs", put("pvclock.old_msrs", version=0)),
        ("pvclock.new_msrs", put("pvclock.new_msrs", pad0=1)),
        ("pvclock.new_msrs", put("pvclock.new_msrs", flags=0x41)),
        ("pvclock.new_msrs", put("pvclock.new_msrs", behind_kept=0)),
        ("pvclock.new_msrs", put("pvclock.new_msrs", read=0)),
        ("pvclock.new_msrs", put("pvclock.new_msrs", tsc_timestamp=1 << 60)),
        ("pvclock.scale", put("pvclock.new_msrs", shift=0)),
        ("pvclock.scale", scaled("pvclock.new_msrs", "mul", 101)),
        ("pvclock.reading", put("pvclock.new_msrs", ns=5)),
        ("pvclock.monotonic", put("pvclock.monotonic", warps=1, worst_ns=9)),
        ("pvclock.stalls", put("pvclock.monotonic", stalls=1, longest_stall=90_000)),
        ("pvclock.across", put("pvclock.across", warps=1, worst_ns=9)),
        ("pvclock.across", put_list("pvclock.across", "versions", 2, 0)),
        ("pvclock.stable", put_list("pvclock.across", "ns", 10**9, 10**9 + 500)),
        ("pvclock.rate", having(ns_ppm=2_000)),
        ("pvclock.rate", having(ns_ppm=-2_000)),
        ("pvclock.version", put("pvclock.version", changed=1)),
        ("pvclock.version", put("pvclock.version", back=1)),
        ("pvclock.version", put("pvclock.version", odd=1)),
        ("pvclock.version", put("pvclock.version", versions=0)),
        ("pvclock.version", put("pvclock.version", behind_ns=10**6)),
        ("pvclock.version", put("pvclock.version", ahead_ns=10**9)),
        ("pvclock.version_across", put("pvclock.version_across", changed=1)),
        ("pvclock.version_across", put("pvclock.version_across", half=1)),
        ("pvclock.register_again", put("pvclock.register_again", old_kept=0)),
        ("pvclock.register_again", put("pvclock.register_again", after_ns=1)),
        ("pvclock.register_again", put("pvclock.register_again", mul=0)),
        ("pvclock.disable", put("pvclock.disable", kept=0)),
        ("pvclock.bad_address", put("pvclock.bad_address", version=0)),
        ("pvclock.wall", put("pvclock.wall", version=0)),
        ("pvclock.wall", put("pvclock.wall", ns=2 * 10**9)),
        ("pvclock.wall", put("pvclock.wall", behind_kept=0)),
        ("lapic.divisors", put_list("lapic.divisors", "counts", *[1_600_000] * 8)),
        ("lapic.one_shot", put("lapic.one_shot", fired=0)),
        ("lapic.one_shot", put("lapic.one_shot", vector=0x41)),
        ("lapic.one_shot", put("lapic.one_shot", irq=0)),
        ("lapic.one_shot", put("lapic.one_shot", again=1)),
        ("lapic.periodic", scaled("lapic.periodic", "at", 98)),
        ("lapic.periodic", scaled("lapic.periodic", "at", 200)),
        ("lapic.periodic", put_list("lapic.periodic", "at", 4_200_000)),
        ("lapic.masked", put("lapic.masked", interrupts=1)),
        ("lapic.stopped", put("lapic.stopped", interrupts=1)),
        ("lapic.stopped", put("lapic.stopped", left=50)),
        ("i8254.rate", having(pit_hz=1_200_000)),
        ("i8254.rate", having(jolt="pit")),
        ("lapic.rate", having(jolt="lapic")),
        ("i8254.latch", put("i8254.latch", later=0xFE00)),
        ("i8254.read_back", put("i8254.read_back", mode_3=0xB4)),
        ("i8254.mode_0", put("i8254.mode_0", out=0)),
        ("i8254.mode_0", put("i8254.mode_0", out_at_first=0x20, shortest=0, longest=9_000)),
        ("i8254.mode_0", put("i8254.mode_0", count=4_000)),
        ("i8254.mode_2", put("i8254.mode_2", counts=3_800)),
        ("i8254.mode_3", put("i8254.mode_3", counts=1_900)),
        ("i8254.gate_starts", put("i8254.gate_starts", after=0x10000 - 1850)),
        ("rtc.goes_on", put_list("rtc.goes_on", "date", 0x10, 0, 0x15, 0x21, 0x11, 0x26, 0x20)),
        ("rtc.goes_on", put_list("rtc.goes_on", "date", 0x06, 0, 0x15, 0x21, 0x11, 0x26, 0x20)),
        ("pvclock.wall", put("pvclock.wall", ns=8 * 10**8)),
        ("i8254.interrupt", scaled("i8254.interrupt", "at", 50)),
        ("i8254.interrupt", put("i8254.interrupt", vector=8)),
        ("rtc.date", put_list("rtc.date", "date", 0, 0, 0x16, 0x21, 0x11, 0x26, 0x20)),
        ("rtc.date", put_list("rtc.date", "date", 0x99, 0x99, 0x99, 0x99, 0x99, 0x99, 0x20)),
        ("rtc.goes_on", put("rtc.goes_on", changed=0)),
        ("rtc.update", put("rtc.update", seen=0)),
        ("rtc.update", put("rtc.update", seen=9000)),
        ("rtc.periodic", scaled("rtc.periodic", "at", 200)),
        ("sleeping.lapic", scaled("sleeping.lapic", "took", 90)),
        ("sleeping.lapic", put("sleeping.lapic", woken=3)),
        ("sleeping.deadline", scaled("sleeping.deadline", "took", 90)),
        ("sleeping.deadline", late("sleeping.deadline", *[50_000] * 16)),
        ("sleeping.lapic", late("sleeping.lapic", *range(20_000, 36_000, 1_000))),
        ("sleeping.tsc", having(asleep=80)),
        ("sleeping.pvclock", having(asleep=80)),
        ("tsc.rate", having(asleep=80)),
        ("host.pause_monotonic", put("host.pause", backwards=1)),
        ("host.pause_policy", having(stands=False)),
        ("host.pause_policy", having(policy="wall")),
        ("host.pause_told", put("host.pause", flags_later=3)),
    ],
)
def test_what_is_wrong_fails_by_its_name(case: str, change: Change) -> None:
    machine = Machine()
    change(machine)
    judgement = judged(machine)
    assert judgement.of(case).verdict is Verdict.FAIL, judgement.of(case).saw
    assert not judgement.conforms


@pytest.mark.parametrize(
    ("case", "change"),
    [
        ("discovery.processor", put_list("discovery.processor", "regs", 3_000, 0, 0, 0)),
        ("discovery.brand", having(tsc_khz=2_800_000)),
        ("tsc.write", put("tsc.write", after=10**9, before=10**9, written=10**9 + FAR)),
        ("pvclock.stable", put("pvclock.new_msrs", flags=0)),
        ("i8254.gate_holds", put("i8254.gate_holds", later=0x8000)),
        ("discovery.limits", put_list("discovery.signature", "r0", 0x40000001, 1, 2, 3)),
    ],
)
def test_what_is_usual_and_yet_harms_is_noted(case: str, change: Change) -> None:
    machine = Machine()
    change(machine)
    assert judged(machine).of(case).verdict is Verdict.NOTE


def test_a_host_that_was_too_slow_to_look_is_no_failure() -> None:
    machine = Machine()
    put("i8254.mode_0", out_at_first=0x20, shortest=0, longest=10**9)(machine)
    put("lapic.stopped", start=0, stop=10**9, interrupts=1)(machine)
    put("tsc.deadline", after_disarm=1, disarm=5, disarmed=6)(machine)
    put("rtc.update", seen=0, within=cycles(UPDATE_WARNING_NS + 1_000))(machine)
    put("i8254.gate_starts", shortest=0, longest=cycles(2_000_000))(machine)
    put("i8254.gate_starts", after=0x10000 - 1850)(machine)
    put("tsc.across", turns=1)(machine)
    put("pvclock.across", turns=1)(machine)
    judgement = judged(machine)
    assert judgement.conforms
    for case in (
        "i8254.mode_0", "lapic.stopped", "rtc.update", "tsc.across", "pvclock.across",
        "i8254.gate_starts",
    ):  # fmt: skip
        assert judgement.of(case).verdict is Verdict.SKIP


@pytest.mark.parametrize(
    "us",
    [
        [5_000] * 16,  # less than a tick of a host at 100 Hz
        [15_000] * 15 + [0],  # not all of them
        [15_000] * 15 + [40_000],  # now and then
    ],
)
def test_a_host_that_is_late_is_no_failure(us: list[int]) -> None:
    machine = Machine()
    late("sleeping.deadline", *us)(machine)
    assert judged(machine).conforms


def test_a_host_that_is_late_for_both_timers_is_no_failure() -> None:
    machine = Machine()
    late("sleeping.deadline", *[50_000] * 16)(machine)
    late("sleeping.lapic", *[0] * 15, 51_000)(machine)
    assert judged(machine).conforms


def test_a_policy_of_catching_up_is_kept_by_a_clock_that_does() -> None:
    assert judged(Machine(policy="wall", stands=False)).conforms


def test_a_frequency_above_the_limit_is_no_frequency() -> None:
    machine = Machine()
    put_list("discovery.signature", "r0", 0x40000001, 0x4B4D564B, 0x564B4D56, 0x4D)(machine)
    judgement = judged(machine)
    assert judgement.of("discovery.timing").verdict is Verdict.SKIP
    assert "not published" in judgement.of("discovery.timing").saw


def test_without_host_times_nothing_is_passed_that_needs_them() -> None:
    judgement = judged(Machine(stamped=False))
    assert judgement.conforms
    skipped = verdicts(judgement, Verdict.SKIP)
    assert {"tsc.rate", "i8254.rate", "i8254.mode_2", "rtc.date", "pvclock.rate"} <= skipped
    assert judgement.of("discovery.timing").verdict is Verdict.PASS
    assert "by the i8254" in judgement.of("discovery.timing").saw


def test_a_case_that_the_guest_skipped_is_skipped_for_its_reason() -> None:
    log = read_log(
        [Line(None, "timehands-conform 1"), Line(None, "C tsc.across skip why=one-vcpu")]
    )
    found = judge(log, "x").of("tsc.across")
    assert (found.verdict, found.saw) == (Verdict.SKIP, "one vcpu")


def test_the_case_in_which_the_machine_died_fails() -> None:
    lines = Machine().lines()
    at = next(n for n, line in enumerate(lines) if line.text == "B pvclock.bad_address")
    judgement = judge(read_log(lines[: at + 1]), "x")
    assert judgement.trouble == "the guest ended in pvclock.bad_address"
    assert judgement.of("pvclock.bad_address").verdict is Verdict.FAIL
    assert judgement.of("pvclock.wall").verdict is Verdict.SKIP


def test_an_exception_that_the_guest_told_of_is_in_the_verdict() -> None:
    lines = [Line(None, text) for text in ("timehands-conform 1", "B tsc.write", "X d 0 100abc")]
    judgement = judge(read_log(lines), "x")
    assert "(d 0 100abc)" in judgement.trouble
    assert not judgement.conforms


def test_a_log_of_nothing_is_trouble_and_passes_nothing() -> None:
    judgement = judge(read_log([]), "x")
    assert judgement.trouble == "no word of the conformance guest was heard"
    assert verdicts(judgement, Verdict.PASS) == set()
    assert not judgement.conforms


def test_a_case_of_no_name_is_no_case() -> None:
    with pytest.raises(KeyError):
        judged(Machine()).of("tsc.colour")
