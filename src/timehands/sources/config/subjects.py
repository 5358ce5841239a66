"""What means the same in kernels of different systems: one row for each subject.

A row says, for each system, which settings or which compiled file stand for it:
``device kvm_clock`` is a setting, ``virtio at pci`` is a device by the place it attaches to (any
unit), what has a ``/`` is a file, and ``else`` tells what holds without a line, and where that is
written. A system that is not in a row has nothing of the kind.
"""

from __future__ import annotations

from typing import Final

#: Subject, then by system the settings or files, any of which stands for it.
SUBJECTS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "KVM clock (pvclock)": {
        "FreeBSD": ("device kvm_clock",),
        "OpenBSD": ("pvclock at pvbus",),
        "Linux": ("symbol KVM_GUEST",),
    },
    "Xen guest": {
        "FreeBSD": ("options XENHVM",),
        "NetBSD": ("options XENPVHVM", "options XENPV", "options XEN"),
        "OpenBSD": ("xen at pvbus",),
        "Linux": ("symbol XEN_PVHVM", "symbol XEN_PVH", "symbol XEN"),
    },
    "paravirtual devices' bus": {
        "NetBSD": ("pv at pvbus",),
        "OpenBSD": ("pvbus at mainbus",),
    },
    "PVH boot entry": {
        "FreeBSD": ("sys/amd64/amd64/xen-locore.S",),
        "NetBSD": ("options XENPVHVM", "options GENPVH", "options PVH"),
        "Linux": ("symbol PVH",),
    },
    "Hyper-V guest": {
        "FreeBSD": ("device hyperv",),
        "NetBSD": ("hyperv at cpu",),
        "OpenBSD": ("hyperv at pvbus",),
        "Linux": ("symbol HYPERV",),
    },
    "ACPI": {
        "FreeBSD": ("device acpi",),
        "NetBSD": ("acpi at mainbus", "acpi at hypervisor"),
        "OpenBSD": ("acpi at bios",),
        "Linux": ("symbol ACPI",),
    },
    "EFI runtime services": {
        "FreeBSD": ("options EFIRT",),
        "NetBSD": ("options EFI_RUNTIME",),
        "OpenBSD": ("efi at bios", "efi at mainbus"),
        "Linux": ("symbol EFI_RUNTIME_WRAPPERS",),
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
        "OpenBSD": ("sys/arch/amd64/amd64/lapic.c", "sys/arch/i386/i386/lapic.c"),
        "Linux": ("symbol X86_LOCAL_APIC",),
    },
    "i8254": {
        "FreeBSD": ("sys/x86/isa/clock.c",),
        "NetBSD": ("sys/arch/x86/isa/clock.c",),
        "OpenBSD": ("sys/arch/amd64/isa/clock.c", "sys/arch/i386/isa/clock.c"),
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
        "OpenBSD": ("sys/arch/amd64/isa/clock.c", "sys/arch/i386/isa/clock.c"),
        "Linux": ("symbol RTC_DRV_CMOS",),
    },
    "Xen timer": {
        "FreeBSD": ("device xentimer",),
        "NetBSD": ("sys/arch/xen/xen/xen_clock.c", "sys/arch/xen/xen/clock.c"),
        "Linux": ("arch/x86/xen/time.c", "symbol XEN"),
    },
    "Hyper-V reference clock": {
        "FreeBSD": ("sys/dev/hyperv/vmbus/x86/hyperv_x86.c",),
        "NetBSD": ("sys/arch/x86/x86/hyperv.c",),
        "OpenBSD": ("sys/dev/pv/hyperv.c",),
        "Linux": ("symbol HYPERV_TIMER",),
    },
    "the host's time, told later on": {
        "FreeBSD": ("sys/dev/hyperv/utilities/vmbus_timesync.c",),
        "NetBSD": ("hvtimesync at vmbus",),
        "OpenBSD": ("vmmci at virtio", "vmt at pvbus"),
        "Linux": ("symbol PTP_1588_CLOCK_KVM",),
    },
    "ticks a second": {
        "FreeBSD": ("options HZ", "else 1000, in a guest 100: sys/kern/subr_param.c"),
        "NetBSD": ("options HZ", "else 100: sys/conf/param.c"),
        "OpenBSD": ("option HZ", "else 100: sys/sys/kernel.h"),
        "Linux": ("symbol HZ",),
    },
    "ticks stop when a CPU idles": {
        "FreeBSD": ("sys/kern/kern_clocksource.c",),
        "Linux": ("symbol NO_HZ_FULL", "symbol NO_HZ_IDLE"),
    },
    "NTP discipline in the kernel": {
        "FreeBSD": ("sys/kern/kern_ntptime.c",),
        "NetBSD": ("options NTP",),
        "Linux": ("kernel/time/ntp.c",),
    },
    "pulse per second (PPS)": {
        "FreeBSD": ("options PPS_SYNC",),
        "NetBSD": ("options PPS_SYNC",),
        "Linux": ("symbol NTP_PPS",),
    },
    "virtio over MMIO": {
        "FreeBSD": ("device virtio_mmio",),
        "NetBSD": ("virtio at pv", "virtio at acpi", "sys/dev/virtio/virtio_mmio.c"),
        "OpenBSD": ("virtio at fdt",),
        "Linux": ("symbol VIRTIO_MMIO",),
    },
    "virtio over MMIO, from the command line": {
        "FreeBSD": ("sys/dev/virtio/mmio/virtio_mmio_cmdline.c",),
        "NetBSD": ("virtio at pv",),
        "Linux": ("symbol VIRTIO_MMIO_CMDLINE_DEVICES",),
    },
    "virtio over MMIO, from ACPI": {
        "FreeBSD": ("sys/dev/virtio/mmio/virtio_mmio_acpi.c",),
        "NetBSD": ("virtio at acpi",),
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
    "virtio console": {
        "FreeBSD": ("device virtio_console",),
        "NetBSD": ("viocon at virtio",),
        "OpenBSD": ("viocon at virtio",),
        "Linux": ("symbol VIRTIO_CONSOLE",),
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
        "Linux": ("symbol KGDB_KDB", "symbol KGDB"),
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
        "NetBSD": ("options BOOTCYCLETIME", "options TSLOG"),
        "Linux": ("symbol BOOTTIME_TRACING",),
    },
    "debugging symbols": {
        "FreeBSD": ("makeoptions DEBUG",),
        "NetBSD": ("makeoptions DEBUG",),
        "OpenBSD": ("makeoptions DEBUG", "else -g: sys/arch/amd64/conf/Makefile.amd64"),
        "Linux": ("symbol DEBUG_INFO",),
    },
}  # fmt: skip
