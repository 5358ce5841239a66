"""Where Timehands keeps what it can make again: one folder, private, safe to delete.

Entries are named by the content that they were made from, written to a temporary name and then
renamed, so that two runs at the same time cannot see half of one.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """The folder ``$XDG_CACHE_HOME/timehands/...`` (``~/.cache`` without it), made with mode 0700.

    Falls back to a folder for this user below the system's temporary one when the home cannot be
    written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "timehands"
    try:
        folder = base.joinpath(*parts)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _fallback(*parts)


def _fallback(*parts: str) -> Path:
    base = Path(tempfile.gettempdir()) / f"timehands-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    if not _is_private(base):
        base = Path(tempfile.mkdtemp(prefix="timehands-"))
    folder = base.joinpath(*parts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _is_private(folder: Path) -> bool:
    """Whether it is a folder that nobody else could have put there or can write to."""
    found = folder.lstat()
    mine = found.st_uid == os.getuid()
    return mine and stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o022


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Write the file so that a reader sees the old content or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
