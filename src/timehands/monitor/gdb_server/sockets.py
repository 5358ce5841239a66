"""The socket that a server listens at: private, as who reaches it can do all with the guest."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from timehands.errors import MachineError

_PRIVATE = 0o600
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def listen(path: Path) -> socket.socket:
    """A Unix socket at a path where nothing is, that only its owner can connect to.

    Raises `MachineError` when it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), _PRIVATE)  # Linux makes the file with the socket's mode
        listener.bind(str(path))
        path.chmod(_PRIVATE)
        listener.listen(1)
    except OSError as error:
        listener.close()
        raise MachineError(
            f"no GDB server can listen at {path}: {error.strerror or error}",
            advice="Name a file that is not there yet, in a folder of yours, by a short path.",
        ) from error
    return listener


def is_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's, or root's."""
    if connection.family != socket.AF_UNIX:
        return False
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user = _CREDENTIALS.unpack(raw)[1]
    return user in (0, os.getuid())
