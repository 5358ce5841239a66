"""Guest memory as the readers of a kernel's data see it, whoever fetches it.

A reader (a value of a C type, a backtrace, a list of timecounters) is plain code that calls
`Memory.read`. It never waits: `Pages` holds what was fetched, and says by `Missing` what it lacks;
`settle` fetches that and runs the reader again. A reader must not change anything but its result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar

T = TypeVar("T")
#: Fetches ``length`` bytes at a guest virtual address; None when they cannot be read.
Fetch = Callable[[int, int], Awaitable[bytes | None]]

PAGE: Final = 4096
#: How often a reader is run again, at most: memory of a guest may lead it round and round.
MAX_FETCHES: Final = 4_000
MAX_READ: Final = 1 << 20
#: The most that is held because of `need`, in bytes.
MAX_NEED: Final = 64 << 20
#: It costs less to read so many bytes for nothing than to ask once more.
_GAP: Final = 16 << 10
_TOP: Final = 1 << 64


class Unreadable(Exception):
    """Guest memory that cannot be read: ``address`` (virtual) and ``length`` in bytes."""

    def __init__(self, address: int, length: int) -> None:
        super().__init__(f"guest memory at {address:#x} ({length} bytes) cannot be read")
        self.address = address
        self.length = length


class Missing(Exception):
    """Guest memory that was not fetched yet: whole blocks. For `settle` only: let it pass.

    ``more`` are all pieces that will be needed, (address, length) each; empty: just this one.
    """

    def __init__(self, address: int, length: int, more: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(f"{address:#x}+{length}")
        self.address = address
        self.length = length
        self.more = more


class Memory(Protocol):
    """What can be read like guest memory, by virtual address."""

    def read(self, address: int, length: int) -> bytes:
        """Exactly ``length`` bytes (0 to 1 MiB). Raises `Unreadable`."""


class Pages:
    """Guest memory that was fetched, in whole blocks; valid while the guest stands still.

    ``block`` is the size of a fetch, a power of two: the smallest one that is worth a round trip.
    """

    def __init__(self, block: int = 256) -> None:
        self._block = block
        self._blocks: dict[int, bytes | None] = {}

    def read(self, address: int, length: int) -> bytes:
        """The bytes. Raises `Unreadable`, and `Missing` when they were not fetched yet."""
        if not 0 <= length <= MAX_READ or not 0 <= address <= _TOP - length:
            raise Unreadable(address, length)
        first = address - address % self._block
        parts = []
        for start in range(first, address + length, self._block):
            block = self._blocks.get(start, b"")
            if block is None:
                raise Unreadable(address, length)
            if not block:
                end = address + length + -(address + length) % self._block
                raise Missing(start, end - start)
            parts.append(block)
        return b"".join(parts)[address - first :][:length]

    def need(self, pieces: Iterable[tuple[int, int]]) -> None:
        """Say that pieces of memory, (address, length) each, will all be read.

        Raises `Missing` for all that were not fetched yet, in as few fetches as that takes; not
        for more than `MAX_NEED` bytes.
        """
        block, wanted = self._block, set[int]()
        for address, length in pieces:
            if 0 < length <= MAX_READ and 0 <= address <= _TOP - length:
                wanted.update(range(address - address % block, address + length, block))
        room = max(MAX_NEED // block - len(self._blocks), 0)
        runs = _runs(sorted(wanted - self._blocks.keys())[:room], block)
        if runs:
            raise Missing(*runs[0], runs)

    async def fetch(self, missing: Missing, fetch: Fetch) -> None:
        """Fetch what is missing; when not all of it can be read, its first block alone."""
        if not missing.more:
            await self._first(missing, fetch)
        for address, length in missing.more:
            await self._whole(address, length, fetch)

    async def _whole(self, address: int, length: int, fetch: Fetch) -> None:
        """Fetch all that can be read of a piece: halves of it where the whole cannot."""
        data = await fetch(address, length)
        if length > self._block and (data is None or len(data) != length):
            half = length // 2 - length // 2 % self._block or self._block
            await self._whole(address, half, fetch)
            await self._whole(address + half, length - half, fetch)
        else:
            self.keep(address, data)

    async def _first(self, missing: Missing, fetch: Fetch) -> None:
        data = await fetch(missing.address, missing.length)
        if data is None and missing.length > self._block:
            data = await fetch(missing.address, self._block)
        self.keep(missing.address, data)

    def keep(self, address: int, data: bytes | None) -> None:
        """Hold whole blocks that were fetched; None: the block cannot be read."""
        if not data or len(data) % self._block:
            self._blocks[address] = None
            return
        for start in range(0, len(data), self._block):
            self._blocks[address + start] = data[start : start + self._block]

    def forget(self) -> None:
        """The guest has run, or its memory was written: nothing is known any more."""
        self._blocks.clear()


def need(memory: Memory, pieces: Iterable[tuple[int, int]]) -> None:
    """Have many pieces of memory, (address, length) each, fetched together before they are read.

    Where each fetch is a round trip, and the reader is run again after it, that spares thousands.
    Pieces that cannot be read are no error here.
    """
    if isinstance(memory, Pages):
        memory.need(pieces)


def _runs(blocks: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Ascending blocks as few pieces (address, length), with small gaps between them filled."""
    runs: list[tuple[int, int]] = []
    for start in blocks:
        if runs:
            first, length = runs[-1]
            end = start + size - first
            if start - first - length <= _GAP and end <= MAX_READ:
                runs[-1] = (first, end)
                continue
        runs.append((start, size))
    return runs


async def settle(
    read: Callable[[Memory], T], pages: Pages, fetch: Fetch, most: int = MAX_FETCHES
) -> T:
    """The result of a reader, with what it needs fetched as it asks for it.

    Raises what the reader raises; `Unreadable` also when it needs more than ``most`` fetches.
    """
    for _ in range(most):
        try:
            return read(pages)
        except Missing as missing:
            await pages.fetch(missing, fetch)
    raise Unreadable(0, 0)
