"""Debian's linux-source, unpacked as far as Kbuild needs it, and the objects that make names there.

Nothing is built: ``make -n`` prints what it would do. What has to be there before it descends into
the folders (a configuration that is ready, programs that are built first) is put there by hand.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from timehands.machines.cache import cache_folder

#: What unpacking writes, and as much again.
_BYTES = 2 << 30
_OTHER_MACHINES = (
    "alpha", "arc", "arm", "arm64", "csky", "hexagon", "ia64", "loongarch", "m68k", "microblaze",
    "mips", "nios2", "openrisc", "parisc", "powerpc", "riscv", "s390", "sh", "sparc", "xtensa",
)  # fmt: skip
#: What takes most of the time, and no makefile of this machine's kernel looks at.
_LEFT_OUT = (
    "*/drivers/*.h", "*/sound/*.h", "*.json", "*.yaml", "*/tools/testing/*",
    "*/Documentation/*/*", "*/boot/dts/*",
    *(f"*/arch/{name}/*.[chS]" for name in _OTHER_MACHINES),
)  # fmt: skip
#: Made before make descends: by `make syncconfig`, and by the folder scripts/.
_READY = (
    "include/config/auto.conf.cmd", "include/generated/autoconf.h", "include/generated/rustc_cfg",
    "scripts/asn1_compiler", "scripts/selinux/genheaders/genheaders",
    "scripts/dtc/dtc", "scripts/ipe/polgen/polgen",
)  # fmt: skip
_COMPILED = re.compile(r"\s-c -o (\S+\.o) (\S+?)[\s;']")
_ARCHIVED = re.compile(r"printf \"(\S+/)%s \" ([^|]*)\| xargs ar ")
_LIBRARY = re.compile(r"; ar \w+ \S*lib\.a ([^;]*)")
_LISTED = re.compile(
    r"printf '%s\\n' +([^|']*)\| awk '[^']*print\(\"([^\"]*)\"\$0\)[^']*' > (\S+)\.mod;"
)


@dataclass
class Named:
    """What make would do: ``sources`` has what it compiles, by object; ``linked`` what goes into an
    archive of the kernel or into a module; ``modules`` the latter, each with its modules' names.
    """

    sources: dict[str, str] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    modules: dict[str, set[str]] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """Take in a line of what make prints."""
        if match := _COMPILED.search(line):
            name, source = map(posixpath.normpath, match.groups())
            self.sources[name] = source
        if match := _ARCHIVED.search(line):
            self.linked.update(_below(match.group(1), match.group(2)))
        if match := _LIBRARY.search(line):
            self.linked.update(_below("", match.group(1)))
        if match := _LISTED.search(line):
            for name in _below(match.group(2), match.group(1)):
                self.linked.add(name)
                self.modules.setdefault(name, set()).add(posixpath.basename(match.group(3)))


def _below(folder: str, names: str) -> list[str]:
    return [posixpath.normpath(folder + name) for name in names.split()]


def archive() -> Path:
    """The newest archive of Linux's source that Debian has installed."""
    found = sorted(Path("/usr/src").glob("linux-source-*.tar.xz"))
    if not found:
        pytest.skip("no Debian package linux-source")
    for program in ("make", "tar", "xz", "gcc"):
        if shutil.which(program) is None:
            pytest.skip(f"no program {program}")
    return found[-1]


def dot_config() -> Path:
    """The .config of the sample kernel."""
    found = sorted(cache_folder("sample").glob("boot/config-*"))
    return found[-1] if found else pytest.skip("no sample kernel with its .config")


def unpack(source: Path, folder: Path) -> None:
    """Unpack an archive's kernel into a folder."""
    if shutil.disk_usage(folder).free < _BYTES:
        pytest.skip(f"less than {_BYTES >> 30} GB free at {folder}")
    leave = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    command = ["tar", "-xJf", str(source), "--strip-components=1", "--no-same-owner"]
    subprocess.run([*command, *leave], cwd=folder, check=True, timeout=600)


def configure(folder: Path, config: Path) -> None:
    """Make a configuration ready, as far as makefiles see it."""
    text = config.read_text()
    (folder / ".config").write_text(text)
    for name in _READY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    bare = re.sub(r'(?m)^(CONFIG_\w+)="(.*)"$', r"\1=\2", text)
    (folder / "include/config/auto.conf").write_text(bare)


def objects(folder: Path) -> Named:
    """What make would compile and link, for all of the kernel and its modules."""
    log = folder / "make.log"
    # With these flags the makefile does not call itself anew, without "-o".
    flags = ["-n", "-k", "-r", "-R", "--no-print-directory", "-o", "prepare"]
    command = ["make", *flags, "ARCH=x86", "vmlinux", "modules"]
    plain = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    with log.open("wb") as out:
        subprocess.run(
            command, cwd=folder, env=plain, stdout=out, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, check=False, timeout=900,
        )  # fmt: skip
    named = Named()
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            named.take(line)
    return named
