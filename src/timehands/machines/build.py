"""Building the small C programs that must run inside: on first use, cached by content.

The sources are part of the package (``timehands/payloads``). What is built is kept in the cache
under a name made from the sources, the flags and the compiler, so a changed source is built anew
and nothing else is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from timehands.errors import CompilerMissing
from timehands.machines.cache import cache_folder

PAYLOADS = Path(__file__).parent.parent / "payloads"
COMPILE_SECONDS = 60
_MEND = "apt-get install --no-install-recommends gcc libc6-dev"

#: For bare guests: nothing of the host's C library, no code that the host's defaults would add.
BARE_FLAGS = (
    "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-ffreestanding", "-nostdlib", "-static",
    "-fno-pic", "-no-pie", "-fno-stack-protector", "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables", "-mno-sse", "-mno-mmx", "-Wl,--build-id=none",
)  # fmt: skip


def compiler() -> str:
    """The C compiler: ``$CC``, else ``cc`` or ``gcc`` or ``clang``. Raises `CompilerMissing`."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    raise CompilerMissing("no C compiler was found", mend=_MEND)


def build(sources: tuple[str, ...], flags: tuple[str, ...], name: str) -> Path:
    """The program built from the payload ``sources`` with ``flags``, from the cache if it is there.

    The first source is compiled together with the other ``.c`` and ``.S`` ones; headers and linker
    scripts are named so that they count for the content. Raises `CompilerMissing` with the
    compiler's output.
    """
    cc = compiler()
    target = cache_folder("payloads") / f"{_key(cc, sources, flags)}-{name}"
    if not target.exists():
        _compile(cc, sources, flags, target)
    return target


def _key(cc: str, sources: tuple[str, ...], flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    stat = Path(cc).resolve().stat()
    digest.update(f"{Path(cc).resolve()} {stat.st_size} {stat.st_mtime_ns} {flags}".encode())
    for source in sources:
        digest.update(source.encode() + b"\0" + (PAYLOADS / source).read_bytes())
    return digest.hexdigest()[:16]


def _compile(cc: str, sources: tuple[str, ...], flags: tuple[str, ...], target: Path) -> None:
    inputs = [str(PAYLOADS / source) for source in sources if source.endswith((".c", ".S"))]
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        output = Path(folder) / "out"
        command = [cc, *flags, "-I", str(PAYLOADS), "-o", str(output), *inputs]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CompilerMissing(f"{cc} did not finish in {COMPILE_SECONDS} s") from error
        except OSError as error:
            raise CompilerMissing(f"{cc} cannot be run: {error.strerror}", mend=_MEND) from error
        if done.returncode != 0 or not output.is_file():
            raise CompilerMissing(
                f"{cc} could not build {target.name}", mend=_MEND, output=done.stderr
            )
        output.replace(target)
