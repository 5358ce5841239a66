"""A campaign's results on disk: a folder of Parquet files that any tool reads as one table.

::

    DIR/part-000000-1a2b3c4d.parquet ...  rows, whole seeds only; named by number and CRC-32
    DIR/_campaign.json                    which campaign it is; written first
    DIR/_lock                             held (flock) by the process that writes

A part is written under another name, synchronised and renamed, so that a kill leaves none that is
torn; one that a power cut or a disk tore nevertheless (its CRC-32 is not that of its name) is
removed when the campaign goes on, and its seeds are run again. Files whose name begins with ``_``
or ``.`` are no data for Arrow, Dask and Spark.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from timehands import __version__
from timehands.errors import CampaignRefused, ExtraMissing
from timehands.simulate.campaign.rows import SIGNED, Row

SCHEMA = 1
#: A part is written when so many rows have come.
ROWS_PER_PART = 50_000
_IDENTITY = "_campaign.json"
_LOCK = "_lock"
_PART = re.compile(r"part-(\d{6,})-([0-9a-f]{8})\.parquet")
_MAX_IDENTITY_BYTES = 1 << 16
_OTHER = "Give another folder with --out, or remove this one."


def arrow() -> Any:
    """pyarrow with its Parquet part. Raises `ExtraMissing`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ExtraMissing(
            "pyarrow", purpose="Keeping a campaign's results", extra="campaigns"
        ) from error
    return pyarrow


def schema() -> Any:
    """The columns as Arrow knows them: those of `Row`, in its order."""
    pa = arrow()
    types = {"scenario": pa.string(), "provider": pa.string(), "reader": pa.string()}
    types |= {"vcpu": pa.int32(), "unmet": pa.int32()}
    empty = (*SIGNED, "warps_across", "worst_warp_across_ns")
    return pa.schema(
        [pa.field(name, types.get(name, pa.int64()), name in empty) for name in Row._fields]
    )


class Dataset:
    """The folder, open for writing. Use it as a context manager: leaving lets the lock go.

    ``parts`` are the whole part files, ``torn`` what was removed and why.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        """Open or make it. Raises `CampaignRefused` (nothing is changed then), `ExtraMissing`."""
        self._schema = schema()
        self.folder = folder
        self.torn: list[str] = []
        with contextlib.ExitStack() as stack:
            self._lock = stack.enter_context(_locked(folder, identity))
            for left in folder.glob(".part-*"):
                left.unlink()
            self.parts = [path for path in sorted(folder.glob("part-*.parquet")) if self._ok(path)]
            stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._lock.close()

    def _ok(self, path: Path) -> bool:
        """Whether every byte of a part can be read; removes it otherwise."""
        why = _damage(path, self._schema)
        if why:
            path.unlink()
            self.torn.append(f"{path.name}: {why}")
        return not why

    def write(self, rows: Sequence[Row]) -> Path:
        """Add a part with these rows, whole seeds. It is complete, on disk, when this returns."""
        pa = arrow()
        columns = zip(*rows, strict=True)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
        number = _number(self.parts[-1]) + 1 if self.parts else 0
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        path = _write_part(self.folder, f"part-{number:06}", table)
        self.parts.append(path)
        return path

    def columns(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """These columns of all parts, one part after the other, as Arrow arrays."""
        parquet = arrow().parquet
        for path in self.parts:
            table = parquet.ParquetFile(path).read(columns=list(names))
            yield tuple(table.column(name).combine_chunks() for name in names)


def _number(path: Path) -> int:
    found = _PART.fullmatch(path.name)
    return int(found[1]) if found else -1


def _write_part(folder: Path, name: str, table: Any) -> Path:
    temporary = folder / f".{name}.tmp"
    try:
        with temporary.open("wb") as file:
            arrow().parquet.write_table(table, file, compression="zstd")
            _synchronise(file)
        path = folder / f"{name}-{_crc(temporary):08x}.parquet"
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _synchronise_folder(folder)
    return path


def _crc(path: Path) -> int:
    """The CRC-32 of a file."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            crc = zlib.crc32(piece, crc)
    return crc


def _damage(path: Path, wanted: Any) -> str:
    """What is wrong with a part, or nothing."""
    found = _PART.fullmatch(path.name)
    if not found:
        return "its name is not that of a part"
    if _crc(path) != int(found[2], 16):
        return f"its CRC-32 is {_crc(path):08x}"
    parquet = arrow().parquet
    if not parquet.read_schema(path).equals(wanted):
        return "its columns are not those of a campaign"
    return ""


def _locked(folder: Path, identity: Mapping[str, str]) -> IO[bytes]:
    """The folder as this campaign's and no other's. Raises `CampaignRefused`."""
    if folder.exists() and not folder.is_dir():
        raise CampaignRefused("is a file; the results are a folder of files", path=folder)
    there = folder.is_dir() and any(one.name != _LOCK for one in folder.iterdir())
    if there and not (folder / _IDENTITY).is_file():
        raise CampaignRefused("holds files, but no campaign", path=folder, advice=_OTHER)
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / _LOCK).open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _identify(folder, {**identity, "timehands": __version__})
    except BlockingIOError as error:
        lock.close()
        raise CampaignRefused("another process is writing to it", path=folder) from error
    except BaseException:
        lock.close()
        raise
    return lock


def _identify(folder: Path, identity: Mapping[str, str]) -> None:
    """Write which campaign this is, or see that it is the same."""
    path = folder / _IDENTITY
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(_MAX_IDENTITY_BYTES))
        found = dict(kept["campaign"])
    except FileNotFoundError:
        _write_identity(path, identity)
        return
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CampaignRefused(f"{_IDENTITY} is damaged", path=folder, advice=_OTHER) from error
    for name in sorted(identity.keys() | found.keys()):
        ours, theirs = identity.get(name), found.get(name)
        if ours != theirs:
            raise CampaignRefused(
                f"holds another campaign: its {name} is {str(theirs)[:80]}, not {ours}",
                path=folder,
                advice=_OTHER,
            )


def _write_identity(path: Path, identity: Mapping[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        json.dump({"schema": SCHEMA, "campaign": dict(identity)}, file, indent=2)
        _synchronise(file)
    temporary.replace(path)
    _synchronise_folder(path.parent)


def _synchronise(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _synchronise_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
