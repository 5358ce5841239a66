from __future__ import annotations

import pytest

from timehands.clocks.cpuid.numbers import Leaf1Ecx, Leaf1Edx
from timehands.guests.constants import constants_of
from timehands.guests.registry import knowledge_named


@pytest.mark.parametrize("system", ["freebsd", "netbsd", "openbsd"])
def test_the_names_that_every_bsd_has(system: str) -> None:
    assert knowledge_named(system).name == system
    named = constants_of(system)
    assert named["CPUID_TSC"] == Leaf1Edx.TSC
    assert named["CPUID2_X2APIC"] == Leaf1Ecx.X2APIC
    assert named["CPUID_APIC"] == 0x200


def test_a_system_that_is_not_known_has_none() -> None:
    assert not constants_of("plan9")
    assert constants_of("linux")["MSR_IA32_TSC_DEADLINE"] == 0x6E0
    assert constants_of("freebsd")["AMDPM_TSC_INVARIANT"] == 0x100
