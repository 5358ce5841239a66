"""Where the vCPUs' threads wait while the guest is paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: How long a vCPU may take to come out of the guest, and out of what it called.
STOP_SECONDS = 10.0
#: A vCPU that stays in is asked again after this time.
_ASK_AGAIN_SECONDS = 0.05


class Gate:
    """Shut at first. Who passes counts as inside until it leaves.

    ``open`` may be read without the lock: who is inside looks at it whenever it came out of KVM.
    ``patience_s``: how long `wait_empty` waits.
    """

    def __init__(self, patience_s: float = STOP_SECONDS) -> None:
        self.patience_s = patience_s
        self._condition = threading.Condition()
        self._inside: set[int] = set()
        self._held: set[int] = set()
        self.open = False
        self.closing = False

    @property
    def inside(self) -> frozenset[int]:
        """The numbers of the vCPUs that have passed and not left."""
        with self._condition:
            return frozenset(self._inside)

    def pass_through(self, vcpu: int) -> bool:
        """Wait until it is open, and this one not held. False: the guest is to end."""
        with self._condition:
            self._condition.wait_for(lambda: self._lets(vcpu) or self.closing)
            if self.open:
                self._inside.add(vcpu)
            return self.open

    def _lets(self, vcpu: int) -> bool:
        return self.open and vcpu not in self._held

    def leave(self, vcpu: int) -> None:
        """A vCPU came out of the guest."""
        with self._condition:
            self._inside.discard(vcpu)
            self._condition.notify_all()

    def hold(self, *vcpus: int) -> None:
        """Let these wait though it is open, until `release`. One that is inside stays inside."""
        with self._condition:
            self._held.update(vcpus)

    def release(self, *vcpus: int) -> None:
        """Let these through as the others."""
        with self._condition:
            self._held.difference_update(vcpus)
            self._condition.notify_all()

    def set_open(self, is_open: bool) -> None:
        """Let vCPUs through, or not. A gate that was closed for good stays shut."""
        with self._condition:
            self.open = is_open and not self.closing
            self._condition.notify_all()

    def close(self) -> None:
        """Let none through any more, and send those who wait home."""
        with self._condition:
            self.open, self.closing = False, True
            self._condition.notify_all()

    def wait_empty(self, interrupt: Callable[[], None]) -> bool:
        """Wait until no vCPU is inside; ``interrupt`` takes them out. False: one stays."""
        deadline = time.monotonic() + self.patience_s
        with self._condition:
            while self._inside and time.monotonic() < deadline:
                interrupt()
                self._condition.wait(_ASK_AGAIN_SECONDS)
            return not self._inside
