"""Mutants on the real KVM: one of each kind of defect is caught by its case.

Those that a busy host can hide (`timehands conform --mutants` looks again) are judged from what was
recorded, in `test_recorded`.
"""

from __future__ import annotations

import pytest

from timehands.conform.mutants.catalogue import MUTANTS
from timehands.conform.mutants.hunt import Fate, hunt
from timehands.errors import CompilerMissing, KvmUnavailable
from timehands.kvm import Kvm
from timehands.machines.build import compiler


@pytest.fixture(autouse=True)
def able() -> None:
    """KVM can be opened and a compiler is there; or a skip that says what is wrong."""
    try:
        Kvm().close()
        compiler()
    except (KvmUnavailable, CompilerMissing) as error:
        pytest.skip(error.message)


@pytest.mark.parametrize(
    "name",
    [
        "pvclock-announced-only",  # CPUID
        "new-msr-refused",  # MSRs
        "dies-of-an-address",  # the end of the VMM
        "flags-of-nobody",  # the record
        "wall-in-ms",  # the wall clock
        "rtc-century",  # a device
        "restore-untold",  # a guest that was restored
        "vcpus-far-apart",  # what two processors tell each other
    ],
)
def test_the_case_sees_it(name: str) -> None:
    found = hunt(MUTANTS[name], quick=True)
    assert found.fate is Fate.CAUGHT, found.saw
