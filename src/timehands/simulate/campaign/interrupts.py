"""Ctrl-C at moments when it can be heard.

Python raises `KeyboardInterrupt` wherever the main thread is. Within a library's callback, or while
an object is torn down, it is printed or dropped, and the campaign would go on. So it is put off
until the campaign waits for its workers, where it does nothing but wait.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self


class Interrupts:
    """While this lasts, Ctrl-C raises `KeyboardInterrupt` within `heard` only; it is never lost.

    Does nothing in a thread that is not the main one, or where Ctrl-C is handled by somebody else.
    """

    def __init__(self) -> None:
        self._asked = False
        self._hearing = False
        self._ours = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._ask)
            self._ours = True
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Within this it may come; at once when it came before."""
        self._hearing = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._hearing = False

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if self._hearing:
            raise KeyboardInterrupt
