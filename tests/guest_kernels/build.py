"""Kernels of our own that do with their clocks what the BSDs do: built at test time.

``guest_kernel("freebsd")`` is an ELF kernel with a PVH entry, linked high, with frame pointers,
in one of three forms. What it does at run time is chosen by words of its command line: those of
the real system (``boot_verbose=1``, ``hint.attimer.0.at=isa``), and these of our own:

- ``assert=1``: an assertion fails when the clocks are there;
- ``fault=page``, ``fault=general``: a fault in ``read_from``, below ``misbehave``;
- ``hang=loop``: spins in ``loop_forever``; ``hang=i8254_delay``: the i8254's count stands still;
- ``list=cyclic``, ``list=corrupt``: the list of timecounters ends in its own head, or nowhere;
- FreeBSD: ``invariants=1``: as if built with INVARIANTS;
- NetBSD: ``hvleaf=1``: reads CPUID leaf 0x40000010 as newer ones do (with their wrong limit),
  ``lapic=0``: as if no MP table told of a LAPIC.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Literal

from timehands.machines.build import compiler
from timehands.machines.cache import cache_folder

System = Literal["freebsd", "netbsd", "openbsd"]
Form = Literal["dwarf", "symbols", "stripped"]
SYSTEMS: Final[tuple[System, ...]] = ("freebsd", "netbsd", "openbsd")
FORMS: Final[tuple[Form, ...]] = ("dwarf", "symbols", "stripped")
HERE: Final = Path(__file__).resolve().parent
COMPILE_SECONDS: Final = 120

#: As the BSDs compile their kernels: frame pointers, unwind tables for the debugger only.
_FLAGS: Final = (
    "-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Wmissing-declarations", "-Werror",
    "-ffreestanding", "-fno-pic", "-mcmodel=kernel", "-mno-red-zone",
    "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-stack-protector",
    "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-fno-common",
    "-mno-mmx", "-mno-sse", "-mno-80387",
)  # fmt: skip
_LINK: Final = ("-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack")
_STRIP: Final[dict[Form, tuple[str, ...]]] = {
    "dwarf": (),
    "symbols": ("-Wl,--strip-debug",),
    "stripped": ("-Wl,--strip-all",),
}
#: The names of the PVH entry and of the two functions that it calls.
_NAMES: Final[dict[System, tuple[str, str, str]]] = {
    "freebsd": ("xen_start32", "hammer_time_xen", "mi_startup"),
    "netbsd": ("start_pvh", "init_x86_64", "main"),
    "openbsd": ("start", "init_x86_64", "main"),
}


def guest_kernel(system: System, form: Form = "dwarf", cc: str | None = None) -> Path:
    """The test kernel of a system, built if it is not there yet. Safe when several do it at once.

    ``cc`` is the compiler, a name or a path; None: what `timehands.machines.build.compiler` finds.
    Raises `CompilerMissing` without one, and `subprocess.CalledProcessError` when it refuses.
    """
    chosen = cc or compiler()
    target = cache_folder("payloads") / f"{_key(chosen, system, form)}-{system}-{form}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
            output = _build(chosen, system, form, Path(folder))
            output.replace(target)
    return target


def sources(system: System) -> tuple[Path, ...]:
    """The C and assembly files of a system's kernel: its own go before the common ones."""
    files = {p.name: p for folder in ("common", system) for p in (HERE / folder).iterdir()}
    return tuple(path for _, path in sorted(files.items()) if path.suffix in (".c", ".S"))


def _key(cc: str, system: System, form: Form) -> str:
    version = subprocess.run([cc, "--version"], capture_output=True, check=True, timeout=60).stdout
    digest = hashlib.sha256(version)
    read = [HERE / "build.py", *(HERE / "common").iterdir(), *(HERE / system).iterdir()]
    for path in sorted(p for p in read if p.is_file()):
        digest.update(f"\0{path.name}\0{form}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(cc: str, system: System, form: Form, folder: Path) -> Path:
    entry, first, second = _NAMES[system]
    named = (f"-DPVH_ENTRY={entry}", f"-DFIRST={first}", f"-DSECOND={second}")
    includes = ("-I", str(HERE / system), "-I", str(HERE / "common"))
    running, objects = [], []
    for source in sources(system):
        made = folder / f"{source.stem}{source.suffix}.o"
        prefix = f"-ffile-prefix-map={HERE}=/usr/src/guest_kernels"
        command = [cc, *_FLAGS, prefix, *named, *includes, "-c", str(source), "-o", str(made)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        objects.append(str(made))
    _finish(running)
    output = folder / "kernel"
    link = [cc, *_LINK, *_STRIP[form], f"-Wl,-e,{entry}", "-T", str(HERE / "common" / "kernel.ld")]
    done = subprocess.Popen([*link, "-o", str(output), *objects], stderr=subprocess.PIPE, text=True)
    _finish([done])
    return output


def _finish(running: list[subprocess.Popen[str]]) -> None:
    """Wait for all of them; then complain of the first that failed."""
    said = [process.communicate(timeout=COMPILE_SECONDS)[1] for process in running]
    for process, errors in zip(running, said, strict=True):
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args, stderr=errors)
