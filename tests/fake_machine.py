"""A machine made of fakes, for the scripts that set a machine up: no root, no network.

It has a copy of the scripts in a folder with spaces in its name, and a PATH with the plain tools
plus stand-ins for what would change the system. The stand-ins log how they were called.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOLS = (
    "awk", "bash", "cat", "chmod", "cp", "cut", "dirname", "env", "flock", "grep", "head", "mkdir",
    "mktemp", "mv", "rm", "sed", "sh", "sha256sum", "stat", "tail", "tee", "touch", "uname",
)  # fmt: skip
GOOD_QEMU = "#!/bin/sh\n# qemu_plugin_read_memory_vaddr\n"
OLD_QEMU = "#!/bin/sh\n# qemu_plugin_n_vcpus\n"
FAKE_CC = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; : >"$2"\n'
FAKE_PYTHON = """#!/bin/sh
echo "python $*" >>"$FAKES_LOG"
case "$1 $2" in
    "-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && : >"$4/bin/timehands" &&
        chmod +x "$4/bin/timehands" ;;
    "-m pip") [ ! -e "$FAKES_LOG.pip-fails" ] ;;
esac
"""
BOOKWORM = "ID=debian\nVERSION_CODENAME=bookworm\n"
TRIXIE = "ID=debian\nVERSION_CODENAME=trixie\n"
UBUNTU = "ID=ubuntu\nVERSION_CODENAME=noble\n"
MIRROR = "http://mirror.invalid/debian/"


@dataclass(frozen=True)
class FakeMachine:
    """A folder of stand-ins, a copy of the scripts, and the log of the calls."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "check out"

    @property
    def sample(self) -> Path:
        return self.folder / "home/.cache/timehands/sample"

    @property
    def calls(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def forget_calls(self) -> None:
        (self.folder / "log").unlink(missing_ok=True)

    def program(self, name: str, content: str) -> None:
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o755)

    def logging(self, name: str, then: str = "") -> None:
        self.program(name, f'#!/bin/sh\necho "{name} $*" >>"$FAKES_LOG"\n{then}\n')

    def apt(self, *suites: str, candidate: str = "") -> None:
        """An apt that is configured for the suites and would install that QEMU."""
        uris = "".join(f"'{MIRROR}dists/{suite}/InRelease' name 0\\n" for suite in suites)
        self.logging("apt-get", f'case "$*" in *--print-uris*) printf "{uris}";; esac')
        line = f"  Candidate: {candidate or '(none)'}"
        self.program("apt-cache", f'#!/bin/sh\nprintf "qemu-system-x86:\\n{line}\\n"\n')

    def release(self, text: str) -> None:
        (self.folder / "os-release").write_text(text)

    def user(self, number: int) -> None:
        self.program("id", f"#!/bin/sh\necho {number}\n")

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.folder / "bin"),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder),
            "FAKES_LOG": str(self.folder / "log"),
            "TIMEHANDS_OS_RELEASE": str(self.folder / "os-release"),
            "PIP_CERT": "/dev/null",
        }
        return subprocess.run(
            [str(self.checkout / script), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def make_machine(tmp_path: Path) -> FakeMachine:
    """Debian 12 as a plain user without sudo; Python is there, QEMU and a compiler are not."""
    made = FakeMachine(tmp_path)
    for name in ("bin", "home"):
        (tmp_path / name).mkdir()
    for name in TOOLS:
        path = shutil.which(name) or pytest.skip(f"no program {name}")
        (tmp_path / "bin" / name).symlink_to(path)
    dpkg = shutil.which("dpkg") or pytest.skip("no dpkg")
    (tmp_path / "bin" / "dpkg").symlink_to(dpkg)
    (made.checkout / "scripts").mkdir(parents=True)
    for name in ("demo", "test", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, made.checkout / name)
    for path in (ROOT / "scripts").glob("*.sh"):
        shutil.copy(path, made.checkout / "scripts" / path.name)
    made.program("python3", FAKE_PYTHON)
    made.apt("bookworm", candidate="1:7.2+dfsg-7")
    made.release(BOOKWORM)
    made.user(1000)
    return made


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
