"""/dev/kvm: what is no KVM, or one of another age, is told; what it can do is asked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from timehands.errors import KvmLacks, KvmUnavailable
from timehands.kvm import Capability, Kvm
from timehands.kvm.numbers import KVM_API_VERSION, Request


def test_a_device_that_is_no_kvm() -> None:
    with pytest.raises(KvmUnavailable, match="/dev/null: does not answer as KVM") as caught:
        Kvm(Path("/dev/null"))
    assert (caught.value.exists, caught.value.opens) == (True, True)
    assert caught.value.api_version is None


def test_another_api_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kvm, "ask", lambda *_: 11)
    with pytest.raises(KvmUnavailable, match="speaks KVM API 11, not 12") as caught:
        Kvm(Path("/dev/null"))
    assert caught.value.api_version == 11


def test_a_capability_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(_kvm: Kvm, request: Request, argument: int = 0) -> int:
        asked.append((request, argument))
        return KVM_API_VERSION if request == Request.GET_API_VERSION else int(argument == 66)

    monkeypatch.setattr(Kvm, "ask", answer)
    with Kvm(Path("/dev/null")) as kvm:
        assert [kvm.capability(Capability.MAX_VCPUS) for _ in range(2)] == [1, 1]
        assert not kvm.has(Capability.NR_VCPUS)
        kvm.need(Capability.MAX_VCPUS, "this")
        with pytest.raises(KvmLacks) as caught:
            kvm.need(Capability.NR_VCPUS, "That")
    assert str(caught.value) == (
        "That needs KVM_CAP_NR_VCPUS (vCPUs recommended for one machine), "
        "which this host's KVM does not have"
    )
    assert asked == [(Request.GET_API_VERSION, 0), *((Request.CHECK_EXTENSION, n) for n in (66, 9))]


def test_the_state_of_a_vcpu_has_msrs(kvm: Kvm) -> None:
    indices = kvm.msr_indices()
    assert len(set(indices)) == len(indices) > 10
    assert 0x10 in indices


def test_the_shared_page_holds_the_structure(kvm: Kvm) -> None:
    assert kvm.run_size() % 4096 == 0
    assert kvm.run_size() >= 4096
