"""pvclock over pauses, on the real KVM: a guest that reads it for ever says what it saw."""

from __future__ import annotations

import time

import pytest

from monitor.running import Talk
from timehands.monitor.settings import Clocks, Jump, Maker, Policy

PROVIDERS = [Maker.KVM, Maker.OURS]
PAUSES = 50
#: How long the host measures a pause that the guest must not, or must, see.
PAUSE_NS = 200_000_000


def reading(vcpus: int, clocks: Clocks) -> Talk:
    """A guest that reads pvclock on all its vCPUs."""
    return Talk("clock_loop", str(vcpus), others=("smp.S",), vcpus=vcpus, clocks=clocks)


def pass_ns(ns: int) -> None:
    """Let that much of the host's time pass: it is what is being measured."""
    until = time.monotonic_ns() + ns
    while (left := until - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("vcpus", [1, 2])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_time_never_steps_back_over_many_pauses(
    kvm: None, provider: Maker, vcpus: int, policy: Policy
) -> None:
    with reading(vcpus, Clocks(pvclock=provider, policy=policy)) as talk:
        talk.wait_line()
        earlier = talk.ask(b"t")
        for _ in range(PAUSES):
            talk.guest.pause()
            talk.guest.resume()
            earlier, before = talk.ask(b"t"), earlier
            assert earlier[4] >= before[4]
        reads, warps, worst, stopped, *_ = talk.ask(b"t")
        assert (warps, worst) == (0, 0), talk.where()
        assert reads > PAUSES
        assert stopped >= PAUSES  # each pause was told by GUEST_STOPPED, to each vCPU
        talk.guest.send(b"s")
        talk.end()


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_pause_is_seen_or_not_as_the_policy_says(
    kvm: None, provider: Maker, policy: Policy
) -> None:
    with reading(1, Clocks(pvclock=provider, policy=policy)) as talk:
        talk.wait_line()
        outside = time.monotonic_ns()
        first = talk.ask(b"t")[4]
        talk.guest.pause()
        inside = time.monotonic_ns()
        pass_ns(PAUSE_NS)
        ran = inside - outside
        inside = time.monotonic_ns() - inside
        resumed = time.monotonic_ns()
        talk.guest.resume()
        passed = talk.ask(b"t")[4] - first
        ran += time.monotonic_ns() - resumed
        outside = time.monotonic_ns() - outside
    if policy is Policy.WALL:
        assert inside <= passed <= outside
    else:
        assert passed <= ran


@pytest.mark.parametrize("provider", PROVIDERS)
def test_its_rate_is_the_hosts(kvm: None, provider: Maker) -> None:
    """What the guest says lies between what the host's clock said before and after each answer."""
    with reading(1, Clocks(pvclock=provider)) as talk:
        talk.wait_line()
        rows = []
        for _ in range(2):
            before = time.monotonic_ns()
            said = talk.ask(b"t")[4]
            rows.append((before, said, time.monotonic_ns()))
            pass_ns(PAUSE_NS)
        (before_1, said_1, after_1), (before_2, said_2, after_2) = rows
        assert before_2 - after_1 <= said_2 - said_1 <= after_2 - before_1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_paused_twice_is_paused_once_and_running_it_is_not_resumed(
    kvm: None, provider: Maker
) -> None:
    with reading(1, Clocks(pvclock=provider)) as talk:
        talk.wait_line()
        talk.guest.resume()
        first = talk.ask(b"t")[4]
        for _ in range(3):
            talk.guest.pause()
        kept = talk.guest.system_ns
        pass_ns(PAUSE_NS // 10)
        talk.guest.pause()
        assert talk.guest.system_ns == kept
        for _ in range(3):
            talk.guest.resume()
        reads, warps, _worst, stopped, last, _tsc = talk.ask(b"t")
        assert (warps, stopped) == (0, 1)
        assert last >= first and reads


def test_a_jump_during_a_pause_does_not_end_it(kvm: None) -> None:
    hour = 3600 * 10**9
    jump = Jump("pvclock", 0, hour)
    with reading(1, Clocks(pvclock=Maker.OURS, jumps=(jump, jump))) as talk:
        with talk.guest.paused():
            talk.guest.wait(0.05)  # the jumps are on their way since the guest ran
            assert talk.guest.time.paused
        talk.wait_line()
        while talk.ask(b"t")[4] < 2 * hour:
            pass
        reads, warps, *_ = talk.ask(b"t")
        assert reads and warps == 0
