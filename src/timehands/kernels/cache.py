"""What was read from a kernel once, kept for the next time.

Entries lie under ``$XDG_CACHE_HOME`` or ``~/.cache``, in ``timehands/kernels/``, named by the
SHA-256 of the kernel file. They are written whole or not at all, readable by their owner only, and
believed only when whole: a broken entry is as good as none. The folder keeps the 12 newest kernels.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from timehands.errors import HostError, KernelDamaged

if TYPE_CHECKING:
    from timehands.kernels.debug_files import Search
    from timehands.kernels.symbols import SymbolTable

_VERSION: Final = 1
_KEPT_KERNELS: Final = 12
_MAX_JSON: Final = 64 << 20


def default_folder() -> Path:
    """Where kernels are kept for this user.

    Raises:
        HostError: the user has no home directory, and XDG_CACHE_HOME is not set.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise HostError(
            "this user has no home directory to keep unpacked kernels in",
            mend="set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return home / "timehands" / "kernels"


class KernelCache:
    """The kept readings of one kernel.

    Args:
        sha256: of the kernel file, in hexadecimal.
        folder: where to keep them; made when something is first written.
    """

    def __init__(self, sha256: str, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self._sha256 = sha256

    def _file(self, suffix: str) -> Path:
        return self.folder / f"{self._sha256}.{suffix}"

    @property
    def elf_file(self) -> Path:
        """Where the unpacked kernel is or will be."""
        return self._file("elf")

    def read_facts(self) -> dict[str, Any] | None:
        """What ``write_facts`` stored, or None when it is not there, of another version, or
        damaged."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            text = _read(self._file("json"), _MAX_JSON)
            stored = json.loads(text)
            facts = stored.get("facts")
            if stored.get("version") == _VERSION and stored.get("crc32") == _checksum(facts):
                return dict(facts)
        return None

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Keep facts; a value that ``json`` can write. A full disk is no error here."""
        stored = {"version": _VERSION, "crc32": _checksum(facts), "facts": facts}
        with contextlib.suppress(OSError):
            self._write("json", json.dumps(stored).encode())
            self._prune()

    def read_symbols(self) -> SymbolTable | None:
        """The kept symbols, or None."""
        from timehands.kernels.symbols import SymbolTable

        with contextlib.suppress(OSError, KernelDamaged):
            return SymbolTable.from_bytes(_read(self._file("symbols"), 1 << 30))
        return None

    def write_symbols(self, symbols: SymbolTable) -> None:
        """Keep symbols. A full disk is no error here."""
        with contextlib.suppress(OSError):
            self._write("symbols", symbols.to_bytes())

    def read_sites(self) -> dict[str, Any]:
        """What ``write_sites`` stored; empty when it is not there, of another version, or
        damaged."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stored = json.loads(_read(self._file("sites"), _MAX_JSON))
            sites = stored.get("sites")
            if stored.get("version") == _VERSION and stored.get("crc32") == _checksum(sites):
                return dict(sites)
        return {}

    def write_sites(self, sites: dict[str, Any]) -> None:
        """Keep where instructions are; a value that ``json`` can write. A full disk is no error
        here."""
        stored = {"version": _VERSION, "crc32": _checksum(sites), "sites": sites}
        with contextlib.suppress(OSError):
            self._write("sites", json.dumps(stored).encode())

    def read_debug(self, key: list[list[Any]]) -> Search | None:
        """What the search among these files came to; None when it is not kept, or the files (see
        ``debug_files.stamps``) were others then."""
        from timehands.kernels.debug_files import Search

        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            stored = json.loads(_read(self._file("debug"), _MAX_JSON))
            if stored["version"] == _VERSION and stored["key"] == key:
                return Search.from_dict(stored["search"])
        return None

    def write_debug(self, key: list[list[Any]], search: Search) -> None:
        """Keep what a search came to. A full disk is no error here."""
        stored = {"version": _VERSION, "key": key, "search": search.to_dict()}
        with contextlib.suppress(OSError):
            self._write("debug", json.dumps(stored).encode())

    def read_elf(self, size: int, crc32: int) -> memoryview | None:
        """The kept unpacked kernel, mapped; None when it is not there or not what it was."""
        try:
            with self.elf_file.open("rb") as file:
                if not size or os.fstat(file.fileno()).st_size != size:
                    return None
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError:
            return None
        return view if zlib.crc32(view) == crc32 else None

    def write_elf(self, image: memoryview) -> Path:
        """Keep the unpacked kernel.

        Raises:
            HostError: it cannot be written.
        """
        try:
            return self._write("elf", image)
        except OSError as error:
            raise HostError(
                f"the unpacked kernel cannot be written to {self.elf_file}: {error.strerror}",
                mend="make room there, or set XDG_CACHE_HOME to a folder that can be written",
            ) from error

    def _write(self, suffix: str, content: bytes | memoryview) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")  # mode 0600
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            return temporary.rename(self._file(suffix))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        """Drop the kernels that were read longest ago, and what a killed writer left."""
        for entry in sorted(self.folder.glob("*.json"), key=_modified)[:-_KEPT_KERNELS]:
            for suffix in ("json", "symbols", "sites", "debug", "elf"):
                entry.with_suffix(f".{suffix}").unlink(missing_ok=True)
        newest = _modified(self._file("json"))
        for left in self.folder.glob(".new-*"):
            if newest - _modified(left) > 3600:
                left.unlink(missing_ok=True)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        return file.read(limit)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _checksum(facts: Any) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())
