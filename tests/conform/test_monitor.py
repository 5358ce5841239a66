"""The conformance guest on our monitor and the real KVM: no false alarm, with each provider."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from timehands.conform.judge import Judgement, judge
from timehands.conform.log import read_log
from timehands.conform.monitor_vmm import MonitorVmm
from timehands.conform.runners import RUNNERS
from timehands.conform.talk import talk
from timehands.conform.verdicts import Verdict
from timehands.conform.wish import Wish
from timehands.errors import CompilerMissing, KvmUnavailable
from timehands.kvm import Capability, Kvm
from timehands.machines.build import compiler
from timehands.monitor.devices.signals import Ending
from timehands.monitor.microvm import Microvm

SECONDS = 60
#: Where KVM takes a write of the TSC by the guest and does not move it.
OF_THE_KVM = {"tsc.adjust", "tsc.write"}


@pytest.fixture
def able() -> None:
    """KVM can be opened and a compiler is there; or a skip that says what is wrong."""
    try:
        Kvm().close()
        compiler()
    except (KvmUnavailable, CompilerMissing) as error:
        pytest.skip(error.message)


def test_a_guest_is_heard_out_before_its_end() -> None:
    async def hear() -> list[bytes | None]:
        vmm = MonitorVmm(lambda _guest: None)

        class Ends:
            """Says something while its end is being looked for."""

            @property
            def ending(self) -> Ending:
                vmm.console(b"E 1\n")
                return Ending("guest-reset")

        vmm.guest = cast(Microvm, Ends())
        await vmm.tell_end()
        items = [await vmm.heard.get() for _ in range(2)]
        return [item and item[1] for item in items]

    assert asyncio.run(hear()) == [b"E 1\n", None]


def conformance_of(name: str, vcpus: int) -> Judgement:
    async def run() -> Judgement:
        async with RUNNERS[name](Wish(vcpus)) as vmm:
            return judge(read_log((await talk(vmm, SECONDS)).lines), name)

    return asyncio.run(run())


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("name", "vcpus"),
    [
        ("monitor", 2),
        ("monitor", 1),
        ("monitor-wall", 2),
        ("monitor-kvm", 2),
        ("monitor-none", 2),
        ("monitor-split", 2),
    ],
)
def test_nothing_fails_on_the_monitor(name: str, vcpus: int) -> None:
    if name == "monitor-split":
        with Kvm() as kvm:
            if not kvm.has(Capability.SPLIT_IRQCHIP):
                pytest.skip("this KVM has no KVM_CAP_SPLIT_IRQCHIP")
    judgement = conformance_of(name, vcpus)
    failed = {e.case.id: e.saw for e in judgement.cases if e.verdict is Verdict.FAIL}
    assert not judgement.trouble
    assert set(failed) <= OF_THE_KVM, failed
    assert judgement.of("tsc.rate").verdict is Verdict.PASS
    pvclock = judgement.of("pvclock.rate")
    assert pvclock.verdict is (Verdict.SKIP if name == "monitor-none" else Verdict.PASS)
    kept = judgement.of("host.snapshot_policy")
    assert kept.verdict is pvclock.verdict, kept.saw
    assert ("one vcpu" in judgement.of("tsc.offset").saw) is (vcpus == 1)
