"""Something is wrong with a stub of the GDB remote protocol, or with steering by it."""

from __future__ import annotations

from timehands.errors.base import TimehandsError


class GdbError(TimehandsError):
    """Something went wrong with a stub of the GDB remote protocol.

    ``sent`` is the request and ``received`` what came (payloads of packets, at most 200 bytes),
    ``state`` the client's state then, as a word.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: bytes = b"",
        received: bytes = b"",
        state: str = "",
        advice: str = "",
    ) -> None:
        super().__init__(message, advice=advice)
        self.sent = sent[:200]
        self.received = received[:200]
        self.state = state


class StubGone(GdbError):
    """The stub closed the connection (its guest's machine may have died), or there is none."""


class StubSilent(GdbError):
    """The stub did not answer in time. Nothing more can be asked: a late answer would be wrong."""


class StubRefused(GdbError):
    """The stub answered with an error (``received`` is ``E..``) or does not know the request."""


class ProtocolBroken(GdbError):
    """The stub sent what the protocol does not allow, or contradicts what it said before."""


class WrongState(GdbError):
    """Asked at a moment when that cannot be asked: the message says what to call first."""


class CannotSteer(TimehandsError):
    """A change that the guest or its machine does not let us make. The guest is as it was."""
