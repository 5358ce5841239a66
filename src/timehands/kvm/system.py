"""/dev/kvm itself: what it can do, and the machines that it makes."""

from __future__ import annotations

import os
from ctypes import sizeof
from errno import E2BIG
from pathlib import Path

from timehands.errors import KvmLacks, KvmRefused, KvmUnavailable
from timehands.kvm.cpuid import CpuidEntry, entries_from
from timehands.kvm.descriptions import KVM_CAPABILITY_WORDS
from timehands.kvm.descriptor import Descriptor
from timehands.kvm.numbers import (
    KVM_API_VERSION,
    KVM_DEVICE,
    MAX_CPUID_ENTRIES,
    Capability,
    Request,
)
from timehands.kvm.structs import Cpuid2, CpuidEntry2, MsrList

_MENDS = {
    FileNotFoundError: "modprobe kvm-intel, or kvm-amd",
    PermissionError: "sudo usermod -a -G kvm $USER, then log in again",
}


class Asked(Descriptor):
    """A descriptor that can be asked for capabilities: the answers are kept."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, name)
        self._capabilities: dict[int, int] = {}

    def capability(self, capability: Capability) -> int:
        """KVM's answer; 0 when it lacks the capability. Raises `KvmRefused`."""
        if capability not in self._capabilities:
            self._capabilities[capability] = self.ask(Request.CHECK_EXTENSION, capability)
        return self._capabilities[capability]

    def has(self, capability: Capability) -> bool:
        """Whether KVM has the capability."""
        return self.capability(capability) > 0

    def need(self, capability: Capability, wanted: str) -> None:
        """Raise `KvmLacks`, which says that ``wanted`` needs the capability, unless KVM has it."""
        if not self.has(capability):
            name = f"KVM_CAP_{capability.name}"
            raise KvmLacks(name, wanted=wanted, words=KVM_CAPABILITY_WORDS.get(name, ""))


class Kvm(Asked):
    """The host's KVM, opened.

    Raises `KvmUnavailable` when ``device`` is not there, may not be opened, or is no KVM of the one
    API version.
    """

    def __init__(self, device: Path = KVM_DEVICE) -> None:
        super().__init__(_open(device), str(device))
        try:
            self._check_version(device)
        except BaseException:
            self.close()
            raise

    def _check_version(self, device: Path) -> None:
        try:
            version = self.ask(Request.GET_API_VERSION)
        except KvmRefused:
            raise KvmUnavailable("does not answer as KVM", device=device) from None
        if version != KVM_API_VERSION:
            said = f"speaks KVM API {version}, not {KVM_API_VERSION}"
            raise KvmUnavailable(said, device=device, api_version=version)
        self.api_version = version

    def run_size(self) -> int:
        """The size of a vCPU's shared page or pages, in bytes."""
        return self.ask(Request.GET_VCPU_MMAP_SIZE)

    def supported_cpuid(self) -> tuple[CpuidEntry, ...]:
        """The CPUID answers that this KVM on this host can give to guests."""
        self.need(Capability.EXT_CPUID, "KVM_GET_SUPPORTED_CPUID")
        size = sizeof(Cpuid2) + MAX_CPUID_ENTRIES * sizeof(CpuidEntry2)
        buffer = bytearray(size)
        Cpuid2.from_buffer(buffer).nent = MAX_CPUID_ENTRIES
        self.ask(Request.GET_SUPPORTED_CPUID, buffer)
        return entries_from(buffer)

    def msr_indices(self) -> tuple[int, ...]:
        """The MSRs that are a vCPU's state: those to keep in a snapshot."""
        try:
            self.ask(Request.GET_MSR_INDEX_LIST, head := MsrList())
        except KvmRefused as error:
            if error.errno != E2BIG:
                raise
        buffer = bytearray(bytes(head)) + bytearray(4 * head.nmsrs)
        self.ask(Request.GET_MSR_INDEX_LIST, buffer)
        return tuple(memoryview(buffer)[4:].cast("I"))


def _open(device: Path) -> int:
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise KvmUnavailable(
            error.strerror or str(error),
            device=device,
            exists=not isinstance(error, FileNotFoundError),
            opens=False,
            mend=_MENDS.get(type(error), ""),
        ) from None
