"""What means the same in kernels of different systems: one row for each subject.

A row says, for each system, which settings or which compiled file stand for it:
``device kvm_clock`` is a setting, ``virtio at pci`` is a device by the place it attaches to (any
unit), and what has a ``/`` is a file. A system that is not in a row has nothing of the kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from timehands.sources.config.model import Chain, Configuration, Setting, State

#: Subject, then by system the settings or files, any of which stands for it.
_TABLE: dict[str, dict[str, tuple[str, ...]]] = {
    "KVM clock (pvclock)": {
        "FreeBSD": ("device kvm_clock",),
        "OpenBSD": ("pvclock at pvbus",),
        "Linux": ("symbol KVM_GUEST",),
    },
    "Xen guest": {
        "FreeBSD": ("options XENHVM",),
        "NetBSD": ("options XENPVHVM", "options XENPVH", "options XENPV", "options XEN"),
        "OpenBSD": ("xen at pvbus",),
        "Linux": ("symbol XEN_PVHVM", "symbol XEN_PVH", "symbol XEN"),
    },
    "PVH boot entry": {
        "FreeBSD": ("sys/amd64/amd64/xen-locore.S",),
        "NetBSD": ("options XENPVHVM", "options XENPVH", "options GENPVH", "options PVH"),
        "Linux": ("symbol PVH",),
    },
    "Hyper-V guest": {
        "FreeBSD": ("device hyperv",),
        "NetBSD": ("hyperv at hypervvmbus", "hyperv at root", "hyperv at mainbus"),
        "OpenBSD": ("hyperv at pvbus",),
        "Linux": ("symbol HYPERV",),
    },
    "ACPI": {
        "FreeBSD": ("device acpi",),
        "NetBSD": ("acpi at mainbus", "acpi at acpibus", "acpi at hypervisor"),
        "OpenBSD": ("acpi at bios",),
        "Linux": ("symbol ACPI",),
    },
    "MP table": {
        "FreeBSD": ("device mptable",),
        "NetBSD": ("options MPBIOS",),
        "OpenBSD": ("mpbios at bios",),
        "Linux": ("symbol X86_MPPARSE",),
    },
    "MP table as Linux reads it": {
        "FreeBSD": ("options MPTABLE_LINUX_BUG_COMPAT",),
        "NetBSD": ("options MPTABLE_LINUX_BUG_COMPAT",),
        "Linux": ("symbol X86_MPPARSE",),
    },
    "several CPUs": {
        "FreeBSD": ("options SMP",),
        "NetBSD": ("options MULTIPROCESSOR",),
        "OpenBSD": ("option MULTIPROCESSOR",),
        "Linux": ("symbol SMP",),
    },
    "TSC": {
        "FreeBSD": ("sys/x86/x86/tsc.c",),
        "NetBSD": ("sys/arch/x86/x86/tsc.c",),
        "OpenBSD": ("sys/arch/amd64/amd64/tsc.c",),
        "Linux": ("symbol X86_TSC", "arch/x86/kernel/tsc.c"),
    },
    "local APIC timer": {
        "FreeBSD": ("sys/x86/x86/local_apic.c",),
        "NetBSD": ("sys/arch/x86/x86/lapic.c",),
        "OpenBSD": ("sys/arch/amd64/amd64/lapic.c",),
        "Linux": ("symbol X86_LOCAL_APIC",),
    },
    "i8254": {
        "FreeBSD": ("sys/x86/isa/clock.c",),
        "NetBSD": ("sys/arch/x86/isa/clock.c",),
        "OpenBSD": ("sys/arch/amd64/isa/clock.c",),
        "Linux": ("arch/x86/kernel/i8253.c", "symbol CLKEVT_I8253"),
    },
    "HPET": {
        "FreeBSD": ("sys/dev/acpica/acpi_hpet.c",),
        "NetBSD": ("hpet at acpihpetbus", "hpet at acpinodebus", "sys/dev/ic/hpet.c"),
        "OpenBSD": ("acpihpet at acpi",),
        "Linux": ("symbol HPET_TIMER",),
    },
    "ACPI PM timer": {
        "FreeBSD": ("sys/dev/acpica/acpi_timer.c",),
        "NetBSD": ("sys/dev/ic/acpipmtimer.c",),
        "OpenBSD": ("acpitimer at acpi",),
        "Linux": ("symbol X86_PM_TIMER",),
    },
    "CMOS clock (RTC)": {
        "FreeBSD": ("sys/x86/isa/atrtc.c",),
        "NetBSD": ("sys/arch/x86/isa/rtc.c", "sys/arch/x86/isa/clock.c"),
        "OpenBSD": ("sys/arch/amd64/isa/clock.c",),
        "Linux": ("symbol RTC_DRV_CMOS",),
    },
    "Xen timer": {
        "FreeBSD": ("device xentimer",),
        "NetBSD": ("sys/arch/xen/xen/xen_clock.c", "sys/arch/xen/xen/clock.c"),
        "Linux": ("arch/x86/xen/time.c", "symbol XEN"),
    },
    "virtio over MMIO": {
        "FreeBSD": ("device virtio_mmio",),
        "NetBSD": ("sys/dev/virtio/virtio_mmio.c",),
        "OpenBSD": ("virtio at fdt",),
        "Linux": ("symbol VIRTIO_MMIO",),
    },
    "virtio over PCI": {
        "FreeBSD": ("device virtio_pci",),
        "NetBSD": ("virtio at pci",),
        "OpenBSD": ("virtio at pci",),
        "Linux": ("symbol VIRTIO_PCI",),
    },
    "virtio disk": {
        "FreeBSD": ("device virtio_blk",),
        "NetBSD": ("ld at virtio",),
        "OpenBSD": ("vioblk at virtio",),
        "Linux": ("symbol VIRTIO_BLK",),
    },
    "virtio network": {
        "FreeBSD": ("device vtnet",),
        "NetBSD": ("vioif at virtio",),
        "OpenBSD": ("vio at virtio",),
        "Linux": ("symbol VIRTIO_NET",),
    },
    "virtio entropy": {
        "FreeBSD": ("device virtio_random",),
        "NetBSD": ("viornd at virtio",),
        "OpenBSD": ("viornd at virtio",),
        "Linux": ("symbol HW_RANDOM_VIRTIO",),
    },
    "PCI": {
        "FreeBSD": ("device pci",),
        "NetBSD": ("pci at mainbus", "pci at pcibus", "pci at pchb"),
        "OpenBSD": ("pci at mainbus",),
        "Linux": ("symbol PCI",),
    },
    "serial console": {
        "FreeBSD": ("device uart",),
        "NetBSD": ("com at isa", "com at acpi"),
        "OpenBSD": ("com at isa", "com at acpi"),
        "Linux": ("symbol SERIAL_8250_CONSOLE",),
    },
    "kernel debugger": {
        "FreeBSD": ("options DDB",),
        "NetBSD": ("options DDB",),
        "OpenBSD": ("option DDB",),
        "Linux": ("symbol KGDB",),
    },
    "remote gdb": {
        "FreeBSD": ("options GDB",),
        "NetBSD": ("options KGDB",),
        "Linux": ("symbol KGDB_SERIAL_CONSOLE",),
    },
    "consistency checks": {
        "FreeBSD": ("options INVARIANTS",),
        "NetBSD": ("options DIAGNOSTIC",),
        "OpenBSD": ("option DIAGNOSTIC",),
    },
    "lock order checks": {
        "FreeBSD": ("options WITNESS",),
        "NetBSD": ("options LOCKDEBUG",),
        "OpenBSD": ("option WITNESS",),
        "Linux": ("symbol PROVE_LOCKING",),
    },
    "boot timing": {
        "FreeBSD": ("options TSLOG",),
        "NetBSD": ("options BOOTCYCLETIME",),
        "Linux": ("symbol BOOTTIME_TRACING",),
    },
    "debugging symbols": {
        "FreeBSD": ("makeoptions DEBUG",),
        "NetBSD": ("makeoptions DEBUG",),
        "OpenBSD": ("makeoptions DEBUG",),
        "Linux": ("symbol DEBUG_INFO",),
    },
    "ticks a second": {
        "FreeBSD": ("options HZ",),
        "NetBSD": ("options HZ",),
        "OpenBSD": ("option HZ",),
        "Linux": ("symbol HZ",),
    },
}  # fmt: skip
_PLACE = re.compile(r"[0-9*?]+$")


@dataclass(frozen=True, slots=True)
class Meant:
    """What stands for a subject in a configuration: settings, or the line that compiles a file.

    ``known`` is False when the system has nothing of the kind.
    """

    on: bool
    known: bool
    words: str = ""
    value: str | None = None
    chain: Chain = ()


def subjects() -> tuple[str, ...]:
    """The subjects, in the order of the table."""
    return tuple(_TABLE)


def meaning(configuration: Configuration, subject: str) -> Meant:
    """How a configuration stands to a subject."""
    candidates = _TABLE[subject].get(configuration.system)
    if candidates is None:
        return Meant(False, False)
    answers = [_answer(configuration, candidate) for candidate in candidates]
    return next((answer for answer in answers if answer.on), answers[0])


def _answer(configuration: Configuration, candidate: str) -> Meant:
    if " at " in candidate:
        return _device(configuration, candidate)
    if "/" in candidate and " " not in candidate:
        reason = configuration.files.get(candidate)
        chain = reason.chain if reason else ()
        return Meant(reason is not None, True, candidate, None, chain)
    kind, _, name = candidate.partition(" ")
    kinds = {"option": ("options", "option")}.get(kind, (kind,))
    found = [configuration.settings[k, name] for k in kinds if (k, name) in configuration.settings]
    return _setting(found[0]) if found else Meant(False, True, candidate)


def _setting(setting: Setting) -> Meant:
    words = f"{setting.kind} {setting.name}"
    return Meant(setting.on, True, words, setting.value, setting.chain)


def _device(configuration: Configuration, candidate: str) -> Meant:
    """``virtio at pci`` stands for ``virtio* at pci?``, ``virtio0 at pci0``, ..."""
    settings: Mapping[str, Setting] = configuration.devices
    for name, setting in settings.items():
        device, _, place = name.partition(" at ")
        plain = f"{_PLACE.sub('', device)} at {_PLACE.sub('', place)}"
        if plain == candidate and setting.state is not State.REMOVED:
            return _setting(setting)
    return Meant(False, True, candidate)
