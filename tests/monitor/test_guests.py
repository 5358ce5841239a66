"""Guests of all kinds on the real KVM: well-behaved, hostile, and two at the same time."""

from __future__ import annotations

import pytest

from guest_kernels.build import System, guest_kernel
from monitor.running import Talk
from timehands.kvm import Kvm
from timehands.kvm.numbers import Capability, MpState
from timehands.monitor.devices.signals import Ending
from timehands.monitor.layout import MIB
from timehands.monitor.microvm import Settings
from timehands.monitor.settings import Clocks, Maker, Published

SIZE = 32 * MIB


@pytest.mark.parametrize(
    ("how", "ending"),
    [
        ("t", Ending("guest-reset")),
        ("r", Ending("guest-reset")),
        ("p", Ending("guest-reset")),
        ("d", Ending("guest-shutdown", 42)),
        ("x", Ending("lost")),
    ],
)
def test_each_way_to_end_is_told(kvm: None, how: str, ending: Ending) -> None:
    with Talk("endings", how) as talk:
        assert talk.end() == ending
        assert talk.lines == ["begun"]


def test_a_triple_fault_says_which_instruction_it_was(kvm: None) -> None:
    with Talk("endings", "t") as talk:
        words = talk.end().words
    assert words.startswith("triple fault, or shutdown: vCPU 0: running, interrupts off, at 0x10")
    assert "(code: 0f 0b " in words  # ud2


def test_what_kvm_cannot_go_on_with_says_where(kvm: None) -> None:
    with Talk("endings", "x") as talk:
        words = talk.end().words
    assert "at 0xd0000000 (code: not to be read)" in words


def test_a_guest_that_sleeps_for_ever_is_told_from_one_that_works(kvm: None) -> None:
    with Talk("endings", "h") as asleep, Talk("endings", "l") as busy:
        asleep.wait_line()
        busy.wait_line()
        while not (there := asleep.guest.whereabouts()[0]).lost:
            assert there.rip
        assert "halted, interrupts off, at 0x10" in str(there)
        while (spins := busy.guest.whereabouts()[0]).code[:2] != b"\xeb\xfe":
            assert spins.rip  # it has said its line, and is not in its loop yet
        assert (spins.state, spins.lost) == (MpState.RUNNABLE, False)
        assert asleep.guest.ending is None and busy.guest.ending is None


def test_vcpus_that_nobody_started_wait_for_it(kvm: None) -> None:
    with Talk("endings", "l", vcpus=2) as talk:
        talk.wait_line()
        assert str(talk.guest.whereabouts()[1]) == (
            "vCPU 1: not started (it waits for INIT and SIPI)"
        )


@pytest.mark.parametrize("vcpus", [2, 4])
def test_processors_start_by_init_and_sipi_and_read_one_clock(kvm: None, vcpus: int) -> None:
    clocks = Clocks(pvclock=Maker.OURS)
    with Talk("clock_loop", str(vcpus), others=("smp.S",), vcpus=vcpus, clocks=clocks) as talk:
        talk.wait_line()
        reads, warps, *_ = talk.ask(b"t")
        assert (reads > 0, warps) == (True, 0)
        assert talk.guest.pvclock is not None
        assert sorted(talk.guest.pvclock.registered) == list(range(vcpus))
        talk.guest.send(b"s")
        assert talk.end() == Ending("guest-reset")


@pytest.mark.parametrize("ahead", [0, 10**6, 10**8])
def test_the_deadline_timer_is_there_and_never_early(kvm: None, ahead: int) -> None:
    with Kvm() as host:
        if not host.has(Capability.TSC_DEADLINE_TIMER):
            pytest.skip("this KVM lacks KVM_CAP_TSC_DEADLINE_TIMER")
    with Talk("deadline", f"{ahead:x}") as talk:
        talk.end()
    announced, armed, fired, late = (int(word, 16) for word in talk.lines[0].split()[1:])
    assert (announced, armed, fired) == (1, 1, 1)
    assert late > 0


def test_the_deadline_timer_is_not_announced_when_it_is_switched_off(kvm: None) -> None:
    with Talk("deadline", "0", clocks=Clocks(tsc_deadline=False)) as talk:
        assert talk.wait_line().startswith("D 0 ")


