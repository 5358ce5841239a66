"""What a stub can do, by its own words (``qSupported``, ``vCont?``), held to sane bounds.

GDB manual, "Remote Protocol", "General Query Packets" (qSupported); QEMU gdbstub/gdbstub.c,
handle_query_supported.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from timehands.errors import ProtocolBroken
from timehands.watch.gdb.replies import number

#: What we say that we know.
OURS: Final = b"qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386"
#: A stub that takes less cannot take a register packet, and none needs more.
MIN_PACKET_SIZE: Final = 256
MAX_PACKET_SIZE: Final = 64 << 10
#: What is assumed of a stub that does not say: GDB's own assumption (remote.c, 400 bytes).
PLAIN_PACKET_SIZE: Final = 400


@dataclass(frozen=True, slots=True)
class Features:
    """``packet_size`` is in bytes; ``actions`` are those of vCont (``c``, ``s``, ``C``, ...)."""

    packet_size: int = PLAIN_PACKET_SIZE
    multiprocess: bool = False
    swbreak: bool = False
    hwbreak: bool = False
    target_xml: bool = False
    no_ack: bool = False
    actions: frozenset[str] = frozenset()
    binary_writes: bool | None = None
    qemu: bool = False
    kvm: bool = False

    @classmethod
    def parse(cls, reply: bytes) -> Self:
        """The reply to ``qSupported``; an empty one is that of a stub that does not know it."""
        words = {}
        for item in reply.split(b";")[:256]:
            name, equals, value = item.partition(b"=")
            words[name if equals else item] = value
        return cls(
            packet_size=_packet_size(words.get(b"PacketSize")),
            multiprocess=b"multiprocess+" in words,
            swbreak=b"swbreak+" in words,
            hwbreak=b"hwbreak+" in words,
            target_xml=b"qXfer:features:read+" in words,
        )

    def with_actions(self, reply: bytes) -> Self:
        """... with what the reply to ``vCont?`` tells."""
        if not reply.startswith(b"vCont"):
            return self
        actions = reply.decode(errors="replace").split(";")[1:33]
        return replace(self, actions=frozenset(actions))

    @property
    def steps(self) -> bool:
        """Whether vCont can be used at all: it has to know both ``c`` and ``s``."""
        return {"c", "s"} <= self.actions

    @property
    def read_bytes(self) -> int:
        """How much memory one ``m`` may ask for: the reply is hexadecimal."""
        return self.packet_size // 2 - 8

    @property
    def write_bytes(self) -> int:
        """How much memory one ``M`` (or ``X``, at its worst) may carry."""
        return (self.packet_size - 48) // 2


def _packet_size(text: bytes | None) -> int:
    try:
        size = number(text) if text is not None else PLAIN_PACKET_SIZE
    except ProtocolBroken:
        size = PLAIN_PACKET_SIZE
    return min(max(size, MIN_PACKET_SIZE), MAX_PACKET_SIZE)
