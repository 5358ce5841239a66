"""A guest of the monitor with its serial line on this terminal.

Ctrl-A X ends it, Ctrl-A Ctrl-A types a Ctrl-A; Ctrl-C goes to the guest. Where standard input is no
terminal its bytes go to the guest as they are, and its end is no end of the guest.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from timehands.monitor.devices.signals import Ending
from timehands.monitor.microvm import Microvm
from timehands.monitor.snapshot import snapshot

ESCAPE: Final = 0x01
_END: Final = b"xX"
_TICK_SECONDS: Final = 0.1
_READ_BYTES: Final = 256
#: While a guest does not read its line, what is typed waits for it this long, and is lost then.
_PATIENCE_SECONDS: Final = 5.0
#: Makes the guest; it is given what takes the console.
Make = Callable[[Callable[[bytes], None]], Microvm]
#: Serves a debugger, which lets the guest go, for as long as the guest lives.
Serve = Callable[[Microvm], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot that is to be taken so many seconds after the start, and told on stderr."""

    after_s: float
    folder: Path


def run_on_terminal(make: Make, kept: Kept | None = None, serve: Serve | None = None) -> Ending:
    """Run a guest to its end. Raises what ``make`` raises, `SnapshotError`, `MachineError`."""
    with ExitStack() as stack:
        guest = stack.enter_context(make(_to_stdout))
        stack.enter_context(_raw(sys.stdin.fileno()))
        if serve is not None:
            stack.enter_context(serve(guest))
        typing = threading.Thread(target=_type, args=(guest,), name="typing", daemon=True)
        if serve is None:
            guest.resume()
        typing.start()
        _wait(guest, kept)
        assert guest.ending is not None
        return guest.ending


def _wait(guest: Microvm, kept: Kept | None) -> None:
    """Until it ends; an interrupt of this process ends it, too."""
    started = time.monotonic()
    try:
        while guest.wait(_TICK_SECONDS) is None:
            if kept is not None and time.monotonic() - started >= kept.after_s:
                folder, kept = snapshot(guest, kept.folder), None
                sys.stderr.write(f"\r\nthe guest as it is now is kept in {folder}\r\n")
    except KeyboardInterrupt:
        guest.stop()


def _to_stdout(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _type(guest: Microvm) -> None:
    """What comes on standard input, to the guest; in a thread of its own, until the guest ends."""
    keys = Keys()
    descriptor = sys.stdin.fileno()
    while guest.ending is None:
        readable, _, _ = select.select([descriptor], [], [], _TICK_SECONDS)
        if not readable:
            continue
        data = os.read(descriptor, _READ_BYTES)
        if not data:
            return
        typed, ends = keys.take(data) if os.isatty(descriptor) else (data, False)
        _send(guest, typed)
        if ends:
            guest.stop()


def _send(guest: Microvm, data: bytes) -> None:
    """All of it, as fast as the guest takes it."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while data and guest.ending is None and time.monotonic() < until:
        taken = guest.send(data)
        data = data[taken:]
        if not taken:
            time.sleep(_TICK_SECONDS / 10)


class Keys:
    """What was typed: bytes for the guest, and whether it was told to end."""

    def __init__(self) -> None:
        self._escaped = False

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """What the guest gets of these keys, and whether it is to be ended."""
        result = bytearray()
        for key in data:
            if self._escaped:
                self._escaped = False
                if key in _END:
                    return bytes(result), True
                if key == ESCAPE:
                    result.append(key)
            elif key == ESCAPE:
                self._escaped = True
            else:
                result.append(key)
        return bytes(result), False


@contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Each key as it is typed, Ctrl-C too; what is printed still gets its carriage returns."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    now = termios.tcgetattr(descriptor)
    now[0] &= ~(termios.ICRNL | termios.IXON | termios.ISTRIP | termios.BRKINT | termios.INLCR)
    now[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, now)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
