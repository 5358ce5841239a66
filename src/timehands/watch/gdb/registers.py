"""The registers of one vCPU, as a mapping from their names to integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

from timehands.errors import ProtocolBroken
from timehands.watch.gdb.replies import unhex
from timehands.watch.gdb.target import Layout, Register

T = TypeVar("T")


class Registers(Mapping[str, int]):
    """What ``g`` told: unsigned integers by name (``rax``, ``rip``, ``fs_base``, ``cr3``).

    A register that the stub cannot tell is absent: ``name in registers`` asks.
    """

    def __init__(self, layout: Layout, reply: bytes) -> None:
        """From the reply to ``g``. Raises `ProtocolBroken` when it does not fit the layout."""
        self._unknown: frozenset[str] = frozenset()
        if b"x" in reply:
            self._unknown = frozenset(_unknown(layout, reply))
            reply = reply.replace(b"x", b"0")
        self.raw = unhex(reply)
        if not layout.allows(len(self.raw)):
            longer = "long" if len(self.raw) > layout.size else "short"
            raise ProtocolBroken(
                f"the stub's register packet is too {longer}: {len(self.raw)} bytes, where its "
                f"description has {layout.size}",
                received=reply,
                advice="The guest's processor may have changed its mode since the stub described "
                "it: connect again while it is in the mode to look at.",
            )
        self._layout = layout
        self._values: dict[str, int] = {}
        self._whole = False

    def __getitem__(self, name: str) -> int:
        """The value. Raises KeyError when there is no such register, or the stub cannot tell it."""
        value = self._values.get(name)
        if value is None:
            register = self._layout.by_name[name]
            if not self._has(register):
                raise KeyError(name)
            value = self._values[name] = self._value(register)
        return value

    @overload
    def get(self, name: str, default: None = None, /) -> int | None: ...
    @overload
    def get(self, name: str, default: T, /) -> int | T: ...
    def get(self, name: str, default: object = None, /) -> object:
        """The value, or ``default`` where there is none."""
        value = self._values.get(name)
        if value is None:
            register = self._layout.by_name.get(name)
            return default if register is None or not self._has(register) else self[name]
        return value

    def __iter__(self) -> Iterator[str]:
        """The names, in the stub's order."""
        return iter(self._all())

    def __len__(self) -> int:
        """How many are known."""
        return len(self._all())

    def __repr__(self) -> str:
        """The general ones, in hexadecimal."""
        shown = ("rip", "eip", "rsp", "esp", "rax", "eax", "eflags")
        return f"<Registers {' '.join(f'{n}={self[n]:#x}' for n in shown if n in self)}>"

    @property
    def pc(self) -> int:
        """The instruction pointer. Raises KeyError when there is none."""
        pc = self._layout.pc
        return self[pc.name if pc else "rip"]

    def changed(self, name: str, value: int) -> bytes:
        """The payload of a ``G`` that changes one register and leaves the others."""
        register = self._layout.by_name[name]
        raw = bytearray(self.raw)
        raw[register.offset : register.offset + register.size] = value.to_bytes(
            register.size, "little"
        )
        return b"G" + raw.hex().encode()

    def _all(self) -> dict[str, int]:
        if not self._whole:
            held = filter(self._has, self._layout.registers)
            self._values = {register.name: self._value(register) for register in held}
            self._whole = True
        return self._values

    def _value(self, register: Register) -> int:
        return int.from_bytes(self.raw[register.offset : register.offset + register.size], "little")

    def _has(self, register: Register) -> bool:
        return register.offset < len(self.raw) and register.name not in self._unknown


def _unknown(layout: Layout, reply: bytes) -> Iterator[str]:
    for register in layout.registers:
        if b"x" in reply[2 * register.offset : 2 * (register.offset + register.size)]:
            yield register.name
