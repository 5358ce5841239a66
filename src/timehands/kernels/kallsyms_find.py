"""Finding the kallsyms tables in an unpacked Linux kernel, without symbols.

scripts/kallsyms.c writes these tables into .rodata, each under a label with no size or pointer
that survives linking. They are found by what they must contain:

1. ``kallsyms_token_table``: 256 strings, ended by NUL; those for the digits stand for themselves
   (``insert_real_symbols_in_table`` gives each character in use its own code).
   ``kallsyms_token_index`` follows: 256 u16, where each string begins in the table.
2. ``kallsyms_markers`` ends before the token table: where every 256th name begins. Between the two
   there may be ``kallsyms_seqs_of_names`` (3 bytes a symbol).
3. ``kallsyms_names`` ends where the markers begin, and ``kallsyms_num_syms`` stands before it.
   Every marker must agree with the names; that settles the count.
4. The addresses lie either before ``kallsyms_num_syms`` or after the token index, in one of four
   encodings. The right one gives ascending addresses inside the kernel.

Which kernels have which (decided here by content, never by version: distributions carry these
commits in older kernels):

=========================================  ==============  =====================================
what                                       first release   commit
=========================================  ==============  =====================================
offsets and ``kallsyms_relative_base``     4.6             2213e9a66bb8
markers and count 32-bit instead of 64     4.20            80ffbaa5b1bd
lengths above 127 as two-byte ULEB128      6.1             73bbb94466fd
``kallsyms_seqs_of_names`` before tokens   6.2             60443c88f3a8, 3 bytes: 19bd8981dc2e
addresses and seqs after the token index   6.4             404bad70fcf7
absolute addresses gone                    6.11            64e166099b69
per-CPU symbols not absolute any more      6.15            01157ddc58dc
offsets relative to their place, 4-aligned 7.0             a081b5789255
=========================================  ==============  =====================================
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from timehands.kernels.elf import ElfImage
from timehands.kernels.enums import AddressEncoding
from timehands.kernels.structs import U32, U64

MAX_SYMBOLS: Final = 1_500_000
_MAX_NAMES_BYTES: Final = 32 << 20
_MAX_WORK: Final = 20_000_000  # steps; a kernel of 190,000 symbols takes 2 million
_BLOCK: Final = 256  # symbols a marker
_TOKENS: Final = 256
_DIGITS: Final = b"".join(b"%d\0" % digit for digit in range(10))
_MAX_TOKEN_TABLE: Final = 1 << 16  # the index is u16
_MAX_NAME: Final = 512  # scripts/kallsyms.c, KSYM_NAME_LEN
_MAX_HITS: Final = 64
_MIN_MARKER_STEP: Final = 2 * _BLOCK
_MAX_MARKER_STEP: Final = _BLOCK * (_MAX_NAME + 2)
_SEQ_BYTES: Final = 3
# A marker table's first two entries, in a kernel whose 256 first names take less than 64 KiB.
# One byte is consumed, so that hits may overlap.
_MARKERS_BEGIN: Final = re.compile(rb"\0(?=\0\0\0.[^\0]\0\0)", re.DOTALL)
_UNPRINTABLE: Final = re.compile(rb"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class TokenTable:
    """``kallsyms_token_table`` and its index. Offsets are in the image."""

    start: int
    end: int
    tokens: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class NameTable:
    """``kallsyms_names``. ``positions`` are where each name's length byte is, from ``start``."""

    count_at: int
    start: int
    end: int
    positions: array[int] = field(repr=False)


@dataclass(frozen=True)
class KallsymsTables:
    """Everything needed to read the symbols; see ``kallsyms.decode``."""

    tokens: TokenTable
    names: NameTable
    encoding: AddressEncoding
    addresses: array[int] = field(repr=False)


class _Work:
    """How much may still be done: an image can be made so that everything in it nearly fits."""

    def __init__(self) -> None:
        self._left = _MAX_WORK

    def spend(self, steps: int) -> bool:
        """Whether these steps may still be taken."""
        self._left -= steps
        return self._left >= 0


def find_tables(elf: ElfImage) -> KallsymsTables | None:
    """Find the kallsyms tables, or None where there are none that hold together.

    Takes about 0.1 s for 150,000 symbols, and seconds at most for an image made to take long.
    """
    work = _Work()
    for tokens in _token_tables(elf.data):
        for names in _name_tables(elf.data, tokens, work):
            if not work.spend(8 * len(names.positions)):
                return None
            found = _addresses(elf, tokens, names)
            if found:
                return KallsymsTables(tokens, names, *found)
    return None


def _align(value: int, to: int) -> int:
    return (value + to - 1) // to * to


# ---- 1. tokens


def _token_tables(data: memoryview) -> Iterator[TokenTable]:
    for hits, found in enumerate(re.finditer(re.escape(_DIGITS), data)):
        if hits == _MAX_HITS:
            return
        table = _token_table_at(data, found.start())
        if table:
            yield table


