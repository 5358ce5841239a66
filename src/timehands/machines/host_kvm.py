"""What the KVM of this host offers, found by asking it.

Only questions are asked here, through KVM_CHECK_EXTENSION: no virtual machine is made. Any KVM may
be behind the device, also one with few capabilities, so nothing is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timehands.errors import KvmRefused, KvmUnavailable
from timehands.kvm import system
from timehands.kvm.descriptions import KVM_CAPABILITY_WORDS
from timehands.kvm.numbers import KVM_API_VERSION, KVM_CAPABILITIES, KVM_DEVICE, Capability

__all__ = [
    "KVM_API_VERSION", "KVM_CAPABILITIES", "KVM_CAPABILITY_WORDS", "KVM_DEVICE", "Kvm",
    "survey_kvm",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kvm:
    """The host's KVM. ``error`` says why it cannot be used, and is empty when it can.

    ``api_version`` is None when it could not be asked. ``capabilities`` pairs each name of
    `KVM_CAPABILITIES` with the answer of KVM_CHECK_EXTENSION: 0 means absent, and what another
    number means depends on the capability.
    """

    exists: bool
    opens: bool
    error: str
    api_version: int | None
    capabilities: tuple[tuple[str, int], ...]

    @property
    def usable(self) -> bool:
        """Whether a machine could run on it: it opens and speaks the one API version."""
        return self.opens and self.api_version == KVM_API_VERSION

    def value(self, name: str) -> int:
        """KVM's answer for the capability; 0 for one that is absent or was not asked for."""
        return dict(self.capabilities).get(name, 0)

    def has(self, name: str) -> bool:
        """Whether KVM has the capability."""
        return self.value(name) > 0


def survey_kvm(device: Path = KVM_DEVICE) -> Kvm:
    """Ask the KVM behind ``device``. Never fails: why it is of no use is in ``error``."""
    try:
        with system.Kvm(device) as kvm:
            asked = tuple((name, _answer(kvm, number)) for name, number in KVM_CAPABILITIES.items())
            return Kvm(True, True, "", kvm.api_version, asked)
    except KvmUnavailable as error:
        return Kvm(error.exists, error.opens, error.reason, error.api_version, ())


def _answer(kvm: system.Kvm, capability: int) -> int:
    try:
        return kvm.capability(Capability(capability))
    except KvmRefused:
        return 0
