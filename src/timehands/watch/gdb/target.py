"""Which registers a stub has and how its ``g`` packet lays them out: target descriptions.

GDB manual, appendix "Target Descriptions". Parsed with expat, which knows no file and no network;
a document that declares entities is refused, and so is one that is larger than any real one.
QEMU's documents name a DTD (gdb-xml/*.xml): a name alone is let pass, it is never fetched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from timehands.errors import ProtocolBroken

MAX_DOCUMENT: Final = 256 << 10
MAX_DOCUMENTS: Final = 32
MAX_REGISTERS: Final = 1024
MAX_BITS: Final = 4096
MAX_DEPTH: Final = 16
#: Fetches a document by its name (``target.xml``).
FetchDocument = Callable[[str], Awaitable[bytes]]


class Register(NamedTuple):
    """One register; ``number`` is that of ``p``, ``offset`` its place in ``g``, in bytes."""

    name: str
    number: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The registers in the order of ``g``. ``lengths``: how long a ``g`` may be, None any whole."""

    registers: tuple[Register, ...]
    architecture: str = ""
    lengths: frozenset[int] | None = None
    by_name: Mapping[str, Register] = field(init=False)
    by_number: Mapping[int, Register] = field(init=False)

    def __post_init__(self) -> None:
        """Index the registers."""
        object.__setattr__(self, "by_name", {r.name: r for r in self.registers})
        object.__setattr__(self, "by_number", {r.number: r for r in self.registers})

    @property
    def size(self) -> int:
        """The length of a whole ``g``, in bytes."""
        return self.registers[-1].offset + self.registers[-1].size if self.registers else 0

    @property
    def pc(self) -> Register | None:
        """The instruction pointer."""
        return self.by_name.get("rip") or self.by_name.get("eip") or self.by_name.get("pc")

    def allows(self, length: int) -> bool:
        """Whether a ``g`` of that many bytes can be laid out so.

        A stub may leave out registers at the end; it may not cut one, nor know more than it said.
        """
        if self.lengths is not None:
            return length in self.lengths
        return length == self.size or any(r.offset == length for r in self.registers[1:])


async def describe(fetch: FetchDocument) -> Layout:
    """The layout of ``target.xml`` and all it includes. Raises `ProtocolBroken`."""
    found = _Found()
    await _collect(fetch, "target.xml", found, set())
    return Layout(tuple(_place(found.registers)), found.architecture)


class _Include(NamedTuple):
    name: str


@dataclass(slots=True)
class _Found:
    registers: list[Mapping[str, str]] = field(default_factory=list)
    architecture: str = ""
    documents: int = 0


async def _collect(fetch: FetchDocument, name: str, found: _Found, above: set[str]) -> None:
    """One document, its includes where they stand."""
    found.documents += 1
    if name in above or found.documents > MAX_DOCUMENTS:
        raise ProtocolBroken(f"the target description includes {name!r} in a circle, or too much")
    parsed = _Document(name, await fetch(name))
    found.architecture = found.architecture or parsed.architecture.strip()
    for item in parsed.items:
        if isinstance(item, _Include):
            await _collect(fetch, item.name, found, above | {name})
        else:
            found.registers.append(item)
    if len(found.registers) > MAX_REGISTERS:
        raise ProtocolBroken(f"the target description has over {MAX_REGISTERS} registers")


class _Document:
    """One XML document: its registers and includes in order."""

    def __init__(self, name: str, text: bytes) -> None:
        self.items: list[Mapping[str, str] | _Include] = []
        self.architecture = ""
        self._name = name
        self._open: list[str] = []
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(text, True)
        except expat.ExpatError as error:
            raise ProtocolBroken(
                f"the stub's {name} is no XML: {error}", received=text[:200]
            ) from error

    def _refuse(self, what: str) -> ProtocolBroken:
        return ProtocolBroken(f"the stub's {self._name} {what}")

    def _doctype(self, _name: str, _system: object, _public: object, has_subset: int) -> None:
        if has_subset:
            raise self._refuse("declares a document type of its own")

    def _entity(self, *_: Any) -> None:
        raise self._refuse("declares entities")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag)
        if len(self._open) > MAX_DEPTH:
            raise self._refuse("is nested too deep")
        if tag == "reg":
            self.items.append(attributes)
        elif tag in ("xi:include", "include"):
            self.items.append(_Include(attributes.get("href", "")))

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open and self._open[-1] == "architecture":
            self.architecture = (self.architecture + text)[:100]


def _place(rows: Iterable[Mapping[str, str]]) -> Iterable[Register]:
    """Numbers and offsets: a number goes on from the one before, ``g`` is in order of numbers."""
    numbered: dict[int, tuple[str, int]] = {}
    following = 0
    for row in rows:
        name, bits = row.get("name", ""), _integer(row.get("bitsize"))
        number = _integer(row["regnum"]) if "regnum" in row else following
        if not name or not 0 < bits <= MAX_BITS or bits % 8 or not 0 <= number < 1 << 16:
            raise ProtocolBroken(f"the target description has a register that cannot be: {row}")
        if number in numbered or any(name == other for other, _ in numbered.values()):
            raise ProtocolBroken(f"the target description has two registers {name!r} ({number})")
        numbered[number] = (name, bits // 8)
        following = number + 1
    offset = 0
    for number, (name, size) in sorted(numbered.items()):
        yield Register(name, number, offset, size)
        offset += size


def _integer(text: str | None) -> int:
    """A decimal number of few digits, -1 when it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else -1


_GENERAL = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"]
_GENERAL += [f"r{n}" for n in range(8, 16)] + ["rip"]
_SHORT = ["eflags", "cs", "ss", "ds", "es", "fs", "gs"]
_X87 = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"]


def _plain_x86_64() -> Layout:
    """What gdb takes x86-64 to be when nothing describes it (gdb features/i386/64bit-*.xml).

    The general registers alone are a whole ``g`` too; any other length may be another processor.
    """
    sizes = [(name, 8) for name in _GENERAL] + [(name, 4) for name in _SHORT]
    core = sum(size for _, size in sizes)
    sizes += [(f"st{n}", 10) for n in range(8)] + [(name, 4) for name in _X87]
    sizes += [(f"xmm{n}", 16) for n in range(16)] + [("mxcsr", 4)]
    plain = sum(size for _, size in sizes)
    rows = [{"name": name, "bitsize": str(size * 8)} for name, size in sizes]
    return Layout(tuple(_place(rows)), "i386:x86-64", frozenset((core, plain)))


PLAIN_X86_64: Final = _plain_x86_64()
