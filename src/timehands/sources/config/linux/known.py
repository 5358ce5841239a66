"""What the Kconfig files of a tree say about each symbol: read once, and kept (`cache.Kept`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from timehands.sources.config import coding
from timehands.sources.config.cache import Kept, Seen, Tables
from timehands.sources.config.linux import rows
from timehands.sources.config.linux.kconfig import Clause, Entry, Kconfig
from timehands.sources.config.reading import Place, Reader


class Known:
    """The symbols of a tree for an architecture, whatever a .config makes of them."""

    def __init__(self, reader: Reader, variables: Mapping[str, str]) -> None:
        self._reader, self._variables = reader, dict(variables)
        key = ("kconfig", str(reader.tree.root), *map("=".join, sorted(variables.items())))
        self._kept = Kept(reader.cache, key, self._read)
        self._told = False
        self._entries: dict[str, list[Entry]] = {}

    def _read(self, seen: Seen) -> Tables:
        reader = self._reader.again(seen)
        kconfig = Kconfig(reader, self._variables)
        if reader.has("Kconfig"):
            kconfig.read(Place("Kconfig"))
        around: dict[int, Any] = {}
        return {
            "entries": {
                name: [rows.entry(one, around) for one in found]
                for name, found in kconfig.entries.items()
            },
            "selected": {
                name: [[other, rows.clause(clause)] for other, clause in found]
                for name, found in kconfig.selected_by.items()
            },
            "complaints": {"": coding.complaints(reader.complaints.all())},
        }

    def _tell(self) -> None:
        """Pass on what could not be read, once."""
        if self._told:
            return
        self._told = True
        for one in self._kept.decoded("complaints", "", coding.read_complaints) or ():
            self._reader.complaints.add(one.where, one.text)

    def entries(self, name: str) -> list[Entry]:
        """The definitions of a symbol."""
        self._tell()
        if name not in self._entries:
            found = self._kept.decoded(
                "entries", name, lambda found: [rows.read_entry(name, row) for row in found]
            )
            self._entries[name] = found or []
        return self._entries[name]

    def selected_by(self, name: str) -> list[tuple[str, Clause]]:
        """The symbols that select it, each with its clause."""
        self._tell()
        found = self._kept.decoded(
            "selected",
            name,
            lambda found: [(str(other), rows.read_clause(row)) for other, row in found],
        )
        return found or []

    def all(self) -> Iterator[tuple[str, list[Entry]]]:
        """Every symbol with its definitions."""
        self._tell()
        for name in self._kept.keys("entries"):
            yield name, self.entries(name)
