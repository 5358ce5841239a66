"""How another thread takes a vCPU out of the guest.

``kvm_run.immediate_exit`` makes the next KVM_RUN return at once; a vCPU that is in the guest needs
a signal to its thread besides. The signal is blocked in that thread, and KVM_SET_SIGNAL_MASK
lets it through in KVM_RUN only: so it is never delivered, needs no handler, and works in threads
other than the main one (Documentation/virt/kvm/api.rst, KVM_SET_SIGNAL_MASK).
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from timehands.kvm.numbers import Request
from timehands.kvm.structs import SignalMask

if TYPE_CHECKING:
    from timehands.kvm.vcpu import Vcpu

#: The signal. A thread that ran a vCPU keeps it blocked.
SIGNAL = signal.SIGRTMIN
_MASK_SIZE = 8  # the kernel's sigset_t


@dataclass(frozen=True, slots=True, eq=False)
class _Thread:
    """A thread that ran a vCPU. Not the ident alone, which is given again to later threads."""

    ident: int


class Interruption:
    """The wish that a vCPU come out of the guest, and the thread that it runs in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._masked: _Thread | None = None  # the thread that the vCPU's mask was made for
        self._inside: _Thread | None = None  # the thread that is in KVM_RUN

    def ask(self, vcpu: Vcpu) -> None:
        """Have the vCPU come out, or not go in the next time."""
        with self._lock:
            vcpu.shared.immediate_exit = 1
            if self._inside is not None:
                signal.pthread_kill(self._inside.ident, SIGNAL)

    def entering(self, vcpu: Vcpu) -> None:
        """Before KVM_RUN. Raises `RuntimeError` when another thread is in it."""
        try:
            thread: _Thread = _threads.this
        except AttributeError:
            thread = _first_time()
        with self._lock:
            if self._inside is not None:
                raise RuntimeError(f"{vcpu.name} runs already, in another thread")
            if self._masked is not thread:
                self._let_through(vcpu)
                self._masked = thread
            self._inside = thread

    def left(self) -> None:
        """After KVM_RUN, whatever came of it."""
        with self._lock:
            self._inside = None

    def done(self, vcpu: Vcpu) -> None:
        """What was asked for has come about: the vCPU came out, and says so.

        Not before: where it just came out for another reason, the wish stays for the next time.
        """
        with self._lock:
            vcpu.shared.immediate_exit = 0
            while signal.sigtimedwait({SIGNAL}, 0):
                pass

    def _let_through(self, vcpu: Vcpu) -> None:
        """In KVM_RUN the thread's own mask holds, but for the signal."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        bits = sum(1 << (number - 1) for number in before - {SIGNAL})
        mask = bytes(SignalMask(_MASK_SIZE)) + bits.to_bytes(_MASK_SIZE, "little")
        vcpu.ask(Request.SET_SIGNAL_MASK, bytearray(mask))


_threads = threading.local()


def _first_time() -> _Thread:
    """Block the signal in this thread."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    _threads.this = thread = _Thread(threading.get_ident())
    return thread
