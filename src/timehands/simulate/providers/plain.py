"""Providers that give no page: the guest has its TSC, and nothing else."""

from __future__ import annotations

from timehands.simulate.providers.base import Provider


class OffsetTsc(Provider):
    """The host's TSC with an offset that is set once, and by a VMM that restores it."""

    name = "tsc"
    has_page = False


class HostTsc(Provider):
    """The host's TSC as it is: no offset, no scaling, and a VMM's writes are for nothing."""

    name = "none"
    has_page = False

    @property
    def scales(self) -> bool:
        """Never."""
        return False

    def set_tsc(self, vcpu: int, t_ns: int, value: int) -> None:
        """There is no offset to set."""

    def write_saved_tsc(self, vcpu: int, t_ns: int, value: int, late_ns: int) -> None:
        """There is no offset to set."""

    def write_tsc(self, vcpu: int, t_ns: int, value: int, *, by_guest: bool) -> bool:
        """Nothing happens."""
        return False
