"""The MSRs: which ones work, what they do, and what they read."""

from __future__ import annotations

from timehands.clocks.msr import ClockMsr
from timehands.clocks.pvclock.layout import TimeInfo
from timehands.conform.mutants.mutant import Mutant, provider
from timehands.errors import MachineError
from timehands.monitor.pvclock import Pvclock

_ENABLED = 1


class _OldIgnored(Pvclock):
    def write_msr(self, vcpu: int, msr: int, value: int) -> bool:
        return msr == ClockMsr.KVM_SYSTEM_TIME_OLD or super().write_msr(vcpu, msr, value)


class _NewRefused(Pvclock):
    def write_msr(self, vcpu: int, msr: int, value: int) -> bool:
        return msr != ClockMsr.KVM_SYSTEM_TIME and super().write_msr(vcpu, msr, value)


class _ReadsNothing(Pvclock):
    def read_msr(self, _vcpu: int, _msr: int) -> int:
        return 0


class _KeepsEnableBit(Pvclock):
    def _register(self, vcpu: int, value: int) -> bool:
        taken = super()._register(vcpu, value)
        if vcpu in self._pages:
            self._pages[vcpu] = value
        return taken


class _OneForAll(Pvclock):
    def _register(self, vcpu: int, value: int) -> bool:
        taken = super()._register(vcpu, value)
        if vcpu in self._pages:
            self._pages[vcpu] = self._pages[0]
        return taken


class _NeverDisabled(Pvclock):
    """Records are written at each entry, as where a TSC is not stable."""

    def _register(self, vcpu: int, value: int) -> bool:
        return super()._register(vcpu, value | _ENABLED if value else value)

    def before_entry(self, vcpu: int) -> None:
        self._due.add(vcpu)
        super().before_entry(vcpu)


class _OldPlaceToo(Pvclock):
    """Records are written wherever one ever was."""

    _places: dict[int, set[int]]

    def _write(self, vcpu: int, address: int, record: TimeInfo) -> None:
        places = vars(self).setdefault("_places", {}).setdefault(vcpu, set())
        places.add(address)
        for place in sorted(places):
            super()._write(vcpu, place, record)


class _DiesOfAddress(Pvclock):
    def _register(self, vcpu: int, value: int) -> bool:
        if not super()._register(vcpu, value):
            raise MachineError(f"there is no memory at {value:#x}")
        return True


class _StopsAtAddress(Pvclock):
    """After one bad address it takes none."""

    def _register(self, vcpu: int, value: int) -> bool:
        if vars(self).get("_bad"):
            return True
        taken = super()._register(vcpu, value)
        vars(self)["_bad"] = not taken
        return taken


MUTANTS = (
    Mutant(
        "old-msr-ignored",
        "CPUID announces MSR 0x12, and writing it does nothing",
        "pvclock.old_msrs",
        provider(_OldIgnored),
    ),
    Mutant(
        "new-msr-refused",
        "CPUID announces MSR 0x4b564d01, and writing it faults",
        "pvclock.new_msrs",
        provider(_NewRefused),
    ),
    Mutant(
        "msr-reads-0",
        "the MSR does not read what was written",
        "pvclock.new_msrs",
        provider(_ReadsNothing),
    ),
    Mutant(
        "enable-bit-in-the-address",
        "bit 0 of the MSR is taken for a part of the address",
        "pvclock.new_msrs",
        provider(_KeepsEnableBit),
    ),
    Mutant(
        "one-record-for-all",
        "all vCPUs' records are written where the first one's is",
        "pvclock.across",
        provider(_OneForAll),
    ),
    Mutant(
        "never-disabled",
        "a write without the enable bit registers, too",
        "pvclock.disable",
        provider(_NeverDisabled),
    ),
    Mutant(
        "old-place-too",
        "after registering again the old place is still written",
        "pvclock.register_again",
        provider(_OldPlaceToo),
    ),
    Mutant(
        "dies-of-an-address",
        "an address outside of memory ends the VMM",
        "pvclock.bad_address",
        provider(_DiesOfAddress),
        "KVM before Linux 3.9 wrote beyond the page (CVE-2013-1796)",
    ),
    Mutant(
        "stops-at-an-address",
        "after an address outside of memory no good one is taken",
        "pvclock.bad_address",
        provider(_StopsAtAddress),
    ),
)
