"""Stacks and kernels for tests of unwinding."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernels import build
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Unreadable

TEXT = build.TEXT
STACK = 0xFFFF_C900_0000_0000
CALL = b"\xe8\x00\x00\x00\x00"


class Stack:
    """Memory that holds a stack and nothing else."""

    def __init__(self, base: int, data: bytes) -> None:
        self.base = base
        self.data = data

    @classmethod
    def of(cls, *words: int, base: int = STACK) -> Stack:
        """A stack of these words, the lowest first."""
        return cls(base, struct.pack(f"<{len(words)}Q", *words))

    def read(self, address: int, length: int) -> bytes:
        """See `Memory`."""
        at = address - self.base
        if at < 0 or at + length > len(self.data):
            raise Unreadable(address, length)
        return self.data[at : at + length]


def kernel(
    folder: Path,
    functions: Mapping[str, bytes],
    *,
    banner: bytes = b"",
    symbols: bool = True,
    extra: Sequence[build.Part] = (),
) -> tuple[Kernel, dict[str, int]]:
    """A kernel of these functions (name, code), and where each begins."""
    text, starts = b"", dict[str, int]()
    functions = {**functions, "_etext": b"\xcc" * 16}  # the last symbol has no known size
    for name, code in functions.items():
        starts[name] = TEXT + len(text)
        text += code
    names = b"\0" + b"".join(name.encode() + b"\0" for name in functions)
    table = bytes(24)
    for name, code in functions.items():
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("<IBBHQQ", at, 2, 0, 1, starts[name], len(code))
    parts = [
        build.Part(".text", text, TEXT, flags=6),
        build.Part(".rodata", banner + bytes(16), build.RODATA),
        *extra,
    ]
    if symbols:
        parts.append(build.Part(".symtab", table, kind=2, flags=0, segment=0))
        parts.append(build.Part(".strtab", names, kind=3, flags=0, segment=0))
    path = folder / "kernel"
    path.write_bytes(build.elf(parts))
    return Kernel.open(path, cache=False), starts
