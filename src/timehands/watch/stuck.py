"""A guest that could not go on, since KVM could not: what its monitor said of it, and where.

The monitor writes it as an event of the machine (machine.jsonl), with plain words in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from timehands.watch.recording import MachineEvent

#: The event's name; its data are ``words``, and where known ``vcpu``, ``pc`` and ``code`` (hex).
CANNOT_GO_ON: Final = "CANNOT_GO_ON"
#: What was lost of the console and of the records for want of room.
NOT_KEPT: Final = "NOT_KEPT"
_MAX_WORDS = 400
_MAX_CODE = 15


@dataclass(frozen=True, slots=True)
class Stuck:
    """``words`` are KVM's or the monitor's; ``pc`` None: not known; ``code`` the bytes there."""

    words: str
    pc: int | None = None
    code: bytes = b""


def stuck_in(events: Iterable[MachineEvent]) -> Stuck | None:
    """What a recording's machine says of that; None: nothing. What makes no sense is left out."""
    for event in events:
        if event.name == CANNOT_GO_ON:
            data = event.data
            pc, code = data.get("pc"), data.get("code")
            return Stuck(
                str(data.get("words", ""))[:_MAX_WORDS],
                pc if isinstance(pc, int) and 0 <= pc < 1 << 64 else None,
                _bytes(code) if isinstance(code, str) else b"",
            )
    return None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)[:_MAX_CODE]
    except ValueError:
        return b""
