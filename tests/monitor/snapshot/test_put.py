"""The order in which a guest is put together: the right one, and each mistake planted and seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.running import Talk
from monitor.snapshot.order import NEEDED, Event, broken, listen
from monitor.snapshot.restored import Restored
from timehands.kvm.vcpu import Vcpu
from timehands.monitor import microvm, systemtime
from timehands.monitor.microvm import Microvm
from timehands.monitor.settings import Clocks, Maker
from timehands.monitor.snapshot import document, put, snapshot, tsc
from timehands.monitor.snapshot.put import Step
from timehands.monitor.snapshot.state import TSC_DEADLINE


@pytest.fixture
def kept(kvm: None, tmp_path: Path) -> Path:
    """A snapshot of a guest that reads pvclock, and waits for its timer, with KVM's chips."""
    with Talk("kept", clocks=Clocks(tsc_deadline=True)) as talk:
        talk.wait_line()
        for byte in (b"S", b"a", b"t"):
            talk.ask(byte)
        return snapshot(talk.guest, tmp_path / "kept")


@pytest.fixture
def settable(monkeypatch: pytest.MonkeyPatch) -> None:
    """TSCs are set, also on a KVM that drops that."""
    monkeypatch.setattr(tsc, "can_be_set", lambda _kvm: True)


def asked(folder: Path) -> list[Event]:
    """What KVM is asked until the guest runs."""
    with listen() as events, Restored(folder) as again:
        again.ask(b"t")
    return events


def moved(step: Step, *, after: Step) -> tuple[Step, ...]:
    """The steps, with one of them done too late."""
    steps = [each for each in put.STEPS if each is not step]
    steps.insert(steps.index(after) + 1, step)
    return tuple(steps)


def test_the_order_is_right(kept: Path, settable: None) -> None:
    assert broken(asked(kept)) == set()


@pytest.mark.parametrize(
    ("step", "after", "rules"),
    [
        (put.put_cpuid, put.put_registers, {("cpuid", "sregs")}),
        (put.put_cpuid, put.put_msrs, {("cpuid", "sregs"), ("cpuid", "msr")}),
        (put.put_wall_clock, put.put_memory, {("wall", "memory")}),
        (put.put_memory, put.put_registers, {("memory", "sregs")}),
        (put.put_tscs, put.put_lapics, {("tsc", "lapic")}),
        (put.put_tscs, put.put_deadlines, {("tsc", "lapic"), ("tsc", "deadline")}),
        (put.put_lapics, put.put_deadlines, {("lapic", "deadline")}),
        (put.put_lapics, put.put_chips, {("lapic", "deadline"), ("lapic", "irqchip")}),
    ],
)
def test_a_step_that_is_late_is_seen(
    kept: Path,
    settable: None,
    step: Step,
    after: Step,
    rules: set[tuple[str, str]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(put, "STEPS", moved(step, after=after))
        assert broken(asked(kept)) == rules


@pytest.mark.parametrize("step", put.STEPS)
def test_a_step_that_is_forgotten_is_seen(
    kept: Path, settable: None, monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    """By what KVM is asked, or by what is there before it is resumed."""
    with Restored(kept).guest as whole:
        wanted = standing(whole)
    monkeypatch.setattr(put, "STEPS", tuple(each for each in put.STEPS if each is not step))
    with listen() as events, Restored(kept).guest as again:
        lacks = standing(again)
    assert lacks != wanted or {event.name for event in events} < NEEDED


def standing(guest: Microvm) -> object:
    """Where a paused guest stands."""
    vcpu = guest.vcpus[0]
    return (
        bytes(vcpu.regs()),
        bytes(vcpu.sregs()),
        bytes(vcpu.events()),
        vcpu.msr(0x175),
        guest.vm.memory.read(1 << 20, 1 << 20),
        guest.time.now_ns(),
        guest.system_ns,
        guest.serial.state(),
    )


# What the guest itself sees of it


def rang(folder: Path) -> bool:
    """Whether the guest's timer rings within a second or two after its deadline."""
    deadline = document.read(folder).processors[0].msrs[TSC_DEADLINE]
    with Restored(folder) as again:
        late = deadline + 2 * again.guest.tsc_khz * 1000
        while True:
            ringing, _, now = again.ask(b"i")
            if ringing or now > late:
                return bool(ringing)


def test_the_timer_rings(kept: Path) -> None:
    assert rang(kept)


def test_a_deadline_before_its_lapic_never_rings(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put, "STEPS", moved(put.put_lapics, after=put.put_deadlines))
    assert not rang(kept)


def wall_record(folder: Path) -> list[int]:
    """The wall clock's record as the guest finds it."""
    with Restored(folder) as again:
        return again.ask(b"g")[2:5]


def test_a_wall_clock_after_the_memory_is_overwritten(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = wall_record(kept)
    assert wall_record(kept) == before
    monkeypatch.setattr(put, "STEPS", moved(put.put_wall_clock, after=put.put_memory))
    assert wall_record(kept) != before


Start = Callable[[Microvm], None]


def without_clock(guest: Microvm) -> None:
    """KVM's clock is not set: it counts from when the machine was made."""
    for vcpu in guest.vcpus:
        vcpu.kvmclock_ctrl()


def test_a_clock_that_is_not_set_steps_back(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Talk("kept") as talk:
        talk.wait_line()
        while talk.ask(b"t")[4] < 1_000_000_000:
            pass
        folder = snapshot(talk.guest, kept.parent / "old")
    with Restored(folder) as again:
        assert again.ask(b"t")[1] == 0
    monkeypatch.setattr(microvm, "start_system_time", without_clock)
    with Restored(folder) as again:
        assert again.ask(b"t")[1] > 0


def test_a_clock_that_is_set_when_vcpus_run_is_seen(
    kept: Path, settable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, resume = microvm.start_system_time, Microvm.resume

    def late(guest: Microvm) -> None:
        resume(guest)
        entered = guest.exits
        while guest.exits == entered:
            pass
        start(guest)

    monkeypatch.setattr(microvm, "start_system_time", lambda _guest: None)
    monkeypatch.setattr(Microvm, "resume", late)
    assert broken(asked(kept)) == {("clock", "enter"), ("stopped", "enter")}


@pytest.mark.parametrize("provider", [Maker.KVM, Maker.OURS])
def test_a_stop_that_is_not_told_is_not_seen_by_the_guest(
    kvm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Maker
) -> None:
    with Talk("kept", clocks=Clocks(pvclock=provider)) as talk:
        talk.wait_line()
        talk.ask(b"t")
        folder = snapshot(talk.guest, tmp_path / "kept")
    with Restored(folder) as again:
        assert again.ask(b"t")[3] == 1
    monkeypatch.setattr(systemtime, "_say_paused", lambda _vcpu: None)
    monkeypatch.setattr("timehands.monitor.pvclock.Pvclock.stopped", lambda _self: None)
    with Restored(folder) as again:
        assert again.ask(b"t")[3] == 0


def test_msrs_go_in_groups_and_one_that_is_refused_alone(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    set_msrs = Vcpu.set_msrs

    def noted(self: Vcpu, values: dict[int, int]) -> None:
        sizes.append(len(values))
        set_msrs(self, values)

    monkeypatch.setattr(Vcpu, "set_msrs", noted)
    Restored(kept).guest.close()
    assert max(sizes) > 10
    assert sum(sizes) < 100