#: By tag (S: system time, W: wall clock, O: the old system time), which addresses a record of ours
#: can have; the numbers are those of guests/addresses.c.
TAKEN = {
    "S": {SIZE - 64, SIZE - 32, 0x9000 - 16, 0},
    "W": {SIZE - 64, SIZE - 32, SIZE - 28, 0x9000 - 16, 0},
    "O": {0x9000},
}


def rows(talk: Talk) -> list[tuple[str, int, int, int]]:
    """What the guest said of addresses: tag, value, refused, what the MSR then had."""
    talk.end()
    split = [line.split() for line in talk.lines]
    return [(tag, int(v, 16), int(r, 16), int(kept, 16)) for tag, v, r, kept in split]


def test_pvclock_addresses_where_no_record_can_be_are_refused(kvm: None) -> None:
    with Talk("addresses", f"{SIZE:x}", clocks=Clocks(pvclock=Maker.OURS)) as talk:
        said = rows(talk)
    assert len(said) == 32
    for tag, value, refused, kept in said[:-1]:
        address = value if tag == "W" else value & ~1
        assert refused == (address not in TAKEN[tag]), (tag, hex(value))
        assert (kept == value) is not bool(refused)
    assert said[-1] == ("S", 0, 0, 0)


def test_without_pvclock_all_are_refused(kvm: None) -> None:
    with Talk("addresses", f"{SIZE:x}", clocks=Clocks(pvclock=Maker.NONE)) as talk:
        assert {refused for _tag, _value, refused, _kept in rows(talk)} == {1}


ROUNDS = 512


@pytest.mark.parametrize("provider", list(Maker))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_guest_that_writes_everywhere_at_random_ends_clearly_and_alone(
    kvm: None, provider: Maker, seed: int
) -> None:
    """It may well break itself. It must not hang us, nor disturb another guest."""
    clocks = Clocks(pvclock=provider, pit=Maker.OURS)
    other = Talk("clock_loop", "1", others=("smp.S",), clocks=Clocks(pvclock=Maker.OURS))
    with other, Talk("torment", f"{ROUNDS:x} {seed:x}", clocks=clocks) as talk:
        other.wait_line()
        first = other.ask(b"t")
        ending = talk.end()
        assert ending.reason in ("guest-shutdown", "guest-reset", "lost")
        assert ending.cause is None, ending.words
        last = other.ask(b"t")
        assert last[0] > first[0] and last[1] == 0
        other.guest.send(b"s")
        assert other.end() == Ending("guest-reset")


class Kernel(Talk):
    """One of the test kernels that do with their clocks what a BSD does."""

    def __init__(self, system: System, arguments: str, clocks: Clocks) -> None:
        settings = Settings(64 * MIB, 1, clocks)
        self.start(guest_kernel(system).read_bytes(), arguments, settings)


ARGUMENTS = {"freebsd": "hint.attimer.0.at=isa", "netbsd": "console=com hvleaf=1", "openbsd": ""}
#: What each says when its clocks are there.
AT_THE_END = {
    "freebsd": "Manual root filesystem specification:",
    "netbsd": "boot device:",
    "openbsd": "com0: console",
}


@pytest.mark.parametrize("published", [(), (Published.TIMING,), (Published.CRYSTAL,)])
@pytest.mark.parametrize("pit", [Maker.KVM, Maker.OURS])
@pytest.mark.parametrize("system", ["freebsd", "netbsd", "openbsd"])
def test_kernels_like_the_bsds_come_to_their_end_whatever_they_are_told(
    kvm: None, system: System, pit: Maker, published: tuple[Published, ...]
) -> None:
    clocks = Clocks(pit=pit, pvclock=Maker.OURS, published=published)
    with Kernel(system, ARGUMENTS[system], clocks) as talk:
        talk.wait_for(AT_THE_END[system])
        assert talk.guest.ending is None


def test_freebsd_takes_the_rate_that_it_is_told_for_exact(kvm: None) -> None:
    clocks = Clocks(told_tsc_khz=1_234_000)
    with Kernel("freebsd", ARGUMENTS["freebsd"], clocks) as talk:
        talk.wait_for('Timecounter "TSC" frequency 1234000000 Hz')
