"""The file that a guest has for its disk."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from errno import EBADF
from pathlib import Path
from typing import Self

from timehands.errors import MachineError
from timehands.monitor.devices.virtio.overlay import SECTOR, Overlay, read_at, write_at

_QCOW2 = b"QFI\xfb"


class Writes(StrEnum):
    """What becomes of what a guest writes to its disk.

    ``kept``: it is in the file. ``dropped``: the guest reads it again, the file stays as it is.
    ``refused``: the guest is told that the disk is read-only.
    """

    KEPT = "kept"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Disk:
    """A raw image or a block device that a guest is to have."""

    path: Path
    writes: Writes = Writes.KEPT


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a disk is known again: its size in bytes, and when it was last changed, in ns.

    What changes a block device may leave its time as it is.
    """

    size: int
    changed_ns: int


class DiskFile:
    """A disk, opened: ``size`` bytes. A context manager.

    Several guests may have a disk at once, but not while one of them writes to it.
    """

    def __init__(self, disk: Disk) -> None:
        """Raises `MachineError` for what is no disk, or another guest's."""
        self.disk = disk
        self._fd: int | None = None
        self._overlay: Overlay | None = None
        self._written = False
        try:
            self._begin()
        except (OSError, ValueError) as error:  # the latter for what is no path at all
            self.close()
            why = error.strerror if isinstance(error, OSError) else error
            raise MachineError(f"the disk cannot be opened: {disk.path}: {why}") from error
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        path, keeps = self.disk.path, self.disk.writes is Writes.KEPT
        _check_kind(path)
        flags = os.O_RDWR if keeps else os.O_RDONLY
        self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        self._take(fcntl.LOCK_EX if keeps else fcntl.LOCK_SH)
        self.size = self._size()
        self._check_image()
        if self.disk.writes is Writes.DROPPED:
            self._overlay = Overlay(self._read)

    def _take(self, kind: int) -> None:
        try:
            fcntl.flock(self._open(), kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(
                f"another guest has this disk: {self.disk.path}",
                advice="Several can have one only while none of them writes to the file.",
            ) from None

    def _size(self) -> int:
        return os.lseek(self._open(), 0, os.SEEK_END)

    def _check_image(self) -> None:
        path = self.disk.path
        if os.pread(self._open(), len(_QCOW2), 0) == _QCOW2:
            raise MachineError(
                f"this disk is a qcow2 image: {path}",
                advice=f"Make a raw one of it: qemu-img convert -O raw {path} FILE",
            )
        if self.size == 0:
            raise MachineError(f"this disk is empty: {path}")
        if self.size % SECTOR and self.disk.writes is Writes.KEPT:
            raise MachineError(
                f"this disk is of {self.size} bytes, which are no whole sectors: {path}",
                advice=f"Make it longer: truncate -s %{SECTOR} {path}",
            )

    @property
    def sectors(self) -> int:
        """How many; the last one is filled up with zeros."""
        return -(-self.size // SECTOR)

    @property
    def wrote(self) -> bool:
        """Whether the guest wrote what is to be dropped."""
        return self._overlay is not None and self._overlay.wrote

    def identity(self) -> Identity:
        """What it is known by; what was written is in the file by then. Raises `OSError`."""
        if self._written:
            self.flush()
            self._mark()
            self._written = False
        return Identity(self._size(), os.fstat(self._open()).st_mtime_ns)

    def _mark(self) -> None:
        """Make its time one to the ns. What is written next has one of the host's ticks.

        Only the file's owner may: for others what is written within a tick is not told apart.
        """
        with suppress(OSError):
            os.utime(self._open(), ns=(os.fstat(self._open()).st_atime_ns, time.time_ns()))

    def read(self, sector: int, count: int) -> bytes:
        """So many sectors. Raises `OSError`."""
        if self._overlay is not None:
            return self._overlay.read(sector, count)
        return self._read(sector, count)

    def _read(self, sector: int, count: int) -> bytes:
        return read_at(self._open(), sector * SECTOR, count * SECTOR)

    def write(self, sector: int, data: bytes) -> None:
        """Whole sectors. Raises `OSError`."""
        if self._overlay is not None:
            self._overlay.write(sector, data)
        else:
            self._written = True
            write_at(self._open(), sector * SECTOR, data)

    def flush(self) -> None:
        """What was written stays, whatever happens to the host. Raises `OSError`."""
        if self.disk.writes is Writes.KEPT:
            os.fdatasync(self._open())

    def _open(self) -> int:
        """The file; a guest's last access may come when it is closed already."""
        if self._fd is None:
            raise OSError(EBADF, os.strerror(EBADF))
        return self._fd

    def close(self) -> None:
        """Give it back."""
        fd, self._fd = self._fd, None
        if self._overlay is not None:
            self._overlay.close()
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _check_kind(path: Path) -> None:
    """Before it is opened: that alone does something to some devices."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise MachineError(f"a disk is a file or a block device, which this is not: {path}")
