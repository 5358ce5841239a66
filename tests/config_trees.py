"""Small kernel source trees of our own, one for each configuration language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from timehands.sources.tree import SourceTree

FREEBSD = {
    "sys/conf/newvers.sh": 'TYPE="FreeBSD"\n',
    "sys/sys/param.h": "#define __FreeBSD_version 1402000\n",
    "sys/amd64/conf/DEFAULTS": "machine\tamd64\ndevice\tisa\noptions \tGEOM_PART_GPT\n",
    "sys/amd64/conf/SMALL": (
        "# A small kernel\n"
        "cpu\t\tHAMMER\n"
        "ident\t\tSMALL\n"
        'makeoptions\tDEBUG="-g -O1"\t# with symbols\n'
        "options \tSCHED_ULE, SMP\n"
        "options \tHZ=100\n"
        "options \tINVARIANTS\n"
        "device\t\tkvm_clock\n"
        'envvar\t\thint.uart.0.port="0x3F8"\n'
    ),
    "sys/amd64/conf/SMALLER": (
        "include\tSMALL\n"
        'include\t"std.nodebug"\n'
        "ident\tSMALLER\n"
        "options\tHZ=1000\n"
        "nodevice\tkvm_clock\n"
        "device\tkvm_clock\n"
        "nomakeoptions DEBUG\n"
        "nocpu HAMMER\n"
    ),
    "sys/amd64/conf/XEN": "include SMALL\nident XEN\nnodevice kvm_clock\noptions XENHVM\n",
    "sys/conf/std.nodebug": "nooptions INVARIANTS\nnooptions WITNESS\n",
    "sys/conf/options": (
        "# options\nSCHED_ULE opt_sched.h\nSMP opt_global.h\nHZ opt_hz.h\nINVARIANTS\nWITNESS\n"
        "GEOM_PART_GPT opt_geom.h\nDDB\nXENHVM opt_xen.h\n"
    ),
    "sys/conf/options.amd64": "HAMMER opt_cpu.h\n",
    "sys/conf/files": (
        "# all machines\n"
        "kern/kern_tc.c\t\tstandard\n"
        "kern/sched_ule.c\toptional sched_ule\n"
        "kern/kern_hz.c\t\toptional hz\n"
        "kern/bus_if.m\t\tstandard\n"
        "kern/vnode_if.src\tstandard no-obj\n"
        "ddb/db_main.c\t\toptional ddb\n"
        'dev/usb/usb.c\t\toptional usb \\\n\tcompile-with "${NORMAL_C} -I$S/contrib" no-depend\n'
        "kern/kern_mcount.c\toptional profiling-routine\n"
        "libkern/crc.c\t\toptional usb | sched_ule !ddb\n"
        "gen.c\t\t\tstandard local\n"
    ),
    "sys/conf/files.amd64": (
        'include "conf/files.x86"\n'
        "amd64/amd64/locore.S\tstandard no-obj\n"
        'aes.o\toptional smp dependency "$S/crypto/aes.c" compile-with "x" no-implicit-rule\n'
    ),
    "sys/conf/files.x86": (
        "x86/x86/pvclock.c\toptional\tkvm_clock | xenhvm\n"
        "dev/kvm_clock/kvm_clock.c\toptional\tkvm_clock\n"
        "x86/x86/hammer.c\toptional\thammer !xenhvm\n"
    ),
    "sys/conf/files.arm64": "# arm\narm64/arm64/gic.c\tstandard\n",
    "sys/arm64/arm64/gic.c": "\n",
    "sys/conf/kern.pre.mk": (
        "SYSTEM_CFILES= config.c env.c\nSYSTEM_OBJS= locore.o ${OBJS}\nSYSTEM_LD= ld vers.o\n"
    ),
    "sys/amd64/amd64/locore.S": "\n",
    "sys/x86/x86/pvclock.c": "int x;\n",
    "sys/dev/kvm_clock/kvm_clock.c": "int y;\n",
    "sys/dev/kvm_clock/unused.c": "int z;\n",
    "sys/sys/timetc.h": "\n",
    "sys/modules/linux/Makefile": "SRCS= linux_time.c\n",
    "sys/modules/linux/linux_time.c": "\n",
}

NETBSD = {
    "sys/sys/param.h": "#define __NetBSD_Version__ 1099001200\n",
    "sys/conf/files": (
        "version 20171118\n"
        "devclass disk\n"
        "defflag\t\t\tDDB KTRACE\n"
        "defparam opt_param.h\tHZ = 100\n"
        "defflag opt_bsd44.h secmodel_bsd44 : secmodel_suser\n"
        "defflag secmodel_suser\n"
        "obsolete defflag OLD\n"
        "deffs FFS TMPFS : vfs\n"
        "define vfs\n"
        "define kern : libkern\n"
        "define libkern\n"
        "define ifnet\n"
        "device com { } : tty\n"
        "define tty\n"
        "defpseudo loop : ifnet\n"
        "file kern/kern_tc.c kern\n"
        "file kern/kern_ddb.c ddb\n"
        "file kern/vfs.c kern & !(ffs | tmpfs)\n"
        "file ufs/ffs.c ffs\n"
        "file net/if.c ifnet needs-flag\n"
        "file net/if_loop.c loop needs-count\n"
        "file secmodel/suser.c secmodel_suser\n"
        "file lib/libkern.c libkern\n"
        'file dev/com.c com & (com_isa | com_pci) needs-flag compile-with "${CC} -c"\n'
        'include "dev/pci/files.virtio"\n'
        'makeoptions ddb CPPFLAGS+="-Iddb"\n'
        "prefix external/x\nfile x.c kern\nprefix\n"
    ),
    "sys/dev/pci/files.virtio": (
        "device virtio {}\n"
        "file dev/pci/virtio.c virtio\n"
        "device vioif: ifnet\n"
        "attach vioif at virtio\n"
        "file dev/pci/if_vioif.c vioif\n"
    ),
    "sys/arch/x86/conf/files.x86": (
        "define isabus { }\ndefine pcibus { [bus = -1] }\ndefine mainbus { }\n"
        "device mainbus : isabus, pcibus, mainbus\n"
        "attach mainbus at root\n"
        "device isa { [port = -1], [irq = -1] }\nattach isa at isabus\n"
        "device pci { [dev = -1], [function = -1] }\nattach pci at pcibus\n"
        "attach com at isa with com_isa\nfile dev/isa/com_isa.c com_isa\n"
        "attach virtio at pci with virtio_pci\nfile dev/pci/virtio_pci.c virtio_pci\n"
        "file arch/x86/x86/tsc.c mainbus\n"
        "ifdef amd64\nfile arch/x86/x86/lapic.c mainbus\n"
        "else\nfile arch/x86/x86/old.c mainbus\nendif\n"
        "ifndef xen\nfile arch/x86/x86/native.c mainbus\n"
        "elifdef amd64\nfile arch/x86/x86/both.c mainbus\nendif\n"
    ),
    "sys/arch/xen/conf/files.xen": "defflag XEN\nfile arch/xen/xen.c xen\n",
    "sys/arch/amd64/conf/files.amd64": "maxpartitions 16\nmaxusers 2 16 128\n",
    "sys/arch/amd64/conf/std.amd64": (
        "machine amd64 x86 xen\nselect kern\noptions secmodel_bsd44\nmainbus0 at root\n"
    ),
    "sys/arch/amd64/conf/SMALL": (
        'include "arch/amd64/conf/std.amd64"\n'
        "maxusers 8\n"
        "options \tDDB, HZ=1000\n"
        'makeoptions COPTS="-O2 -g"\n'
        "file-system FFS\n"
        "isa0\tat mainbus?\n"
        "com0\tat isa? port 0x3f8\n"
        "\tirq 4\n"
        "pseudo-device loop 2\n"
        "config netbsd root on ? type ?\n"
    ),
    "sys/arch/amd64/conf/LARGE": (
        'include "arch/amd64/conf/SMALL"\n'
        "no options DDB\n"
        "-no options KTRACE\n"
        "no file-system FFS\n"
        "no com0 at isa?\n"
        "pci* at mainbus?\n"
        "virtio* at pci? dev ? function ?\n"
        "vioif* at virtio?\n"
    ),
    "sys/arch/amd64/conf/ODD": (
        'include "arch/amd64/conf/SMALL"\n'
        "no isa0\n"
        "virtio0 at pci0\n"
        "vioif* at nowhere?\n"
        "options OLD\n"
        "options HZ\n"
        "frobnicate all\n"
        'include "arch/amd64/conf/ODD"\n'
    ),
    "sys/arch/x86/x86/tsc.c": "\n",
    "sys/lib/libkern/Makefile.libkern": "SRCS+= strlen.c memcpy.c\n",
    "sys/lib/libkern/strlen.c": "\n",
}

OPENBSD = {
    "sys/conf/newvers.sh": 'ost="OpenBSD"\n',
    "sys/conf/files": (
        "define ifnet {}\ndefine tty {}\n"
        "pseudo-device loop: ifnet\n"
        "device pvbus {}\n"
        "file kern/kern_tc.c\n"
        "file ddb/db.c ddb\n"
        "file kern/kern_malloc_debug.c malloc_debug\n"
        "file net/if_loop.c loop needs-flag\n"
        "file dev/pv/pvbus.c pvbus needs-flag\n"
        "device pvclock\nattach pvclock at pvbus\n"
        "file dev/pv/pvclock.c pvclock needs-flag\n"
    ),
    "sys/conf/GENERIC": "option DDB\noption DIAGNOSTIC\npseudo-device loop 1\n",
    "sys/arch/amd64/conf/files.amd64": (
        "maxpartitions 16\nmaxusers 2 16 128\n"
        "define mainbus {}\ndevice mainbus: mainbus\nattach mainbus at root\n"
        "attach pvbus at mainbus\nmajor {wd = 0}\n"
        "file arch/amd64/amd64/tsc.c\n"
    ),
    "sys/arch/amd64/conf/GENERIC": (
        'machine amd64\ninclude "../../../conf/GENERIC"\nmaxusers 80\nrmoption DIAGNOSTIC\n'
        "config bsd swap generic\nmainbus0 at root\npvbus0 at mainbus0\npvclock* at pvbus?\n"
    ),
}

LINUX = {
    "Makefile": (
        "VERSION = 6\nifneq ($(sub_make_done),1)\nneed-sub-make := 1\nendif\n"
        "ifeq ($(need-sub-make),)\nlibs-y := lib/\nendif\n"
    ),
    "Kbuild": "obj-y += kernel/\nobj-y += arch/$(SRCARCH)/\nobj-$(CONFIG_NET) += net/\n",
    "Kconfig": (
        'mainmenu "Linux"\nsource "scripts/Kconfig.include"\nsource "arch/$(SRCARCH)/Kconfig"\n'
        'source "net/Kconfig"\n'
    ),
    "scripts/Kconfig.include": "cc-option = $(success,$(CC) -Werror $(1) -c)\n",
    "arch/x86/Kconfig": (
        "config 64BIT\n\tdef_bool y\n\n"
        'config HYPERVISOR_GUEST\n\tbool "Guest support"\n\thelp\n\t  config NOT_ONE\n\n'
        "if HYPERVISOR_GUEST\n\n"
        'config PARAVIRT\n\tbool "Paravirtualization"\n\n'
        "config PARAVIRT_CLOCK\n\tbool\n\n"
        'config KVM_GUEST\n\tbool "KVM Guest support"\n\tdepends on PARAVIRT\n'
        "\tselect PARAVIRT_CLOCK\n\tdefault y\n\n"
        'config JAILHOUSE_GUEST\n\tbool "Jailhouse"\n\tdepends on PARAVIRT && \\\n\t\tPCI\n\n'
        "endif # HYPERVISOR_GUEST\n\n"
        'config PCI\n\tbool "PCI" if EXPERT || !64BIT\n\timply NET\n\n'
        'choice\n\tprompt "Timer frequency"\n\tdefault HZ_250\n'
        'config HZ_250\n\tbool "250 HZ"\nconfig HZ_100\n\tbool "100 HZ"\nendchoice\n\n'
        "config HZ\n\tint\n\tdefault 250 if HZ_250\n\tdefault 100\n\n"
        "config CC_HAS_X\n\tdef_bool $(cc-option,-mx -my)\n"
        'config EXPERT\n\tbool "Expert"\n'
    ),
    "net/Kconfig": (
        'menuconfig NET\n\tbool "Networking"\n\nif NET\n'
        'config VLAN\n\ttristate "VLAN"\n'
        'config DRIVER\n\ttristate "Driver"\n\tdepends on VLAN || !VLAN\n'
        "endif\n"
    ),
    "kernel/Makefile": (
        "obj-y = time.o \\\n\tfork.o # the core\nobj-$(CONFIG_MISSING) += missing.o\n"
        "ifdef CONFIG_PARAVIRT\nobj-y += para_$(BITS).o\nelse\nobj-y += bare.o\nendif\n"
        "obj-y += time/\n"
    ),
    "kernel/time/Makefile": (
        "core-objs := tick.o\nobj-y += timekeeping.o $(core-objs) $(names:%=x-%.o)\n"
        "names := a b\nobj-y += $(names:%=x-%.o)\n"
    ),
    "arch/x86/Kbuild": "obj-y += kernel/\nobj-$(subst m,y,$(CONFIG_VLAN)) += hyper/\n",
    "arch/x86/Makefile": "libs-y += arch/x86/lib/\n",
    "arch/x86/kernel/Makefile": (
        "obj-$(CONFIG_KVM_GUEST)\t+= kvm.o kvmclock.o\n"
        "obj-$(CONFIG_PARAVIRT_CLOCK) += pvclock.o\n"
        "obj-$(CONFIG_JAILHOUSE_GUEST) += jailhouse.o\n"
    ),
    "arch/x86/hyper/Makefile": "obj-y += hv.o\n",
    "arch/x86/lib/Makefile": "lib-y := delay.o\n",
    "lib/Makefile": "obj-y += crc.o\n",
    "net/Makefile": (
        "obj-$(CONFIG_VLAN) += vlan.o\nvlan-y := vlan_dev.o\nvlan-$(CONFIG_NET) += vlan_net.o\n"
        "vlan-$(CONFIG_DRIVER) += vlan_driver.o\nobj-$(CONFIG_DRIVER) += sub/driver.o\n"
    ),
    "config": (
        "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1 Kernel Configuration\n#\n"
        "CONFIG_64BIT=y\nCONFIG_HYPERVISOR_GUEST=y\nCONFIG_PARAVIRT=y\nCONFIG_PARAVIRT_CLOCK=y\n"
        "CONFIG_KVM_GUEST=y\n# CONFIG_PCI is not set\n# CONFIG_JAILHOUSE_GUEST is not set\n"
        "CONFIG_HZ_250=y\n# CONFIG_HZ_100 is not set\nCONFIG_HZ=250\nCONFIG_CC_HAS_X=y\n"
        'CONFIG_NET=y\nCONFIG_VLAN=m\nCONFIG_DRIVER=y\nCONFIG_NAME="a \\"b\\""\n'
        + "".join(f"# CONFIG_FILLER_{n} is not set\n" for n in range(10))
    ),
    "arch/x86/kernel/kvmclock.c": "\n",
    "arch/x86/kernel/pvclock.c": "\n",
    "arch/x86/kernel/jailhouse.c": "\n",
    "kernel/para_64.S": "\n",
    "kernel/time.c": "\n",
    "net/vlan_dev.c": "\n",
    "net/vlan_net.c": "\n",
    "net/vlan_driver.c": "\n",
}


def planted(root: Path, *files: Mapping[str, str]) -> SourceTree:
    """A tree of these files below a folder, opened; later ones replace earlier ones."""
    for file, text in {name: text for each in files for name, text in each.items()}.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SourceTree.open(root)


def let_the_clock_tick(root: Path, probe: Path) -> None:
    """Wait until a change gets a later time than all that is below a folder has now.

    File systems take their times from a clock that moves in steps of some milliseconds.
    """
    latest = max(path.lstat().st_ctime_ns for path in (root, *root.rglob("*")))
    probe.touch()
    while probe.stat().st_ctime_ns <= latest:
        probe.write_text("")
