"""The one place where KVM is asked: a file descriptor with its ioctls, closed once and for all."""

from __future__ import annotations

import fcntl
import os
import warnings
from ctypes import CDLL, c_int, c_ulong, get_errno, sizeof
from types import TracebackType
from typing import Self, TypeVar

from timehands.errors import KvmRefused
from timehands.kvm.descriptions import NEEDS
from timehands.kvm.numbers import Request
from timehands.kvm.structs import Layout

_L = TypeVar("_L", bound=Layout)
_INT_MAX = 2**31 - 1


class Descriptor:
    """A file descriptor of KVM's. A context manager; `close` may be called again.

    ``name`` says in errors what it is. Nothing may be asked after `close`: that raises
    `ValueError`, as Python's files do.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{', closed' if self.closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._descriptor < 0

    def fileno(self) -> int:
        """The descriptor. Raises `ValueError` when it is closed."""
        if self.closed:
            raise ValueError(f"{self.name} is closed")
        return self._descriptor

    def close(self) -> None:
        """Give the descriptor back; the second time does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def ask(self, request: Request, argument: int | Layout | bytearray = 0) -> int:
        """Make a request; a structure or buffer is filled in place. Raises `KvmRefused`.

        A structure must be as large as the request says: the kernel copies that many bytes.
        """
        if isinstance(argument, Layout) and sizeof(argument) != request >> 16 & 0x3FFF:
            raise ValueError(f"KVM_{request.name} does not take a {type(argument).__name__}")
        try:
            if isinstance(argument, int) and argument > _INT_MAX:
                return _wide_ioctl(self.fileno(), request, argument)
            return fcntl.ioctl(self.fileno(), request, argument)
        except OSError as error:
            raise self.refused(request, error) from None

    def refused(self, request: Request, error: OSError) -> KvmRefused:
        """The error that tells of a request that failed."""
        return KvmRefused(
            f"KVM_{request.name}",
            on=self.name,
            errno=error.errno or 0,
            needs=NEEDS.get(request, ""),
        )

    def get(self, request: Request, layout: type[_L]) -> _L:
        """Ask for a structure. Raises `KvmRefused`."""
        answer = layout()
        self.ask(request, answer)
        return answer


def _wide_ioctl(descriptor: int, request: int, argument: int) -> int:
    """As fcntl.ioctl, which takes no number beyond a C int, though the kernel takes a long."""
    call = CDLL(None, use_errno=True).ioctl
    result: int = call(c_int(descriptor), c_ulong(request), c_ulong(argument))
    if result < 0:
        raise OSError(get_errno(), os.strerror(get_errno()))
    return result
