"""Bytes for the subverbs of ``pvclock``: hex from the command line, dumps of other tools, files.

Text is taken as it comes from xxd, hexdump -C, od -tx1, plain hexdump or od -x, -tx4, -tx8 (words,
little endian), gdb's x/32xb to x/4xg, or QEMU's xp: an offset or address at the beginning of a line
and characters at its end are left out, and words of 2, 4 or 8 bytes with 0x are little endian.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from timehands.errors import UsageError

#: More than a page of Xen's in any dump's text.
MAX_BYTES = 64 << 10
_TEXT = frozenset(b"\t\n\r\f\v" + bytes(range(0x20, 0x7F)))
#: ``00001000:``, ``0x1000 <hv_clock+8>:``
_ADDRESS = re.compile(r"^\s*(?:0x)?[0-9a-fA-F]+(?:\s*<[^>]*>)?:")
_COLONS = re.compile(r"^\s*[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})+\s*$")
_DIGITS = frozenset("0123456789abcdefABCDEF")
_HEX = re.compile(r"^(?:[0-9a-fA-F]{2})+$")
#: hexdump's and od's offsets have no colon: longer or shorter than the groups that follow.
_OFFSET_DIGITS = range(6, 17)
_WORD = re.compile(r"^0x([0-9a-fA-F]+)$")
_WORD_DIGITS = (4, 8, 16)
_GROUP_DIGITS = (2, *_WORD_DIGITS)


def words_or_file(words: list[str], *, offset: int = 0, raw: bool = False) -> tuple[bytes, str]:
    """The bytes that the command line means, and what to call them.

    ``-`` is standard input; a single word that is a file is that; all else is hex. ``raw`` takes
    a file's bytes as they are. Raises `UsageError`.
    """
    if len(words) == 1 and _is_file(words[0]):
        with opened(words[0], offset) as file:
            return read_bytes(file, raw=raw), words[0]
    if offset or raw or (len(words) == 1 and not _HEX.match(words[0].removeprefix("0x"))):
        raise UsageError(f"{' '.join(words)[:80]}: no such file, and no hex digits")
    return parse_hex(" ".join(words), offsets=False), "the command line"


def read_bytes(file: BufferedReader, *, raw: bool = False) -> bytes:
    """The bytes that a file means: those of the dump in it, or its own. Raises `UsageError`."""
    data = file.read(MAX_BYTES)
    return data if raw or not is_text(data) else parse_hex(data.decode())


@contextmanager
def opened(name: str, offset: int = 0) -> Iterator[BufferedReader]:
    """A file or standard input (``-``) to read bytes from, from ``offset`` on.

    Raises `UsageError`, also when reading fails.
    """
    try:
        if name == "-":
            file = sys.stdin.buffer
            assert isinstance(file, BufferedReader)
            _skip(file, offset)
            yield file
            return
        with Path(name).open("rb") as file:
            _skip(file, offset)
            yield file
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error


def _skip(file: BufferedReader, offset: int) -> None:
    if offset and not file.seekable():
        raise UsageError("--offset needs a file, not a pipe")
    if offset:
        file.seek(offset)


def _is_file(word: str) -> bool:
    try:
        return word == "-" or Path(word).exists()
    except (OSError, ValueError):  # too long for a name, or no name at all
        return False


def is_text(data: bytes) -> bool:
    """Whether bytes are printed text: not a single byte is anything else."""
    return bool(data.strip()) and _TEXT.issuperset(data)


def parse_hex(text: str, *, offsets: bool = True) -> bytes:
    """The bytes of a dump in any of the forms above. Raises `UsageError`.

    Without ``offsets`` a first group that looks like hexdump's or od's offset is data.
    """
    lines = text.splitlines()
    offsets = offsets and _has_offsets(next((line for line in lines if line.strip()), ""))
    data = bytearray()
    for number, line in enumerate(lines, 1):
        try:
            data += _line(line, offsets)
        except ValueError as error:
            raise UsageError(
                f"line {number} is no hex dump: {error}",
                advice="Give hex digits, or a dump by xxd, hexdump -C, od -tx1, gdb x/32xb, QEMU "
                "xp; --raw takes a file's bytes as they are.",
            ) from error
    if not data:
        raise UsageError("there are no bytes in it", advice="Give 64 hex digits, or a file.")
    return bytes(data)


def _has_offsets(line: str) -> bool:
    """Whether a dump's first line begins with an offset that no colon follows."""
    offset, *groups = line.partition("|")[0].split() or [""]
    lengths = {len(group) for group in groups}
    return (
        len(lengths) == 1
        and lengths <= set(_GROUP_DIGITS)
        and len(offset) in _OFFSET_DIGITS
        and len(offset) not in lengths
        and all(digit in _DIGITS for digit in offset)
    )


def _line(line: str, offsets: bool) -> bytes:
    if line.strip() == "*":
        raise ValueError("repeated lines were left out (hexdump -v prints them)")
    if _COLONS.match(line):
        return bytes.fromhex(line.replace(":", ""))
    rest, addressed = _ADDRESS.subn("", line)
    if addressed and "0x" not in rest:  # xxd: two spaces before the characters
        rest = re.split(r"(?<=\S)  ", rest, maxsplit=1)[0]
    tokens = re.split(r"[\s,;{}]+", rest.split("|")[0].replace("\\x", " 0x"))
    tokens = [token for token in tokens if token]
    if offsets:
        tokens = tokens[1:]
    words = offsets and all(len(token) in _WORD_DIGITS for token in tokens)
    return b"".join(_token(token, words) for token in tokens)


def _token(token: str, little_endian: bool) -> bytes:
    if word := _WORD.match(token):
        digits = word[1]
        if len(digits) <= 2:
            return bytes([int(digits, 16)])
        if len(digits) in _WORD_DIGITS:
            return bytes.fromhex(digits)[::-1]
        token = digits
    if not _HEX.match(token):
        raise ValueError(f"{token[:20]!r} is not pairs of hex digits")
    data = bytes.fromhex(token)
    return data[::-1] if little_endian else data
