"""Guests that are kept and go on, on the real KVM: what they see of it, and of their clocks."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.running import PATIENCE_S, Talk
from monitor.snapshot.restored import Restored
from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.numbers import TIME_INFO_SIZE
from timehands.kvm.numbers import Capability, ClockFlags
from timehands.kvm.structs import Fpu
from timehands.kvm.vm import Vm
from timehands.monitor.microvm import Microvm
from timehands.monitor.settings import Clocks, Jump, Maker, Policy
from timehands.monitor.snapshot import snapshot
from timehands.monitor.snapshot.take import collect

PROVIDERS = [Maker.KVM, Maker.OURS]
#: For how long the guest lies in the snapshot, which it must, or must not, see.
LAID_NS = 200_000_000
SECOND = 1_000_000_000


def pass_ns(ns: int) -> None:
    """Let that much of the host's time pass: it is what is being measured."""
    until = time.monotonic_ns() + ns
    while (left := until - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


def begun(clocks: Clocks, *, vcpus: int = 1) -> Talk:
    """A guest that has set up what is to be kept; with more vCPUs one that only reads pvclock."""
    if vcpus > 1:
        return Talk("clock_loop", str(vcpus), others=("smp.S",), vcpus=vcpus, clocks=clocks)
    return Talk("kept", clocks=clocks)


@pytest.mark.parametrize("vcpus", [1, 2])
@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_its_time_goes_on_as_the_policy_says(
    kvm: None, tmp_path: Path, provider: Maker, policy: Policy, vcpus: int
) -> None:
    check_its_time(tmp_path, provider, policy, vcpus)


def test_it_catches_up_also_where_kvm_takes_no_date(
    kvm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capability = Vm.capability

    def without_realtime(self: Vm, asked: Capability) -> int:
        return capability(self, asked) & ~(ClockFlags.REALTIME * (asked is Capability.ADJUST_CLOCK))

    monkeypatch.setattr(Vm, "capability", without_realtime)
    check_its_time(tmp_path, Maker.KVM, Policy.WALL, 1, exact=False)


def check_its_time(
    tmp_path: Path, provider: Maker, policy: Policy, vcpus: int, *, exact: bool = True
) -> None:
    """What passed for the guest lies between what the host measured inside and outside of it.

    If not ``exact`` it may lose what it takes to set its clock: less than the restore in all.
    """
    with begun(Clocks(pvclock=provider, policy=policy), vcpus=vcpus) as talk:
        talk.wait_line()
        outside = time.time_ns()
        first = talk.ask(b"t")
        inside = time.time_ns()
        talk.guest.pause()
        stood = time.time_ns()
        snapshot(talk.guest, tmp_path / "kept")
    pass_ns(LAID_NS)
    again = Restored(tmp_path / "kept")
    resumed = time.time_ns()
    with again:
        asked = time.time_ns()
        reads, warps, worst, stopped, ns, _tsc = again.ask(b"t")
        answered = time.time_ns()
        passed = ns - first[4]
        assert (warps, worst) == (0, 0)
        assert reads > first[0]
        assert stopped > first[3]  # GUEST_STOPPED was there
    if policy is Policy.WALL:
        assert (asked - inside if exact else LAID_NS) <= passed <= answered - outside
    else:
        assert 0 <= passed <= stood - outside + answered - resumed


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_another_policy_can_be_asked_for(
    kvm: None, tmp_path: Path, provider: Maker, policy: Policy
) -> None:
    other = Policy.WALL if policy is Policy.MONOTONIC else Policy.MONOTONIC
    with begun(Clocks(pvclock=provider, policy=policy)) as talk:
        talk.wait_line()
        snapshot(talk.guest, tmp_path / "kept")
    with Restored(tmp_path / "kept", policy=other) as again:
        assert again.guest.settings.clocks.policy is other
        again.guest.pause()
        state = collect(again.guest)
    assert state.clocks == replace(
        Clocks(pvclock=provider), policy=other, tsc_khz=state.clocks.tsc_khz
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_goes_on_twice_from_one_snapshot_and_in_another_process(
    kvm: None, tmp_path: Path, provider: Maker
) -> None:
    with begun(Clocks(pvclock=provider)) as talk:
        talk.wait_line()
        talk.ask(b"S")
        before = talk.ask(b"t")
        snapshot(talk.guest, tmp_path / "kept")
        kept = talk.ask(b"g")[1:]
    with Restored(tmp_path / "kept") as one, Restored(tmp_path / "kept") as two:
        answers = [(each.ask(b"t"), each.ask(b"g")) for each in (one, two)]
    program = [sys.executable, str(Path(__file__).with_name("restored.py"))]
    done = subprocess.run(
        [*program, str(tmp_path / "kept"), "tg"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
    )  # fmt: skip
    first, second = ([int(word) for word in line.split()] for line in done.stdout.splitlines())
    for times, things in [*answers, (first, second)]:
        assert times[4] >= before[4]
        assert times[1:3] == [0, 0]
        assert things[1:] == kept


def memory_of(guest: Microvm) -> bytes:
    """The memory but for pvclock's record, which KVM may write when it is registered."""
    memory = bytearray(guest.vm.memory.read(0, guest.settings.memory_bytes))
    record = guest.vcpus[0].msr(ClockMsr.KVM_SYSTEM_TIME) & ~1
    memory[record : record + TIME_INFO_SIZE] = bytes(TIME_INFO_SIZE)
    return bytes(memory)


@pytest.mark.parametrize("pit", PROVIDERS)
def test_all_of_it_is_as_it_was(kvm: None, tmp_path: Path, pit: Maker) -> None:
    with begun(Clocks(pvclock=Maker.KVM, pit=pit, jumps=(Jump("wall", 10**15, 5),))) as talk:
        talk.wait_line()
        talk.ask(b"S")
        with talk.guest.paused():
            talk.guest.vcpus[0].set_fpu(Fpu(fcw=0x37F, mxcsr=0x1F80, last_ip=0))
            before, memory = collect(talk.guest), memory_of(talk.guest)
            snapshot(talk.guest, tmp_path / "kept")
    with Restored(tmp_path / "kept").guest as again:
        after, memory_after = collect(again), memory_of(again)
    assert memory_after == memory
    for one, other in zip(before.processors, after.processors, strict=True):
        assert one.parts["regs"] == other.parts["regs"]
        assert one.parts.keys() == other.parts.keys()
        for name in one.parts.keys() - {"lapic"}:  # its timer counts
            assert one.parts[name] == other.parts[name], name
        assert (one.msrs, one.cpuid, one.mp_state) == (other.msrs, other.cpuid, other.mp_state)
    if pit is Maker.OURS:  # KVM's goes on to interrupt while the guest is paused
        assert before.devices.chips == after.devices.chips
    assert before.devices.i8254 == after.devices.i8254
    assert before.devices.serial == after.devices.serial
    assert before.devices.rtc == after.devices.rtc
    assert after.clocks.jumps == before.clocks.jumps
    for name in ("guest_ns", "system_ns"):
        assert getattr(before.times, name) == getattr(after.times, name)


def test_our_i8254_goes_on_from_its_count(kvm: None, tmp_path: Path) -> None:
    """Its ticks are guest time, which stands still meanwhile: by the host's it would be off."""
    with begun(Clocks(pit=Maker.OURS)) as talk:
        talk.wait_line()
        talk.ask(b"S")
        talk.guest.pause()
        tick = talk.guest.time.now_ns() * 1_193_182 // SECOND
        count = talk.guest.i8254.chip.channels[0].counter.value(tick)
        snapshot(talk.guest, tmp_path / "kept")
    pass_ns(SECOND // 100)
    with Restored(tmp_path / "kept").guest as again:
        tick_again = again.time.now_ns() * 1_193_182 // SECOND
        assert tick_again == tick
        assert again.i8254.chip.channels[0].counter.value(tick_again) == count


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_timer_that_waits_rings_after_it(kvm: None, tmp_path: Path, provider: Maker) -> None:
    with begun(Clocks(pvclock=provider, tsc_deadline=True)) as talk:
        talk.wait_line()
        talk.ask(b"a")
        snapshot(talk.guest, tmp_path / "kept")
    with Restored(tmp_path / "kept") as again:
        deadline = time.monotonic() + PATIENCE_S
        while not (said := again.ask(b"i"))[0]:
            assert time.monotonic() < deadline, said
        assert said[1] == 0


def test_input_and_interrupts_that_wait_are_still_there(kvm: None, tmp_path: Path) -> None:
    with begun(Clocks()) as talk:
        talk.wait_line()
        talk.guest.pause()
        talk.guest.send(b"t")
        snapshot(talk.guest, tmp_path / "kept")
    with Restored(tmp_path / "kept") as again:
        assert again.wait_line().startswith("T")


def test_a_jump_that_was_made_is_not_made_again(kvm: None, tmp_path: Path) -> None:
    by_ns = 3600 * SECOND
    with begun(Clocks(pvclock=Maker.OURS, jumps=(Jump("pvclock", 0, by_ns),))) as talk:
        talk.wait_line()
        while talk.ask(b"t")[4] < by_ns:
            pass
        snapshot(talk.guest, tmp_path / "kept")
    with Restored(tmp_path / "kept") as again:
        assert again.guest.settings.clocks.jumps == ()
        assert by_ns <= again.ask(b"t")[4] < 2 * by_ns


def test_one_that_never_ran_begins_at_nothing(kvm: None, tmp_path: Path) -> None:
    talk = begun(Clocks(policy=Policy.WALL))
    with talk.guest:
        snapshot(talk.guest, tmp_path / "kept")
    pass_ns(LAID_NS)
    with Restored(tmp_path / "kept") as again:
        started = time.monotonic_ns()
        again.wait_line()
        *_, stopped, ns, _tsc = again.ask(b"t")
        assert stopped == 0
        assert ns <= time.monotonic_ns() - started + LAID_NS // 2


def test_a_vcpu_that_waits_to_be_started_is_started_after_it(kvm: None, tmp_path: Path) -> None:
    with begun(Clocks(pvclock=Maker.OURS), vcpus=2).guest as guest:
        snapshot(guest, tmp_path / "kept")
    with Restored(tmp_path / "kept") as again:
        again.wait_line()
        while not again.ask(b"t")[0]:
            pass
        assert again.guest.pvclock is not None
        while len(again.guest.pvclock.registered) < 2:
            again.ask(b"t")


def test_a_snapshot_of_a_restored_guest_is_one_too(kvm: None, tmp_path: Path) -> None:
    with begun(Clocks(pvclock=Maker.OURS)) as talk:
        talk.wait_line()
        talk.ask(b"S")
        earlier = talk.ask(b"t")[4]
        snapshot(talk.guest, tmp_path / "0")
    for number in range(3):
        with Restored(tmp_path / str(number)) as again:
            now = again.ask(b"t")
            assert now[4] > earlier
            assert now[1:3] == [0, 0]
            earlier = now[4]
            snapshot(again.guest, tmp_path / str(number + 1))


def test_vcpus_with_equal_tscs_keep_them_equal(kvm: None, tmp_path: Path) -> None:
    with begun(Clocks(), vcpus=2) as talk:
        talk.wait_line()
        talk.ask(b"t")
        talk.guest.pause()
        snapshot(talk.guest, tmp_path / "kept")
        first, *others = talk.guest.vcpus
        if any(vcpu.tsc_offset() != first.tsc_offset() for vcpu in others):
            pytest.skip("this host's TSCs are not synchronised")
    with Restored(tmp_path / "kept").guest as again:
        assert len({vcpu.tsc_offset() for vcpu in again.vcpus}) == 1