def _token_table_at(data: memoryview, digits_at: int) -> TokenTable | None:
    """The token table around the string for the digit 0, checked against the index after it."""
    rest = bytes(data[digits_at : digits_at + _MAX_TOKEN_TABLE])
    strings = rest.split(b"\0", _TOKENS - ord("0"))[:-1]
    if len(strings) != _TOKENS - ord("0"):
        return None
    strings_end = digits_at + sum(map(len, strings)) + len(strings)
    for alignment in (8, 4):
        at = _align(strings_end, alignment)
        index = array("H", bytes(data[at : at + 2 * _TOKENS]))
        if len(index) == _TOKENS and index[0] == 0:
            start = digits_at - index[ord("0")]
            tokens = _tokens_by_index(data, start, index, strings_end)
            if tokens:
                return TokenTable(start, at + 2 * _TOKENS, tokens)
    return None


def _tokens_by_index(
    data: memoryview, start: int, index: array[int], end: int
) -> tuple[bytes, ...] | None:
    """The 256 strings, when the index tells exactly where each begins."""
    if start < 0:
        return None
    tokens = tuple(bytes(data[start:end]).split(b"\0")[:-1])
    if len(tokens) != _TOKENS or any(map(_UNPRINTABLE.search, tokens)):
        return None
    at = 0
    for token, begins in zip(tokens, index, strict=True):
        if begins != at:
            return None
        at += len(token) + 1
    return tokens


# ---- 2. markers


def _marker_tables(data: memoryview, before: int, work: _Work) -> Iterator[tuple[int, array[int]]]:
    """Every plausible (start, markers) that ends before an offset, the likeliest first."""
    for width, code in ((4, "I"), (8, "Q")):
        for padding in (0, 4):
            found = _markers_back_from(data, before - padding, width, code)
            if found:
                yield found
    yield from _markers_before_seqs(data, before, work)


