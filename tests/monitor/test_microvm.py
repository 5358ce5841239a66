"""Guests of the monitor on the real KVM: what the survey finds there, and how they are steered."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping

import pytest

from monitor.guests.build import guest as build
from monitor.running import Talk
from timehands.clocks.msr import ClockMsr
from timehands.errors import KvmLacks, MachineError, NotAKernel
from timehands.kvm import Capability, Kvm, Vm
from timehands.kvm.exits import PortIn
from timehands.machines.survey import payload
from timehands.monitor.devices.signals import Ending
from timehands.monitor.layout import MIB
from timehands.monitor.loading import Load
from timehands.monitor.microvm import Microvm, Settings
from timehands.monitor.settings import Clocks, Jump, Maker, Published

PATIENCE_S = 60


def surveyed(clocks: Clocks, *, vcpus: int = 1) -> Mapping[str, list[list[str]]]:
    """What the survey guest says of a machine, by tag."""
    said: list[list[str]] = []
    rest = b""

    def console(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            words = line.decode("ascii").split()
            said.append(words)
            if words[:2] == ["B", "host"] or words[:1] == ["S"]:
                guest.send(b"s" if len(said) < 400 else b"q")

    load = Load(memoryview(payload().read_bytes()))
    settings = Settings(memory_bytes=32 * MIB, vcpus=vcpus, clocks=clocks)
    guest = Microvm(settings, load, console=console)
    with guest:
        guest.resume()
        for _ in range(20):
            if guest.wait(PATIENCE_S / 20):
                break
            guest.send(b"q")
        assert guest.ending == Ending("guest-reset")
    result: dict[str, list[list[str]]] = {}
    for words in said:
        if words:
            result.setdefault(words[0], []).append(words[1:])
    return result


@pytest.mark.parametrize("pit", [Maker.KVM, Maker.OURS, Maker.NONE])
def test_the_i8254_is_the_one_that_was_set(kvm: None, pit: Maker) -> None:
    # P: there, two latched counts, whether it counted.
    there, first, second, *_ = surveyed(Clocks(pit=pit))["P"][0]
    assert there == ("0" if pit is Maker.NONE else "1")
    assert (first == second == "ffff") is (pit is Maker.NONE)


@pytest.mark.parametrize("pvclock", list(Maker))
def test_pvclocks_msrs_are_there_unless_there_is_none(kvm: None, pvclock: Maker) -> None:
    msrs = {int(row[0], 16): row[1] for row in surveyed(Clocks(pvclock=pvclock))["M"]}
    there = msrs[ClockMsr.KVM_SYSTEM_TIME] != "-"
    assert there is (pvclock is not Maker.NONE)


@pytest.mark.parametrize("hpet", [True, False])
def test_the_hpet_is_there_or_not(kvm: None, hpet: bool) -> None:
    # H: its id, its period in fs, how much it counted.
    row = surveyed(Clocks(hpet=hpet))["H"][0]
    assert row[:2] == (["80862201", "989680"] if hpet else ["-"])


@pytest.mark.parametrize("rtc", [True, False])
def test_the_rtc_is_there_or_not(kvm: None, rtc: bool) -> None:
    row = surveyed(Clocks(rtc=rtc)).get("R", [["ff", "ff"]])[0]
    assert (row[:2] == ["26", "2"]) is rtc


@pytest.mark.parametrize("published", [(), (Published.TIMING,), (Published.CRYSTAL,)])
def test_the_rate_is_told_where_it_was_set(kvm: None, published: tuple[Published, ...]) -> None:
    leaves = {
        (int(row[0], 16), int(row[1], 16)): [int(word, 16) for word in row[2:6]]
        for row in surveyed(Clocks(published=published, told_tsc_khz=2_000_000))["C"]
    }
    timing, crystal = leaves.get((0x40000010, 0)), leaves[0x15, 0]
    assert (timing is not None and timing[:2] == [2_000_000, 1_000_000]) is (
        Published.TIMING in published
    )
    assert (crystal[:3] == [1, 2, 1_000_000_000]) is (Published.CRYSTAL in published)


def test_several_vcpus_can_be_surveyed(kvm: None) -> None:
    assert surveyed(Clocks(), vcpus=3)["M"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"memory_bytes": 1 << 20}, "give whole pages, 2 MiB to 1 TiB"),
        ({"memory_bytes": (4 << 20) + 1}, "give whole pages"),
        ({"memory_bytes": 1 << 60}, "give whole pages"),
        ({"vcpus": 0}, "give 1 to 64"),
        ({"vcpus": 65}, "give 1 to 64"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, int], words: str) -> None:
    with pytest.raises(MachineError, match=words):
        Settings(**settings)  # type: ignore[arg-type]


def test_memory_that_the_host_does_not_give_is_refused_in_words(
    kvm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_vm: Vm, _address: int, _size: int) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(Vm, "add_memory", none)
    with pytest.raises(MachineError, match="does not give 32 MiB of memory: Cannot allocate"):
        Talk("endings", "l")


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_when_it_is_left_nothing_stays(kvm: None) -> None:
    before = threads()
    later = Clocks(jumps=(Jump("wall", 10**15, 1),))
    with Talk("endings", "l", vcpus=2, clocks=later) as talk:
        talk.wait_line()
        assert threads() - before >= {"vcpu0", "vcpu1", "alarms"}
    assert threads() == before
    assert talk.guest.ending == Ending("stopped")
    assert talk.guest.kvm.closed and talk.guest.vm.closed
    assert not list(talk.guest.vm.memory)
    talk.guest.close()


def test_a_guest_that_cannot_be_made_leaves_nothing(kvm: None) -> None:
    before = threads()
    with pytest.raises(NotAKernel):
        Microvm(Settings(4 * MIB), Load(memoryview(bytes(5000))))
    assert threads() == before


def test_a_console_that_fails_ends_the_guest_and_the_error_is_kept(kvm: None) -> None:
    def console(_data: bytes) -> None:
        raise BrokenPipeError("nobody listens")

    kernel = memoryview(build("endings"))
    with Microvm(Settings(32 * MIB), Load(kernel, "l"), console=console) as guest:
        guest.resume()
        ending = guest.wait(PATIENCE_S)
    assert ending is not None
    assert ending.reason == "lost"
    assert isinstance(ending.cause, BrokenPipeError)
    assert ending.words.startswith("vCPU 0: BrokenPipeError when it handled PortOut(port=1016")


class Stuck:
    """A console that does not come back until it is told to."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, _data: bytes) -> None:
        self.reached.set()
        self.released.wait(PATIENCE_S)


