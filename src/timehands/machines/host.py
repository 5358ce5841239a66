"""What this host can do for Timehands, and what it lacks.

`survey_host` asks everything anew and gives a plain value; `Host.lacks` judges it. Nothing here
changes the host::

    host = survey_host()
    for lack in host.lacks():
        print(lack.what, "->", lack.mend_command)
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from timehands.errors import CompilerMissing
from timehands.machines.build import compiler
from timehands.machines.cache import cache_folder
from timehands.machines.host_kvm import KVM_DEVICE, Kvm, survey_kvm
from timehands.machines.host_qemu import (
    MACHINE_TYPES,
    PLUGIN_API_NEEDED,
    Qemu,
    ask_qemu,
    find_qemu,
    qemu_paths,
    run_bounded,
)
from timehands.machines.host_system import System, read_bounded, survey_system

__all__ = [
    "Compiler", "Cpu", "Folder", "Host", "Kvm", "Lack", "Qemu", "Severity", "System",
    "find_qemu", "survey_host",
]  # fmt: skip

_CLOCKSOURCE = Path("/sys/devices/system/clocksource/clocksource0")
_CPUINFO = Path("/proc/cpuinfo")
#: Free space in the cache below which a recording may not fit, in bytes.
_LITTLE_SPACE = 256 << 20

# The two kinds of program that Timehands builds, each as small as can be.
_SHARED_PROBE = '#include <stdint.h>\n#include <stdio.h>\nint f(void) { return puts(""); }\n'
_BARE_PROBE = "#include <stdint.h>\nvoid _start(void) { for (volatile uint32_t i = 0;; i++); }\n"
_SHARED_FLAGS = ("-shared", "-fPIC")
_BARE_FLAGS = ("-m32", "-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie")


class Severity(StrEnum):
    """How much a lack matters."""

    NEEDED = "needed"
    """Without it no watched boot is possible."""
    USEFUL = "useful"
    """Timehands works without it, but can do less."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that this host does not have. ``mend_command`` is what a person can run."""

    what: str
    why_it_matters: str
    mend_command: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler and what it really built: a shared object, a 32-bit program for no system."""

    path: Path
    version: str
    builds_shared: bool
    builds_bare: bool


@dataclass(frozen=True, slots=True)
class Cpu:
    """The host's processor and clock. ``cores`` are those that this process may use.

    ``constant_tsc`` (the TSC's rate does not change) and ``nonstop_tsc`` (it counts in deep sleep)
    are the kernel's own judgement, from /proc/cpuinfo. ``clocksource`` is what the host's kernel
    keeps time with, empty when it does not say.
    """

    model: str
    cores: int
    constant_tsc: bool
    nonstop_tsc: bool
    clocksource: str
    clocksources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that Timehands writes into; ``free_bytes`` is None when it cannot be known."""

    path: Path
    writable: bool
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Host:
    """All that was found. ``qemus`` holds every QEMU that answered, the one to be used first."""

    system: System
    qemus: tuple[Qemu, ...]
    kvm: Kvm
    compiler: Compiler | None
    cpu: Cpu
    cache: Folder
    temporary: Folder

    @property
    def qemu(self) -> Qemu | None:
        """The QEMU that a boot would use: the first whose plugins read registers, or the first."""
        return next((q for q in self.qemus if q.plugin_reads), next(iter(self.qemus), None))

    @property
    def ready(self) -> bool:
        """Whether a watched boot can be done."""
        return all(lack.severity is not Severity.NEEDED for lack in self.lacks())

    def lacks(self) -> tuple[Lack, ...]:
        """What is missing, the needed things first."""
        found = [*self._lacks_of_qemu(), *self._lacks_of_compiler(), *self._lacks_of_folders()]
        found += [*self._lacks_of_kvm(), *self._lacks_of_clock()]
        return tuple(sorted(found, key=lambda lack: lack.severity is Severity.USEFUL))

    def _lacks_of_qemu(self) -> Iterator[Lack]:
        qemu, mend = self.qemu, self.system.install_qemu()
        if qemu is None:
            yield Lack("QEMU for x86-64", "guests run on it", mend, Severity.NEEDED)
            return
        if not qemu.plugin_reads:
            what = f"a QEMU with TCG plugins that read registers (API {PLUGIN_API_NEEDED})"
            yield Lack(what, "a guest is watched through one", mend, Severity.NEEDED)
        for name in MACHINE_TYPES:
            if name not in qemu.machine_types:
                needed = Severity.NEEDED if name == "microvm" else Severity.USEFUL
                yield Lack(f"QEMU's machine type {name}", f"-M {name} guests", mend, needed)
        if not qemu.sandbox:
            why = "QEMU then runs guests without a filter for its system calls"
            yield Lack("QEMU's -sandbox on", why, mend, Severity.USEFUL)

    def _lacks_of_compiler(self) -> Iterator[Lack]:
        mend = self.system.install("gcc", "libc6-dev")
        found = self.compiler
        if found is None or not found.builds_shared:
            what = "a C compiler with the C library's headers"
            yield Lack(what, "the plugin is built on first use", mend, Severity.NEEDED)
        elif not found.builds_bare:
            what = "a C compiler that builds bare 32-bit programs"
            why = "the survey guest, which says what a machine offers, is one"
            yield Lack(what, why, self.system.install("gcc", "binutils"), Severity.NEEDED)

    def _lacks_of_folders(self) -> Iterator[Lack]:
        for folder, variable in ((self.cache, "XDG_CACHE_HOME"), (self.temporary, "TMPDIR")):
            mend = f"export {variable}=/a/folder/of/yours"
            if not folder.writable:
                why = "recordings, sockets and built programs are kept there"
                yield Lack(f"{folder.path} to be writable", why, mend, Severity.NEEDED)
            elif folder.free_bytes is not None and folder.free_bytes < _LITTLE_SPACE:
                what = f"free space in {folder.path} ({folder.free_bytes >> 20} MiB left)"
                yield Lack(what, "a recording may not fit", mend, Severity.USEFUL)

    def _lacks_of_kvm(self) -> Iterator[Lack]:
        if self.kvm.usable:
            return
        what, why = f"a usable {KVM_DEVICE} ({self.kvm.error})", "--accel kvm needs it"
        mend = (
            "run on a host whose processor and hypervisor offer it (modprobe kvm_intel or kvm_amd)"
        )
        if self.kvm.exists and not self.kvm.opens:
            mend = 'usermod -aG kvm "$USER"  (as root, then log in anew)'
        yield Lack(what, why, mend, Severity.USEFUL)

    def _lacks_of_clock(self) -> Iterator[Lack]:
        if self.kvm.usable and self.cpu.clocksource not in ("tsc", ""):
            what = f"the TSC as the host's clocksource (it is {self.cpu.clocksource})"
            why = "KVM can then not promise guests a stable pvclock"
            mend = "see dmesg for why the kernel gave the TSC up"
            yield Lack(what, why, mend, Severity.USEFUL)


def survey_host() -> Host:
    """Ask the host everything. Takes about a second the first time; raises nothing of its own."""
    return Host(
        system=survey_system(),
        qemus=tuple(qemu for qemu in map(ask_qemu, qemu_paths()) if qemu),
        kvm=survey_kvm(),
        compiler=survey_compiler(),
        cpu=survey_cpu(),
        cache=survey_folder(cache_folder()),
        temporary=survey_folder(Path(tempfile.gettempdir())),
    )


def survey_compiler() -> Compiler | None:
    """Try the compiler that builds would use; None when there is none."""
    try:
        path = Path(compiler())
    except CompilerMissing:
        return None
    status, output = run_bounded((str(path), "--version"))
    lines = output.decode("utf-8", errors="replace").splitlines()
    return Compiler(
        path=path,
        version=lines[0][:80] if status == 0 and lines else "",
        builds_shared=_builds(path, _SHARED_FLAGS, _SHARED_PROBE),
        builds_bare=_builds(path, _BARE_FLAGS, _BARE_PROBE),
    )


def _builds(path: Path, flags: tuple[str, ...], source: str) -> bool:
    try:
        with tempfile.TemporaryDirectory(prefix="timehands-") as folder:
            target = str(Path(folder) / "probe")
            command = (str(path), *flags, "-x", "c", "-", "-o", target)
            return run_bounded(command, source.encode())[0] == 0
    except OSError:
        return False


def survey_cpu(cpuinfo: Path = _CPUINFO, clocksource: Path = _CLOCKSOURCE) -> Cpu:
    """Read what the host's kernel says of its processor and clocks."""
    text = read_bounded(cpuinfo)
    flags = _cpuinfo_value(text, "flags").split()
    return Cpu(
        model=_cpuinfo_value(text, "model name"),
        cores=len(os.sched_getaffinity(0)),
        constant_tsc="constant_tsc" in flags,
        nonstop_tsc="nonstop_tsc" in flags,
        clocksource=read_bounded(clocksource / "current_clocksource").strip(),
        clocksources=tuple(read_bounded(clocksource / "available_clocksource").split()),
    )


def _cpuinfo_value(text: str, name: str) -> str:
    match = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def survey_folder(path: Path) -> Folder:
    """Try to write into the folder, and look at the space that is left."""
    try:
        free: int | None = shutil.disk_usage(path).free
    except OSError:
        free = None
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"timehands")
            file.flush()
    except OSError:
        return Folder(path, False, free)
    return Folder(path, True, free)
