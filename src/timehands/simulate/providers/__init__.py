"""Who gives a guest its TSC and its page: one file for each family, by the name in a scenario."""

from __future__ import annotations

from timehands.simulate.providers.base import Provider
from timehands.simulate.providers.kvm import Kvm, KvmWithoutMasterClock
from timehands.simulate.providers.nvmm import Nvmm, NvmmPvclock, NvmmUptime
from timehands.simulate.providers.plain import HostTsc, OffsetTsc
from timehands.simulate.providers.xen import Xen

PROVIDERS: dict[str, type[Provider]] = {
    "kvm": Kvm,
    "kvm-no-masterclock": KvmWithoutMasterClock,
    "xen": Xen,
    "nvmm": Nvmm,
    "nvmm-uptime": NvmmUptime,
    "nvmm-pvclock": NvmmPvclock,
    "tsc": OffsetTsc,
    "none": HostTsc,
}
