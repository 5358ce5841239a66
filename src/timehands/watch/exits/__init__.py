"""A guest of our own monitor, watched by its exits: no plugin, no symbols, no stop of our own.

KVM comes out of the guest at every access to a device that is not in the kernel. The monitor sees
port, value and guest address of each, so that they are events like those of the plugin. What KVM
does by itself (the LAPIC and its timer, RDTSC, CPUID, devices that are KVM's) does not come out.

Read `made` (a machine and a load as the monitor takes them), `records` (accesses as records),
`letters` (from the vCPUs' threads to the event loop), `guest`, and `vmm`.
"""

from timehands.watch.exits.guest import MonitorGuest
from timehands.watch.exits.made import check
from timehands.watch.exits.vmm import MonitorVmm

__all__ = ["MonitorGuest", "MonitorVmm", "check"]
