"""The conformance guest on our monitor and the real KVM: no false alarm, with each provider."""

from __future__ import annotations

import asyncio

import pytest

from timehands.conform.judge import Judgement, judge
from timehands.conform.log import read_log
from timehands.conform.runners import RUNNERS
from timehands.conform.talk import talk
from timehands.conform.verdicts import Verdict
from timehands.conform.wish import Wish
from timehands.errors import CompilerMissing, KvmUnavailable
from timehands.kvm import Kvm
from timehands.machines.build import compiler

SECONDS = 60
#: Where KVM takes a write of the TSC by the guest and does not move it.
OF_THE_KVM = {"tsc.adjust", "tsc.write"}


@pytest.fixture(autouse=True)
def able() -> None:
    """KVM can be opened and a compiler is there; or a skip that says what is wrong."""
    try:
        Kvm().close()
        compiler()
    except (KvmUnavailable, CompilerMissing) as error:
        pytest.skip(error.message)


def conformance_of(name: str, vcpus: int) -> Judgement:
    async def run() -> Judgement:
        async with RUNNERS[name](Wish(vcpus)) as vmm:
            return judge(read_log((await talk(vmm, SECONDS)).lines), name)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "vcpus"),
    [("monitor", 2), ("monitor", 1), ("monitor-wall", 2), ("monitor-kvm", 2), ("monitor-none", 2)],
)
def test_nothing_fails_on_the_monitor(name: str, vcpus: int) -> None:
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