def test_a_console_that_does_not_come_back_does_not_hang_its_owner(kvm: None) -> None:
    console, kernel = Stuck(), memoryview(build("endings"))
    guest = Microvm(Settings(32 * MIB), Load(kernel, "l"), console=console)
    guest.gate.patience_s = 0.2
    guest.resume()
    assert console.reached.wait(PATIENCE_S)
    with pytest.raises(MachineError, match="hangs in what was called to handle PortOut"):
        guest.pause()
    assert guest.running and guest.gate.open  # as if it had not been asked
    with pytest.raises(MachineError, match=r"vCPU 0 hangs in .*, for 0\.2 s now"):
        guest.close()
    assert guest.vm.closed and guest.kvm.closed
    console.released.set()
    guest.threads[0].join(PATIENCE_S)
    assert not guest.threads[0].is_alive()


@pytest.mark.parametrize("verb", ["pause", "resume", "close"])
def test_a_console_cannot_wait_for_its_own_vcpu(kvm: None, verb: str) -> None:
    errors = list[str]()

    def console(_data: bytes) -> None:
        try:
            getattr(guest, verb)()
        except MachineError as error:
            errors.append(error.message)
            guest.stop()

    kernel = memoryview(build("endings"))
    with Microvm(Settings(32 * MIB), Load(kernel, "l"), console=console) as guest:
        guest.resume()
        assert guest.wait(PATIENCE_S) == Ending("stopped")
    assert errors[0].startswith(f"{verb}() was called by the console")


def test_it_can_be_paused_and_resumed_by_several_at_once(kvm: None) -> None:
    with Talk("clock_loop", "2", others=("smp.S",), vcpus=2) as talk:
        talk.wait_line()

        def storm() -> None:
            for _ in range(20):
                talk.guest.pause()
                talk.guest.resume()
                with talk.guest.paused():
                    assert not talk.guest.gate.inside

        storms = [threading.Thread(target=storm) for _ in range(3)]
        for each in storms:
            each.start()
        for each in storms:
            each.join(PATIENCE_S)
        talk.guest.resume()
        reads, warps, *_ = talk.ask(b"t")
        assert reads and warps == 0


