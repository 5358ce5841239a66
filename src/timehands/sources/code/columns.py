"""Columns of numbers and lists of names as compressed bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

LEVEL: Final = 3
#: No part of an index is larger than this when it is unpacked.
MAX_BYTES: Final = 1 << 30
_KINDS: Final[tuple[Any, ...]] = (np.uint8, np.uint16, np.int32, np.int64)


def pack(*columns: NDArray[Any] | Sequence[bytes]) -> bytes:
    """Columns as bytes: of each its kind and length, then all contents, compressed."""
    heads: list[int] = []
    bodies: list[bytes] = []
    for column in columns:
        if isinstance(column, np.ndarray):
            small = _narrow(column)
            kind, body = _KINDS.index(small.dtype.type), small.tobytes()
        else:
            kind, body = len(_KINDS), b"\n".join(column)
            kind += not column
            if body.count(b"\n") != max(0, len(column) - 1):
                raise ValueError("a name with a line's end in it")
        heads += [kind, len(body)]
        bodies.append(body)
    head = np.array([len(columns), *heads], np.int64).tobytes()
    return zstandard.ZstdCompressor(LEVEL).compress(head + b"".join(bodies))


def _narrow(column: NDArray[Any]) -> NDArray[Any]:
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    for kind in _KINDS:
        bounds = np.iinfo(kind)
        if low >= bounds.min and high <= bounds.max:
            return column.astype(kind, copy=False)
    raise ValueError("a number that does not fit")


def unpack(data: bytes) -> list[Any]:
    """What `pack` was given; lists of names as lists. Raises ValueError when it is no such."""
    try:
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_BYTES)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    many = int(np.frombuffer(plain, np.int64, 1)[0])
    heads = np.frombuffer(plain, np.int64, 2 * many, 8).tolist()
    at = 8 + 16 * many
    columns: list[Any] = []
    for kind, length in zip(heads[::2], heads[1::2], strict=True):
        body = plain[at : at + length]
        at += length
        if kind < len(_KINDS):
            columns.append(np.frombuffer(body, _KINDS[kind]))
        else:
            columns.append(body.split(b"\n") if kind == len(_KINDS) else [])
    return columns
