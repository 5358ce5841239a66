"""The operating system of this host, and the commands that install what is missing on it.

Facts come from os-release(5), apt's configuration and uname(2). Every command given here is one
that a person can paste; nothing here runs one.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

_OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
_SOURCES = Path("/etc/apt")
_MAX_BYTES = 1 << 20
_ASSIGNMENT = re.compile(r"^([A-Z_]+)=[\"']?(.*?)[\"']?$", re.MULTILINE)
#: Debian releases whose own QEMU has no plugins that read registers, but whose backports do.
_QEMU_IN_BACKPORTS = frozenset({"bookworm"})


@dataclass(frozen=True, slots=True)
class System:
    """The host's system. ``codename`` is the release's (``bookworm``), or empty.

    ``backports`` says whether apt is configured for the release's backports.
    """

    name: str
    id: str
    codename: str
    kernel: str
    apt: Path | None
    backports: bool

    def install(self, *packages: str) -> str:
        """The command that installs Debian packages, or what to do where there is no apt."""
        if self.apt is None:
            return f"install what Debian calls {', '.join(packages)} by this system's own means"
        return f"apt-get install --no-install-recommends {' '.join(packages)}"

    def install_qemu(self) -> str:
        """The command that installs a QEMU whose plugins read registers."""
        if self.apt is None or self.codename not in _QEMU_IN_BACKPORTS:
            return self.install("qemu-system-x86")
        if not self.backports:
            return "scripts/setup.sh  (it adds the package source of the backports, then installs)"
        return self.install("-t", f"{self.codename}-backports", "qemu-system-x86")


def survey_system() -> System:
    """Read what this host's system is. Never fails: what cannot be read is empty."""
    facts = _os_release()
    codename = facts.get("VERSION_CODENAME", "")
    apt = shutil.which("apt-get")
    return System(
        name=facts.get("PRETTY_NAME", "Linux"),
        id=facts.get("ID", ""),
        codename=codename,
        kernel=os.uname().release,
        apt=Path(apt) if apt else None,
        backports=bool(codename) and _source_named(f"{codename}-backports"),
    )


def _os_release() -> dict[str, str]:
    for path in _OS_RELEASE:
        if text := read_bounded(path):
            return dict(_ASSIGNMENT.findall(text))
    return {}


def _source_named(suite: str) -> bool:
    """Whether a package source names the suite, in either of apt's formats (sources.list(5))."""
    files = [_SOURCES / "sources.list", *(_SOURCES / "sources.list.d").glob("*.list")]
    files += (_SOURCES / "sources.list.d").glob("*.sources")
    wanted = re.compile(rf"^(?:deb|Suites:)\s.*(?<=\s){re.escape(suite)}(?=\s|$)", re.MULTILINE)
    return any(wanted.search(read_bounded(path)) for path in files)


def read_bounded(path: Path, limit: int = _MAX_BYTES) -> str:
    """The text of a small file, or an empty text when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", errors="replace")
    except OSError:
        return ""
