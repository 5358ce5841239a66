"""What a host must have: each thing that it lacks is told in words, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.running import Talk
from timehands.errors import KvmUnavailable, SnapshotRefused
from timehands.kvm import Kvm
from timehands.kvm.numbers import Capability
from timehands.monitor.host_tsc import is_near
from timehands.monitor.settings import Clocks
from timehands.monitor.snapshot import document, host, restore, snapshot
from timehands.monitor.snapshot.state import State


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of this host."""
    try:
        Kvm().close()
    except KvmUnavailable as error:
        pytest.skip(error.message)
    path = tmp_path_factory.mktemp("host") / "kept"
    with Talk("kept", clocks=Clocks()).guest as guest:
        return snapshot(guest, path)


@pytest.fixture
def here(kvm: None, folder: Path) -> State:
    """Its state."""
    return document.read(folder)


@pytest.fixture
def opened(kvm: None) -> Iterator[Kvm]:
    """This host's KVM."""
    with Kvm() as opened:
        yield opened


def with_bits(state: State, leaf: int, name: str, bits: int) -> State:
    """The state of a guest that was told these bits more."""
    processor = state.processors[0]
    cpuid = tuple(
        replace(
            each,
            registers=each.registers._replace(**{name: getattr(each.registers, name) | bits}),
        )
        if (each.leaf, each.subleaf) == (leaf, 0)
        else each
        for each in processor.cpuid
    )
    return replace(state, processors=(replace(processor, cpuid=cpuid),))


def test_the_host_that_took_it_lacks_nothing(opened: Kvm, here: State) -> None:
    assert list(host.lacking(opened, here)) == []


def test_a_capability(opened: Kvm, here: State) -> None:
    if opened.has(Capability.XEN_HVM):
        pytest.skip("KVM_CAP_XEN_HVM is here")
    (said,) = host.lacking(opened, replace(here, needs=(*here.needs, Capability.XEN_HVM)))
    assert "KVM_CAP_XEN_HVM" in said


@pytest.mark.parametrize(("ppm", "lacks"), [(-300, 1), (-200, 0), (200, 0), (300, 1)])
def test_a_tsc_that_counts_otherwise(opened: Kvm, here: State, ppm: int, lacks: int) -> None:
    if opened.has(Capability.TSC_CONTROL):
        pytest.skip("KVM_CAP_TSC_CONTROL is here: any rate will do")
    khz = here.times.tsc_khz + here.times.tsc_khz * ppm // 1_000_000
    said = list(host.lacking(opened, replace(here, times=replace(here.times, tsc_khz=khz))))
    assert len(said) == lacks
    assert all(f"{khz:,}" in each and "KVM_CAP_TSC_CONTROL" in each for each in said)


@pytest.mark.parametrize(
    ("khz", "host_khz", "near"),
    [(1_000_250, 1_000_000, True), (1_000_251, 1_000_000, False), (999_750, 1_000_000, True),
     (999_749, 1_000_000, False), (2, 2, True)],
)  # fmt: skip
def test_how_near_a_rate_must_be(khz: int, host_khz: int, near: bool) -> None:
    assert is_near(khz, host_khz) is near


@pytest.mark.parametrize(
    ("register", "bits", "said"),
    [
        ((0x8000_0001, "edx"), 1 << 31, "leaf 0x80000001.0 edx bits"),
        ((0x7, "ebx"), 1 << 4 | 1 << 11, "leaf 0x7.0 ebx bits"),
        ((0x8000_0008, "eax"), 0xFF, "physical addresses"),
        ((0x0, "ebx"), 0xFFFF_FFFF, "vendor"),
    ],
)
def test_other_cpuid(
    opened: Kvm, here: State, register: tuple[int, str], bits: int, said: str
) -> None:
    other = with_bits(here, *register, bits)
    if other == here:
        pytest.skip("this host has all of that")
    (lack,) = host.lacking(opened, other)
    assert "CPUID of vCPU 0" in lack
    assert said in lack


@pytest.mark.parametrize("bits", [1 << 3, 1 << 27])
def test_what_cpuid_tells_of_the_moment_is_no_lack(opened: Kvm, here: State, bits: int) -> None:
    assert list(host.lacking(opened, with_bits(here, 1, "ecx", bits))) == []


def test_an_msr_that_is_not_known_unless_it_is_nothing(opened: Kvm, here: State) -> None:
    processor = here.processors[0]
    for value, lacks in ((0, []), (1, ["this KVM does not know MSR 0x99999"])):
        msrs = {**processor.msrs, 0x99999: value}
        state = replace(here, processors=(replace(processor, msrs=msrs),))
        assert list(host.lacking(opened, state)) == lacks


def test_a_tsc_that_was_set(opened: Kvm, here: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.tsc, "can_be_set", lambda _kvm: False)
    (said,) = host.lacking(opened, replace(here, times=replace(here.times, tsc_set=True)))
    assert "the host's own TSC" in said


def test_the_refusal_says_all_of_it(
    folder: Path, here: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timehands.monitor.snapshot.put.lacking", lambda *_: iter(["one", "two"]))
    with pytest.raises(SnapshotRefused, match="one; two"):
        restore(folder)


def test_a_tsc_that_would_go_back(
    folder: Path, here: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timehands.monitor.snapshot.tsc.can_be_set", lambda _kvm: False)
    ahead = replace(here.times, tsc=here.times.tsc + 10**15, tsc_set=False)
    document.write(replace(here, times=ahead), tmp_path)
    (tmp_path / "memory.bin").symlink_to(folder / "memory.bin")
    with pytest.raises(SnapshotRefused, match="go back by"):
        restore(tmp_path)
