"""A kernel's own variables, read from guest memory: bounded, without what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from timehands.guests.bsd.layouts import Layout
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Memory, Unreadable

_MOST_LISTED = 32
_NAME_BYTES = 32
_KERNEL_HALF = 1 << 63
#: Members of a timecounter with their sizes in bytes, as the result names them.
_COUNTER = (
    ("frequency", "tc_frequency", 8),
    ("quality", "tc_quality", 4),
    ("mask", "tc_counter_mask", 4),
    ("flags", "tc_flags", 4),
)
Row = dict[str, Any]


class Reader:
    """A kernel's symbols and a guest's memory, read together."""

    def __init__(self, kernel: Kernel, memory: Memory) -> None:
        self.kernel = kernel
        self.memory = memory

    def address(self, name: str) -> int | None:
        """Where a variable is; a compiler that splits a structure adds a number to its name."""
        known = self.kernel.symbols
        return next((a for n in (name, f"{name}.0") for a in known.lookup(n)), None)

    def number(self, address: int | None, size: int, *, signed: bool = False) -> int | None:
        """An integer of that many bytes; None: it cannot be read."""
        if address is None:
            return None
        try:
            return int.from_bytes(self.memory.read(address, size), "little", signed=signed)
        except Unreadable:
            return None

    def pointer(self, address: int | None) -> int | None:
        """A pointer into the kernel's half; None: it is none, or cannot be read."""
        value = self.number(address, 8)
        return value if value is not None and value >= _KERNEL_HALF else None

    def text(self, address: int | None, room: int = _NAME_BYTES) -> str | None:
        """A string of printable ASCII, of at least one and less than ``room`` characters."""
        if address is None:
            return None
        try:
            raw = self.memory.read(address, room)
        except Unreadable:
            return None
        head, end, _ = raw.partition(b"\0")
        text = head.decode("ascii", errors="replace")
        return text if end and head and text.isprintable() and "\ufffd" not in text else None

    def numbers(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The variables that are there, by name; ``sizes`` in bytes."""
        read = {name: self.number(self.address(name), size) for name, size in sizes.items()}
        return {name: value for name, value in read.items() if value is not None}

    def functions(self, names: Iterable[str]) -> dict[str, str]:
        """To which functions these pointers point, by name; a null pointer is left out."""
        found: dict[str, str] = {}
        for name in names:
            if function := self.function(self.address(name)):
                found[name] = function
        return found

    def function(self, address: int | None) -> str | None:
        """The function that the pointer at an address points to; None: to none."""
        target = self.pointer(address)
        place = self.kernel.symbols.find(target) if target is not None else None
        return place.name if place and not place.offset else None

    def row(
        self, address: int | None, name: int, members: Mapping[str, tuple[int, int]]
    ) -> Row | None:
        """A structure: its ``name`` by a pointer at that offset, members by offset and size.

        ``quality`` is signed. None: it is none, or cannot be read.
        """
        if address is None or (text := self.text(self.pointer(address + name))) is None:
            return None
        row: Row = {"name": text}
        for key, (offset, size) in members.items():
            row[key] = self.number(address + offset, size, signed=key == "quality")
        return row if None not in row.values() else None

    def counter(self, address: int | None, at: Layout) -> Row | None:
        """A struct timecounter: ``name``, ``frequency`` in Hz, ``quality``, ``mask``, ``flags``."""
        members = {key: (at[name], size) for key, name, size in _COUNTER if name in at}
        return self.row(address, at["tc_name"], members)

    def counters(self, head: str, at: Layout) -> dict[str, Any] | None:
        """The list of timecounters (`listed`)."""
        return self.listed(head, lambda address: self.counter(address, at), at["tc_next"])

    def listed(
        self, head: str, read: Callable[[int], Row | None], following_at: int
    ) -> dict[str, Any] | None:
        """A list from its head: ``rows``, and how it ``ends``.

        ``end``, ``cycle``, ``long`` (more than 32), or ``broken`` (memory that holds no entry).
        """
        where = self.number(self.address(head), 8)
        if where is None:
            return None
        rows: list[Row] = []
        seen: set[int] = set()
        while where:
            if where in seen or len(rows) == _MOST_LISTED:
                return {"rows": rows, "ends": "cycle" if where in seen else "long"}
            row = read(where) if where >= _KERNEL_HALF else None
            following = self.number(where + following_at, 8) if row else None
            if row is None or following is None:
                return {"rows": rows, "ends": "broken"}
            seen.add(where)
            rows.append(row)
            where = following
        return {"rows": rows, "ends": "end"}
