"""Files as they come: links, pipes, whatever size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from timehands.errors import KernelUnreadable


def read_file(path: Path, limit: int) -> bytes:
    """The whole of a regular file of at most ``limit`` bytes.

    Raises:
        KernelUnreadable: it is missing, not a regular file, too large, or may not be read.
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise KernelUnreadable("this is not a regular file")
            if status.st_size > limit:
                raise KernelUnreadable(f"larger than {limit >> 20} MiB: no kernel of ours")
            return file.read(status.st_size)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise KernelUnreadable(f"cannot be read: {reason}") from error
