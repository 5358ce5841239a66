"""Writers of small kernel files for tests: ELF, kallsyms in every layout, bzImage, lzop, BTF."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

Triple = tuple[int, str, str]  # address, type letter, name

TEXT = 0xFFFFFFFF81000000
PHYSICAL = 0x1000000
RODATA = TEXT + 0x100000


def _pad(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


# ---- kallsyms, as scripts/kallsyms.c writes it


@dataclass(frozen=True)
class Layout:
    """How a release of Linux lays its tables out."""

    encoding: str  # "absolute", "base", "percpu", "place"
    width: int = 4  # of the count and the markers
    seqs: str = ""  # "before" the tokens, "after" the addresses
    addresses: str = "before"  # or "after" the tokens
    align: int = 8


LAYOUTS = {
    "4.6-absolute": Layout("absolute", width=8),
    "4.6-relative": Layout("percpu", width=8),
    "4.20-absolute": Layout("absolute"),
    "4.20-up": Layout("base"),
    "4.20-relative": Layout("percpu"),
    "6.2-relative": Layout("percpu", seqs="before"),
    "6.2-absolute": Layout("absolute", seqs="before"),
    "6.4-relative": Layout("percpu", seqs="after", addresses="after"),
    "6.4-absolute": Layout("absolute", seqs="after", addresses="after"),
    "6.15-relative": Layout("base", seqs="after", addresses="after"),
    "7.0-place": Layout("place", seqs="after", addresses="after", align=4),
}


def symbols(count: int = 700, percpu: int = 20, long_names: int = 3) -> list[Triple]:
    """Symbols such as a kernel has, ascending: per-CPU ones near 0, then text and data."""
    found = [(number * 64, "A", f"percpu_{number}_area") for number in range(percpu)]
    for number in range(count - percpu - long_names):
        kind = "TtDdBbRrWw"[number % 10]
        found.append((TEXT + number // 3 * 48, kind, f"clock_{number:x}_read.part.{number % 7}"))
    last = found[-1][0]
    found += [(last + 16 * n, "t", f"long_{n}_" + "Zq~" * 60) for n in range(1, long_names + 1)]
    return found


def _tokens(triples: Sequence[Triple]) -> list[bytes]:
    """256 tokens: each character in use for itself, the other codes for common strings."""
    used = {char for _, kind, name in triples for char in kind + name} | set("0123456789")
    common = iter(
        [b"clock_", b"_read", b".part.", b"Tclock_", b"percpu_", b"_area"]
        + [b"%c%c" % (a, b) for a in b"abcdefghijklm" for b in b"nopqrstuvwxyz"]
        + [b"%c%c%c" % (a, b, b) for a in b"abcdefghijklm" for b in b"nopqrstuvwxyz"]
    )
    return [bytes([c]) if chr(c) in used else next(common) for c in range(256)]


def _compress(record: bytes, codes: dict[bytes, int]) -> bytes:
    """Greedy: the longest token that fits, of up to 7 bytes."""
    packed, at = bytearray(), 0
    while at < len(record):
        piece = next(p for n in range(7, 0, -1) if (p := record[at : at + n]) in codes)
        packed.append(codes[piece])
        at += len(piece)
    return bytes(packed)


def _name_stream(triples: Sequence[Triple], tokens: Sequence[bytes]) -> tuple[bytes, list[int]]:
    stream, markers = bytearray(), []
    codes = {token: code for code, token in enumerate(tokens)}
    for number, (_, kind, name) in enumerate(triples):
        if number % 256 == 0:
            markers.append(len(stream))
        packed = _compress((kind + name).encode(), codes)
        length = len(packed)
        stream += bytes([length] if length < 128 else [length & 127 | 128, length >> 7]) + packed
    return bytes(stream), markers


def _address_table(triples: Sequence[Triple], layout: Layout, at: int) -> bytes:
    addresses = [address for address, _, _ in triples]
    if layout.encoding == "absolute":
        return struct.pack(f"<{len(addresses)}Q", *addresses)
    if layout.encoding == "place":
        offsets = [address - at - 4 * n for n, address in enumerate(addresses)]
        return struct.pack(f"<{len(offsets)}i", *offsets)
    if layout.encoding == "percpu":
        offsets = [a if a < 1 << 31 else TEXT - a - 1 for a in addresses]
        return _pad(struct.pack(f"<{len(offsets)}i", *offsets), 8) + struct.pack("<Q", TEXT)
    offsets = [address - TEXT for address in addresses]
    return _pad(struct.pack(f"<{len(offsets)}I", *offsets), 8) + struct.pack("<Q", TEXT)


def kallsyms(triples: Sequence[Triple], layout: Layout, base: int = RODATA) -> bytes:
    """The tables, to be placed at the virtual address ``base`` (a multiple of 8)."""
    tokens = _tokens(triples)
    stream, markers = _name_stream(triples, tokens)
    word = {4: "I", 8: "Q"}[layout.width]
    seqs = b"".join(n.to_bytes(3, "big") for n in range(len(triples)))
    index = [0]
    for token in tokens[:-1]:
        index.append(index[-1] + len(token) + 1)

    out = b""

    def label(content: bytes) -> None:
        nonlocal out
        out = _pad(out, layout.align) + content

    if layout.addresses == "before":
        label(_address_table(triples, layout, base))
    label(struct.pack("<" + word, len(triples)))
    label(stream)
    label(struct.pack(f"<{len(markers)}{word}", *markers))
    if layout.seqs == "before":
        label(seqs)
    label(b"".join(token + b"\0" for token in tokens))
    label(struct.pack("<256H", *index))
    if layout.addresses == "after":
        out = _pad(out, layout.align)
        label(_address_table(triples, layout, base + len(out)))
    if layout.seqs == "after":
        label(seqs)
    return out


# ---- ELF


def note(owner: bytes, kind: int, descriptor: bytes) -> bytes:
    """One ELF note."""
    head = struct.pack("<III", len(owner) + 1, len(descriptor), kind)
    return head + _pad(owner + b"\0", 4) + _pad(descriptor, 4)


def pvh_note(entry: int, size: int = 8) -> bytes:
    """XEN_ELFNOTE_PHYS32_ENTRY."""
    return note(b"Xen", 18, entry.to_bytes(size, "little"))


@dataclass(frozen=True)
class Part:
    """A section, and a segment of the same extent when it has an address."""

    name: str
    content: bytes
    address: int = 0
    kind: int = 1  # SHT_PROGBITS
    flags: int = 2  # SHF_ALLOC
    segment: int = 1  # PT_LOAD; 0 for none
    memsz: int = 0


def elf(
    parts: Sequence[Part],
    *,
    bits: int = 64,
    machine: int = 62,
    entry: int = PHYSICAL,
    kind: int = 2,
) -> bytes:
    """An ELF file of these parts, with section headers. Physical addresses are those of Linux."""
    wide = bits == 64
    ehdr, phdr, shdr = (64, 56, 64) if wide else (52, 32, 40)
    names = b"\0" + b"".join(part.name.encode() + b"\0" for part in parts) + b".shstrtab\0"
    segments = [part for part in parts if part.segment]
    body, offsets, at = b"", [], ehdr + phdr * len(segments)
    for part in parts:
        padding = -(at + len(body)) % 16
        body += bytes(padding)
        offsets.append(at + len(body))
        body += part.content
    names_at = at + len(body)
    sections_at = names_at + len(names)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    head = struct.pack(
        "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH",
        *(kind, machine, 1, entry, ehdr, sections_at, 0, ehdr, phdr, len(segments)),
        *(shdr, len(parts) + 2, len(parts) + 1),
    )
    return (
        ident
        + head
        + b"".join(_program_header(p, offsets[parts.index(p)], wide) for p in segments)
        + body
        + names
        + _section_headers(parts, offsets, names, names_at, wide)
    )


def _program_header(part: Part, offset: int, wide: bool) -> bytes:
    physical = part.address - TEXT + PHYSICAL if part.address >= TEXT else part.address
    size, memory = len(part.content), max(part.memsz, len(part.content))
    if wide:
        fields = (part.segment, 7, offset, part.address, physical, size, memory, 16)
        return struct.pack("<IIQQQQQQ", *fields)
    fields = (part.segment, offset, part.address, physical, size, memory, 7, 16)
    return struct.pack("<8I", *fields)


def _section_headers(
    parts: Sequence[Part], offsets: Sequence[int], names: bytes, names_at: int, wide: bool
) -> bytes:
    layout = "<IIQQQQIIQQ" if wide else "<10I"
    out = bytes(struct.calcsize(layout))
    for number, (part, offset) in enumerate(zip(parts, offsets, strict=True), 1):
        name = names.index(b"\0" + part.name.encode() + b"\0") + 1
        link = number + 1 if part.kind == 2 else 0  # a symbol table's strings come next
        entry = (24 if wide else 16) if part.kind == 2 else 0
        fields = (name, part.kind, part.flags, part.address, offset, len(part.content))
        out += struct.pack(layout, *fields, link, 0, 16, entry)
    name = names.index(b".shstrtab\0")
    return out + struct.pack(layout, name, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)


def linux_elf(
    layout: Layout | None = None,
    triples: Sequence[Triple] | None = None,
    *,
    entry: int = 0x1000850,
    extra: Sequence[Part] = (),
    before: bytes = b"",
) -> bytes:
    """A small Linux kernel: banner, kallsyms at ``RODATA``, a PVH note."""
    banner = b"Linux version 6.1.0-test (a@b) (gcc) #1 SMP Debian 6.1.1-1\n\0"
    tables = b""
    if layout:
        tables = kallsyms(triples if triples is not None else symbols(), layout)
    rodata = tables + bytes(16) + banner + before
    parts = [
        Part(".text", b"\x90" * 64, TEXT, flags=6, memsz=0x100000),
        Part(".rodata", rodata, RODATA, memsz=0x400000),
        Part(".notes", note(b"Xen", 6, b"linux\0") + pvh_note(entry), kind=7, segment=4),
        *extra,
    ]
    return elf(parts)


# ---- packing


def lz4_legacy(data: bytes) -> bytes:
    """As ``lz4 -l`` writes it."""
    import lz4.block

    out = b"\x02\x21\x4c\x18"
    for start in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[start : start + (8 << 20)], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out


def lzop(data: bytes, block: int = 256 << 10, flags: int = 0x1) -> bytes:
    """As ``lzop`` writes it; flags ADLER32_D unless told otherwise."""
    from lzallright import LZOCompressor

    header = struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x0940, 3, 9, flags, 0, 0, 0, 0)
    out = b"\x89LZO\x00\r\n\x1a\n" + header + struct.pack(">I", zlib.adler32(header))
    for start in range(0, len(data), block):
        plain = data[start : start + block]
        packed = LZOCompressor().compress(plain)
        stored = len(packed) >= len(plain)
        out += struct.pack(">II", len(plain), len(plain) if stored else len(packed))
        out += struct.pack(">I", zlib.adler32(plain)) if flags & 1 else b""
        out += plain if stored else packed
    return out + bytes(4)


def bzimage(
    payload: bytes, size: int, *, protocol: int = 0x020F, declare: bool = True, sectors: int = 4
) -> bytes:
    """A boot image around a packed kernel; ``size`` is appended to the payload as Linux does."""
    code = b"\xeb" * 512
    payload += struct.pack("<I", size & 0xFFFFFFFF)
    setup = bytearray((sectors + 1) * 512)
    setup[0x1F1] = sectors
    setup[0x1FE:0x202] = b"\x55\xaa\xeb\x66"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, protocol)
    struct.pack_into("<H", setup, 0x20E, 0x300)
    struct.pack_into("<H", setup, 0x236, 0x3)
    setup[0x500:0x50B] = b"6.1.0-test\0"
    if declare:
        struct.pack_into("<II", setup, 0x248, len(code), len(payload))
    return bytes(setup) + code + payload


# ---- BTF


class BtfWriter:
    """Types one after another; each method returns the new type's number."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""
        self.count = 0

    def string(self, text: str) -> int:
        """The offset of a name."""
        if not text:
            return 0
        needle = b"\0" + text.encode() + b"\0"
        if needle not in self.strings:
            self.strings += needle[1:]
        return self.strings.index(needle) + 1

    def add(
        self, kind: int, name: str, value: int, tail: bytes = b"", *, vlen: int = 0, flag: int = 0
    ) -> int:
        """A type with whatever follows struct btf_type."""
        info = flag << 31 | kind << 24 | vlen
        self.types += struct.pack("<III", self.string(name), info, value) + tail
        self.count += 1
        return self.count

    def struct(
        self,
        name: str,
        size: int,
        members: Sequence[tuple[str, int, int]],
        *,
        flag: int = 0,
        kind: int = 4,
    ) -> int:
        """A structure of (name, type, raw offset) members."""
        tail = b"".join(struct.pack("<III", self.string(n), t, o) for n, t, o in members)
        return self.add(kind, name, size, tail, vlen=len(members), flag=flag)

    def bytes(self) -> bytes:
        """The section."""
        sizes = (0, len(self.types), len(self.types), len(self.strings))
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + self.types + self.strings