def _markers_back_from(
    data: memoryview, end: int, width: int, code: str
) -> tuple[int, array[int]] | None:
    """Walk back over ascending numbers to the zero that begins them."""
    size = min(end // width, MAX_SYMBOLS // _BLOCK + 1) * width
    numbers = array(code, bytes(data[end - size : end]))
    for first in range(len(numbers) - 2, -1, -1):
        step = numbers[first + 1] - numbers[first]
        if not _MIN_MARKER_STEP <= step <= _MAX_MARKER_STEP:
            return None
        if numbers[first] == 0:
            return end - (len(numbers) - first) * width, numbers[first:]
    return None


def _markers_before_seqs(
    data: memoryview, before: int, work: _Work
) -> Iterator[tuple[int, array[int]]]:
    """Markers with ``kallsyms_seqs_of_names`` after them, whose size tells the symbol count."""
    window = max(0, before - MAX_SYMBOLS * (_SEQ_BYTES + 1))
    for found in _MARKERS_BEGIN.finditer(data, window, before):
        at = found.start()
        if at % 8:
            continue
        count = (before - at) * _BLOCK // (_SEQ_BYTES * _BLOCK + 4)
        blocks = _align(count, _BLOCK) // _BLOCK
        if not work.spend(16 + blocks):
            return
        for length in (blocks, blocks - 1):
            markers = array("I", bytes(data[at : at + 4 * length]))
            if len(markers) > 1 and _ascends(markers):
                yield at, markers


def _ascends(markers: array[int]) -> bool:
    previous = markers[0]
    for marker in markers[1:]:
        if not _MIN_MARKER_STEP <= marker - previous <= _MAX_MARKER_STEP:
            return False
        previous = marker
    return True


# ---- 3. names


def _name_tables(data: memoryview, tokens: TokenTable, work: _Work) -> Iterator[NameTable]:
    for markers_at, markers in _marker_tables(data, tokens.start, work):
        if markers[-1] > _MAX_NAMES_BYTES:
            continue
        for count_at, start, count in _name_starts(data, markers_at, markers):
            if not work.spend(2 * _BLOCK + 64) or not _first_block_fits(data, start, markers):
                continue
            if not work.spend(count):
                return
            names = _walk_names(data, start, count, markers, markers_at)
            if names:
                yield NameTable(count_at, start, start + names[1], names[0])


def _name_starts(
    data: memoryview, markers_at: int, markers: array[int]
) -> Iterator[tuple[int, int, int]]:
    """Every (offset of the count, start of the names, count) that fits the markers."""
    most = len(markers) * _BLOCK
    last = markers_at - markers[-1]
    lowest = max(8, last - _BLOCK * (_MAX_NAME + 2))
    for start in range((last - 2) // 4 * 4, lowest - 1, -4):
        (count,) = U32.unpack_from(data, start - 4)
        if most - _BLOCK < count <= most:
            yield start - 4, start, count
        if count == 0:
            (count,) = U32.unpack_from(data, start - 8)
            if most - _BLOCK < count <= most:
                yield start - 8, start, count


def _first_block_fits(data: memoryview, start: int, markers: array[int]) -> bool:
    """Whether 256 names lead to the second marker: cheap, and nearly always no."""
    stream = bytes(data[start : start + markers[1]])
    at = 0
    for _ in range(_BLOCK):
        if at + 1 >= len(stream):
            return False
        length = stream[at]
        at += 1 + length if length < 0x80 else 2 + (length & 0x7F | stream[at + 1] << 7)
    return at == markers[1]


def _walk_names(
    data: memoryview, start: int, count: int, markers: array[int], end: int
) -> tuple[array[int], int] | None:
    """Walk the names by their lengths, checking every marker.

    Returns where each name's length byte is, and where the names end, both from ``start``; None
    when a marker disagrees or the names do not end just before the markers.
    """
    stream = bytes(data[start:end])
    positions: list[int] = []
    at = 0
    try:
        for block, marker in enumerate(markers):
            if at != marker:
                return None
            for _ in range(min(_BLOCK, count - block * _BLOCK)):
                positions.append(at)
                length = stream[at]
                if length == 0:  # scripts/kallsyms.c, write_src: never
                    return None
                if length & 0x80:  # ULEB128, never more than two bytes
                    length = length & 0x7F | stream[at + 1] << 7
                    at += 1
                at += length + 1
    except IndexError:
        return None
    if not len(stream) - 8 < at <= len(stream):
        return None
    return array("I", positions), at


# ---- 4. addresses


def _addresses(
    elf: ElfImage, tokens: TokenTable, names: NameTable
) -> tuple[AddressEncoding, array[int]] | None:
    """The encoding and the addresses: the first reading that gives a kernel's addresses."""
    loaded = elf.loaded
    if not loaded:
        return None
    low = min((s.vaddr for s in loaded if s.vaddr), default=0)
    high = min(max(s.vaddr + s.memsz for s in loaded), (1 << 64) - 1)
    for encoding, addresses in _readings(elf, tokens, names, range(low, high + 1)):
        if addresses[-1] <= high and _is_sorted(addresses):
            return encoding, addresses
    return None


def _is_sorted(addresses: array[int]) -> bool:
    ordered = addresses.tolist()
    return ordered == sorted(ordered)


def _readings(
    elf: ElfImage, tokens: TokenTable, names: NameTable, kernel: range
) -> Iterator[tuple[AddressEncoding, array[int]]]:
    """Each way to read addresses that the data does not contradict at first sight.

    Offsets relative to a base can pass for ones relative to their place, but not the other way
    round: where a base would be, such a table is followed by something else. So they come last.
    """
    count = len(names.positions)
    after = _align(tokens.end, 8)
    yield from _relative(elf.data, after, _align(after + 4 * count, 8), count, kernel)
    base_at = names.count_at - 8
    yield from _relative(elf.data, base_at - _align(4 * count, 8), base_at, count, kernel)
    for at in (after, names.count_at - 8 * count):
        yield from _absolute(elf.data, at, count, kernel)
    yield from _place_relative(elf, _align(tokens.end, 4), count, kernel)


def _place_relative(
    elf: ElfImage, at: int, count: int, kernel: range
) -> Iterator[tuple[AddressEncoding, array[int]]]:
    place = elf.address_of(at)
    if place is None or at + 4 * count > len(elf.data):
        return
    offsets = array("i", bytes(elf.data[at : at + 4 * count]))
    if place + offsets[0] in kernel and place + 4 * (count - 1) + offsets[-1] in kernel:
        values = [here + off for here, off in zip(range(place, 1 << 64, 4), offsets, strict=False)]
        if min(values) >= 0 and max(values) in kernel:
            yield AddressEncoding.PLACE_RELATIVE, array("Q", values)


def _relative(
    data: memoryview, at: int, base_at: int, count: int, kernel: range
) -> Iterator[tuple[AddressEncoding, array[int]]]:
    if at < 0 or base_at + 8 > len(data):
        return
    (base,) = U64.unpack_from(data, base_at)
    if base not in kernel:
        return
    raw = bytes(data[at : at + 4 * count])
    offsets = array("I", raw)
    if base + offsets[-1] in kernel and base + max(offsets) in kernel:
        yield AddressEncoding.BASE_RELATIVE, array("Q", [base + off for off in offsets])
    signed = array("i", raw)
    if min(signed) < 0 and base - 1 - min(signed) in kernel:
        # kernel/kallsyms.c, kallsyms_sym_address: negative ones count down from the base less one
        values = [off if off >= 0 else base - 1 - off for off in signed]
        yield AddressEncoding.ABSOLUTE_PERCPU, array("Q", values)


def _absolute(
    data: memoryview, at: int, count: int, kernel: range
) -> Iterator[tuple[AddressEncoding, array[int]]]:
    if at < 0 or at + 8 * count > len(data):
        return
    addresses = array("Q", bytes(data[at : at + 8 * count]))
    if addresses[-1] in kernel:
        yield AddressEncoding.ABSOLUTE, addresses
