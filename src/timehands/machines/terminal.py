"""A machine on this terminal: QEMU has standard input and output, and dies with us."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from timehands.errors import QemuFailed
from timehands.machines.guest import die_with

_END_SECONDS: Final = 5.0
#: Of sockets that QEMU makes: for their owner alone.
_UMASK: Final = 0o177


def run_on_terminal(command: Sequence[str]) -> int:
    """Run QEMU to its end and return its exit status; 128 and the signal that killed it.

    Raises `QemuFailed` when it cannot be started. When this is interrupted, QEMU is ended.
    """
    owner = os.getpid()

    def prepare() -> None:
        die_with(owner)
        os.umask(_UMASK)

    try:
        process = subprocess.Popen(tuple(command), preexec_fn=prepare)  # noqa: PLW1509
    except OSError as error:
        message = f"{command[0]}: {error.strerror}"
        raise QemuFailed(message, command=tuple(command)) from error
    try:
        status = process.wait()
        return status if status >= 0 else 128 - status
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