def test_ended_it_can_be_looked_at_but_does_not_run_again(kvm: None) -> None:
    with Talk("endings", "d") as talk:
        assert talk.end() == Ending("guest-shutdown", 42)
        talk.guest.pause()
        exits = talk.guest.exits
        talk.guest.resume()
        talk.guest.stop()
        assert talk.guest.ending == Ending("guest-shutdown", 42)
        assert talk.guest.exits == exits
        assert exits["PortOut"] > 5


#: What the guest that counts its port reads is made of: inb $0x84, incl %ecx, jmp.
IN, INC, JMP = b"\xe4\x84", b"\x41", b"\xeb"


def test_a_pause_leaves_no_access_half_done(kvm: None) -> None:
    """A vCPU that stopped at an IN which we had answered would ask again in a copy of it."""
    with Talk("endings", "c") as talk:
        (thread,), before = talk.guest.threads, set[int]()
        for more in range(1, 51):
            while thread.counts.get(PortIn, 0) < 20 * more:
                assert not talk.guest.wait(0.001)
            with talk.guest.paused():
                (vcpu,) = talk.guest.whereabouts()
                assert vcpu.code.startswith((IN, INC, JMP))
                done = thread.vcpu.regs().rcx + vcpu.code.startswith(INC)
                before.add(thread.counts[PortIn] - done)
    assert len(before) == 1  # those of the serial port, before it began to count


def test_without_the_filter_our_pvclock_says_what_is_missing(
    kvm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(monkeypatch, Capability.X86_MSR_FILTER)
    with pytest.raises(KvmLacks) as raised:
        Talk("endings", "l", clocks=Clocks(pvclock=Maker.OURS))
    assert raised.value.message == (
        "pvclock by the monitor needs KVM_CAP_X86_MSR_FILTER (chosen MSRs handed to user space), "
        "which this host's KVM does not have"
    )


def test_without_the_filter_pvclock_can_still_be_kept_from_a_guest(
    kvm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kvm() as host:
        if not host.has(Capability.ENFORCE_PV_FEATURE_CPUID):
            pytest.skip("this KVM lacks KVM_CAP_ENFORCE_PV_FEATURE_CPUID")
    lacking(monkeypatch, Capability.X86_MSR_FILTER)
    with Talk("addresses", f"{32 * MIB:x}", clocks=Clocks(pvclock=Maker.NONE)) as talk:
        talk.end()
    assert {line.split()[2] for line in talk.lines} == {"1"}


@pytest.mark.parametrize(
    ("clocks", "capability"),
    [
        (Clocks(tsc_deadline=True), Capability.TSC_DEADLINE_TIMER),
        (Clocks(apic_bus_ns=40), Capability.X86_APIC_BUS_CYCLES_NS),
        (Clocks(pit=Maker.KVM), Capability.PIT2),
    ],
)
def test_what_a_clock_needs_is_said_by_name(
    kvm: None, monkeypatch: pytest.MonkeyPatch, clocks: Clocks, capability: Capability
) -> None:
    lacking(monkeypatch, capability)
    with pytest.raises(KvmLacks, match=f"KVM_CAP_{capability.name}"):
        Talk("endings", "l", clocks=clocks)


def lacking(monkeypatch: pytest.MonkeyPatch, capability: Capability) -> None:
    """A KVM that does not have a capability."""
    asked = Vm.capability

    def answer(vm: Vm, which: Capability) -> int:
        return 0 if which is capability else asked(vm, which)

    monkeypatch.setattr(Vm, "capability", answer)


@pytest.mark.usefixtures("kvm")
def test_a_tsc_that_this_kvm_cannot_make_is_refused() -> None:
    with Kvm() as kvm:
        if kvm.has(Capability.TSC_CONTROL):
            pytest.skip("this KVM scales TSCs")
    for khz in (1_000, 50_000_000):
        clocks = Clocks(tsc_khz=khz)
        with (
            pytest.raises(KvmLacks, match=f"a TSC of {khz:,} kHz on a host"),
            Microvm(Settings(memory_bytes=2 * MIB, clocks=clocks), None),
        ):
            pass
