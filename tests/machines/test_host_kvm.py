"""What KVM answers when the host is surveyed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from timehands.machines.host_kvm import (
    KVM_CAPABILITIES,
    KVM_CAPABILITY_WORDS,
    KVM_DEVICE,
    Kvm,
    survey_kvm,
)


def test_each_capability_has_words() -> None:
    assert set(KVM_CAPABILITIES) == set(KVM_CAPABILITY_WORDS)


def test_a_missing_device_is_told() -> None:
    kvm = survey_kvm(Path("/dev/no-such-kvm"))
    assert (kvm.exists, kvm.opens, kvm.usable) == (False, False, False)
    assert kvm.error == os.strerror(2)


def test_a_device_that_is_no_kvm_is_told() -> None:
    kvm = survey_kvm(Path("/dev/null"))
    assert (kvm.exists, kvm.opens, kvm.usable) == (True, True, False)
    assert kvm.error == "does not answer as KVM"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_a_device_that_may_not_be_opened_is_told(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0o000)
    kvm = survey_kvm(device)
    assert (kvm.exists, kvm.opens, kvm.error) == (True, False, os.strerror(13))


def test_another_api_version_is_not_usable() -> None:
    assert not Kvm(True, True, "", 11, ()).usable
    assert Kvm(True, True, "", 12, ()).usable


def test_a_real_kvm_answers_for_every_capability() -> None:
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        pytest.skip(f"{KVM_DEVICE} cannot be opened")
    kvm = survey_kvm()
    if not kvm.usable:
        pytest.skip(f"{KVM_DEVICE} {kvm.error}")
    assert [name for name, _ in kvm.capabilities] == list(KVM_CAPABILITIES)
    # Documentation/virt/kvm/api.rst: the recommended number is never above the maximum.
    assert 1 <= kvm.value("KVM_CAP_NR_VCPUS") <= kvm.value("KVM_CAP_MAX_VCPUS")
    assert not kvm.has("KVM_CAP_NO_SUCH_THING")
