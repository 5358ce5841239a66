"""The ramdisk with our own init: a cpio archive of one small static program.

The format is cpio "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from timehands.machines.build import build
from timehands.machines.cache import cache_folder, write_atomically

_FLAGS = (
    "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-ffreestanding", "-nostdlib", "-static",
    "-fno-pic", "-no-pie", "-fno-stack-protector", "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables", "-fno-builtin", "-Wl,--build-id=none",
)  # fmt: skip

#: CPUID leaves that our init executes for the watcher to see (payloads/init.c).
MARK_INIT = 0x54480001
MARK_BEFORE = 0x54480002
MARK_AFTER = 0x54480003
MARK_END = 0x54480004
#: How its lines on the console begin.
PREFIX = "timehands: "


def init_ramdisk() -> Path:
    """The ramdisk, made on first use and cached. Raises `CompilerMissing`."""
    program = build(("init.c",), _FLAGS, "init").read_bytes()
    archive = b"".join(
        (
            _entry("dev", stat.S_IFDIR | 0o755),
            _entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            _entry("init", stat.S_IFREG | 0o755, program),
            _entry("TRAILER!!!", 0),
        )
    )
    name = hashlib.sha256(archive).hexdigest()[:16]
    path = cache_folder("payloads") / f"{name}-init.cpio"
    return path if path.exists() else write_atomically(path, archive)


def _entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One member: header of 13 hexadecimal fields, name, content, each padded to 4 bytes."""
    raw = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(raw), 0)
    head = b"070701" + b"".join(f"{field:08x}".encode() for field in fields) + raw
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
