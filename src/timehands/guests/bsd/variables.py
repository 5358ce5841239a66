"""A kernel's own variables, read from guest memory: bounded, without what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    ("mask", "tc_counter_mask", 4),
    ("quality", "tc_quality", 4),
)


class Reader:
    """A kernel's symbols and a guest's memory, read together."""

    def __init__(self, kernel: Kernel, memory: Memory) -> None:
        self.kernel = kernel
        self.memory = memory

    def address(self, name: str) -> int | None:
        """Where a variable is."""
        return next(iter(self.kernel.symbols.lookup(name)), None)

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
            target = self.pointer(self.address(name))
            place = self.kernel.symbols.find(target) if target is not None else None
            if place and not place.offset:
                found[name] = place.name
        return found

    def counter(self, address: int | None, at: Layout) -> dict[str, Any] | None:
        """A struct timecounter: ``name``, ``frequency`` in Hz, ``quality``, ``mask``."""
        name = self.text(self.pointer(address + at["tc_name"])) if address is not None else None
        if address is None or name is None:
            return None
        row: dict[str, Any] = {"name": name}
        for key, member, size in _COUNTER:
            row[key] = self.number(address + at[member], size, signed=key == "quality")
        return row if None not in row.values() else None

    def counters(self, head: str, at: Layout) -> dict[str, Any] | None:
        """The list from its head: ``rows``, and how it ``ends``: end, cycle, long, broken."""
        where = self.number(self.address(head), 8)
        if where is None:
            return None
        rows: list[dict[str, Any]] = []
        seen: set[int] = set()
        while where:
            if where in seen or len(rows) == _MOST_LISTED:
                return {"rows": rows, "ends": "cycle" if where in seen else "long"}
            row = self.counter(where, at) if where >= _KERNEL_HALF else None
            following = self.number(where + at["tc_next"], 8) if row else None
            if row is None or following is None:
                return {"rows": rows, "ends": "broken"}
            seen.add(where)
            rows.append(row)
            where = following
        return {"rows": rows, "ends": "end"}
