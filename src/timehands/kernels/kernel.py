"""A kernel file, opened: the first thing that every other part of Timehands asks for.

::

    kernel = Kernel.open("/boot/vmlinuz")
    kernel.os, kernel.os_version        # "linux", "6.1.0-56-cloud-amd64"
    kernel.symbols.lookup("tsc_init")   # (0xffffffff830c0a2d,)
    kernel.elf_path()                   # an ELF file that QEMU boots through PVH

Opening reads the file, unpacks it, and reads its headers. Symbols, types and configuration are read
when asked for. What was read is kept (see ``cache``), so that the next time costs a hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from timehands.errors import (
    HostError,
    KernelError,
    NotAKernel,
    WrongArchitecture,
)
from timehands.kernels.btf import Btf
from timehands.kernels.btf_types import BtfTypes
from timehands.kernels.cache import KernelCache
from timehands.kernels.clockfunctions import CLOCK_FUNCTIONS
from timehands.kernels.container import unpack
from timehands.kernels.debug_files import DebugFile, Refused, Search, candidates, search, stamps
from timehands.kernels.descriptions import format_name
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.sections import Sections
from timehands.kernels.elf import ElfImage, Segment
from timehands.kernels.enums import Compression, Container, SymbolSource, TypeSource
from timehands.kernels.facts import KernelFacts
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.files import read_file
from timehands.kernels.identity import identify, pvh_entry
from timehands.kernels.ikconfig import read_ikconfig
from timehands.kernels.kallsyms import read_kallsyms
from timehands.kernels.lines import Lines
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.symtab import read_sizes, read_symtab
from timehands.kernels.types import Types

MAX_FILE: Final = 512 << 20
"""The largest kernel file that is read, in bytes (a kernel with DWARF)."""
# A program's interpreter; FreeBSD's kernel has one too, "/red/herring".
_PROGRAM_INTERPRETER: Final = re.compile(rb"/(usr/)?lib")
_SUFFIX: Final = re.compile(rb"(?:\.(?:isra|constprop|part)\.\d+)+$")


class Kernel:
    """A kernel file and what it says. Made by ``Kernel.open``.

    Attributes:
        path: the file as given.
        size: of the file, in bytes.
        sha256: of the file, in hexadecimal.
        facts: everything read from the headers, as one plain value.
    """

    def __init__(
        self,
        path: Path,
        file: memoryview,
        *,
        sha256: str,
        facts: KernelFacts,
        image: memoryview | None,
        cache: KernelCache | None,
    ) -> None:
        self.path = path
        self.size = len(file)
        self.sha256 = sha256
        self.facts = facts
        self._file = file
        self._image = image
        self._cache = cache

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, cache: bool = True) -> Kernel:
        """Read a kernel file: bzImage, ELF, or compressed ELF.

        Args:
            path: a regular file of at most ``MAX_FILE`` bytes.
            cache: use and fill the user's cache.

        Raises:
            KernelUnreadable: it is missing, not a regular file, too large, or may not be read.
            NotAKernel: it has no format of a kernel.
            KernelDamaged: it has, but is truncated or broken.
            WrongArchitecture: it is for a processor other than x86-64, or for i386 without a PVH
                entry.
        """
        path = Path(path)
        with _naming(path):
            file = memoryview(read_file(path, MAX_FILE))
            sha256 = hashlib.sha256(file).hexdigest()
            store = _cache_for(sha256) if cache else None
            kept = store.read_facts() if store else None
            facts = KernelFacts.from_dict(kept) if kept else None
            image = None
            if facts is None:
                facts, image = _examine(file)
                if store:
                    store.write_facts(facts.to_dict())
            return cls(path, file, sha256=sha256, facts=facts, image=image, cache=store)

    def __repr__(self) -> str:
        return f"<Kernel {self.path}: {self.os} {self.os_version}, {self.format}>"

    @property
    def cache(self) -> KernelCache | None:
        """What is kept of this kernel from one time to the next; None: nothing is."""
        return self._cache

    @property
    def format(self) -> str:
        """The file's format in words: ``bzImage (lz4)``, ``ELF64``, ``ELF64 (gzip)``."""
        return format_name(self.facts.container, self.facts.compression)

    @property
    def container(self) -> Container:
        """The file's format without its compression."""
        return self.facts.container

    @property
    def compression(self) -> Compression:
        """How the kernel is packed in the file."""
        return self.facts.compression

    @property
    def os(self) -> str:
        """``linux``, ``freebsd``, ``netbsd``, ``openbsd``, or ``unknown``."""
        return self.facts.os

    @property
    def os_version(self) -> str:
        """The release, such as ``6.1.0-56-cloud-amd64`` or ``14.2-RELEASE``; may be empty."""
        return self.facts.release

    @property
    def banner(self) -> str:
        """The version line that the kernel carries, whole; may be empty."""
        return self.facts.banner

    @property
    def arch(self) -> str:
        """``x86-64``, or ``i386`` for a 32-bit PVH guest."""
        return self.facts.arch

    @property
    def entry64(self) -> int | None:
        """The physical address of the ELF entry point; None in a 32-bit kernel."""
        return self.facts.entry64

    @property
    def pvh_entry(self) -> int | None:
        """The physical address of the 32-bit PVH entry point (XEN_ELFNOTE_PHYS32_ENTRY)."""
        return self.facts.pvh_entry

    @property
    def bzimage_64bit_entry(self) -> bool:
        """Whether this is a bzImage with a 64-bit entry point (XLF_KERNEL_64)."""
        return self.facts.bzimage_64bit_entry

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The program headers of the unpacked kernel."""
        return self.facts.segments

    @property
    def types(self) -> tuple[TypeSource, ...]:
        """Which descriptions of its types there are: DWARF, BTF, both, none.

        DWARF may lie in the kernel itself or in its ``debug_file``.
        """
        return (TypeSource.DWARF, *self.facts.types) if self.debug_file else self.facts.types

    @property
    def debug_file(self) -> DebugFile | None:
        """The other file that holds the kernel's DWARF; None: the kernel does, or nothing does."""
        return self._debug_search.found

    @property
    def debug_key(self) -> str:
        """Changes with the debug file, for what is kept of both; empty when there is none."""
        debug = self.debug_file
        return f"{zlib.crc32(repr(debug.stamp).encode()):08x}" if debug else ""

    @property
    def debug_refused(self) -> tuple[Refused, ...]:
        """Files that could be the kernel's debug file by name but are not, and why."""
        return self._debug_search.refused

    @property
    def debug_elf(self) -> ElfImage | None:
        """The ELF file with the kernel's DWARF: the kernel or its debug file; None: there is none.

        Raises:
            KernelError: the debug file was changed or taken away.
        """
        if TypeSource.DWARF in self.facts.types:
            return self.elf
        return self.debug_file.elf if self.debug_file else None

    @cached_property
    def _debug_search(self) -> Search:
        """Believed from the last time while no file that is in question has changed."""
        if TypeSource.DWARF in self.facts.types:
            return Search()
        headers = (
            self.elf_headers if self.elf_headers.section(".gnu_debuglink") is None else self.elf
        )
        places = candidates(self.path, headers, self.os_version)
        key = stamps(places)
        found = self._cache.read_debug(key) if self._cache and places else None
        if found is None:
            found = search(self.elf, places) if places else Search()
            if self._cache and places:
                self._cache.write_debug(key, found)
        return found

    @property
    def orc(self) -> bool:
        """Whether it carries Linux' ORC unwind tables."""
        return self.facts.orc

    @property
    def config(self) -> str | None:
        """The embedded configuration (CONFIG_IKCONFIG) as text, or None."""
        return self.facts.config

    @property
    def symbol_source(self) -> SymbolSource | None:
        """Where ``symbols`` come from; None when the kernel has none."""
        return self.symbols.source

    @cached_property
    def symbols(self) -> SymbolTable:
        """The kernel's symbols; empty when it has neither an ELF symbol table nor kallsyms.

        Raises:
            KernelDamaged: there are tables, but they make no sense.
        """
        with _naming(self.path):
            table = self._cache.read_symbols() if self._cache else None
            if table is None:
                table = read_symtab(self.elf) or read_kallsyms(self.elf) or SymbolTable.empty()
                if self._cache:
                    self._cache.write_symbols(table)
            if not len(table) and self.debug_elf:
                table = read_symtab(self.debug_elf) or table
            spans = [(s.vaddr, s.vaddr + s.memsz) for s in self.elf_headers.loaded]
            return table.within(spans)

    @cached_property
    def btf(self) -> Btf | None:
        """The kernel's BTF types, or None.

        Raises:
            KernelDamaged: the BTF section is broken.
        """
        section = self.elf_headers.section(".BTF")
        if section is None or TypeSource.BTF not in self.types:
            return None
        with _naming(self.path):
            return Btf(self.elf.contents(section))

    @cached_property
    def dwarf(self) -> DwarfTypes | None:
        """The kernel's types, variables and functions from its DWARF, or None when it has none.

        Raises:
            KernelDamaged: a section that is packed cannot be unpacked.
        """
        elf = self.debug_elf
        if elf is None:
            return None
        with _naming(self.debug_file.path if self.debug_file else self.path):
            return DwarfTypes(Sections.of(elf), self.symbols)

    @cached_property
    def type_source(self) -> Types | None:
        """The kernel's types, from DWARF or else from BTF; None when it tells none."""
        return self.dwarf or (BtfTypes(self.btf, self.symbols) if self.btf else None)

    @cached_property
    def lines(self) -> Lines | None:
        """Source lines and addresses, each from the other; None without DWARF."""
        return Lines(self.dwarf) if self.dwarf else None

    @cached_property
    def file_memory(self) -> FileMemory:
        """The kernel's own data as memory, as it is before the kernel runs."""
        return FileMemory(self.elf)

    @cached_property
    def symbol_sizes(self) -> dict[str, int]:
        """Sizes of variables in bytes by name, as the ELF symbol table has them; may be empty."""
        return read_sizes(self.elf) or (read_sizes(self.debug_elf) if self.debug_elf else {})

    @cached_property
    def clock_functions(self) -> dict[str, list[str]]:
        """The clock functions that the kernel holds, by operating system.

        For a known system only its own are looked for, for an unknown one those of all. A function
        that the compiler renamed (``.isra.0``) goes by its name in the source.
        """
        systems = [self.os] if self.os in CLOCK_FUNCTIONS else list(CLOCK_FUNCTIONS)
        there = self.symbols.present(
            (one.name for system in systems for one in CLOCK_FUNCTIONS[system]), suffix=_SUFFIX
        )
        found = {
            system: [one.name for one in CLOCK_FUNCTIONS[system] if one.name in there]
            for system in systems
        }
        return {system: list(dict.fromkeys(names)) for system, names in found.items() if names}

    @cached_property
    def elf_headers(self) -> ElfImage:
        """The unpacked kernel's headers without its contents: costs nothing."""
        return self.facts.elf(memoryview(b""))

    @cached_property
    def elf(self) -> ElfImage:
        """The unpacked kernel: headers and contents."""
        return self.facts.elf(self.unpacked())

    def unpacked(self) -> memoryview:
        """The unpacked kernel, an ELF file; relocations may follow it."""
        if self._image is None:
            facts = self.facts
            if facts.is_plain_elf:
                self._image = self._file
            elif self._cache:
                self._image = self._cache.read_elf(facts.unpacked_size, facts.unpacked_crc32)
        if self._image is None:
            with _naming(self.path):
                self._image = unpack(self._file)[2]
        return self._image

    def elf_path(self, directory: Path | None = None) -> Path:
        """A file with the unpacked kernel, for a machine that boots ELF (PVH).

        A plain ELF kernel is its own. Any other is written once, mode 0600, under its SHA-256, and
        found again the next time.

        Args:
            directory: where to write it; None for the user's cache.

        Raises:
            HostError: it cannot be written.
        """
        if self.facts.is_plain_elf:
            return self.path
        store = KernelCache(self.sha256, directory)
        if store.read_elf(self.facts.unpacked_size, self.facts.unpacked_crc32) is None:
            store.write_elf(self.unpacked())
        return store.elf_file


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors about a kernel name its file."""
    try:
        yield
    except KernelError as error:
        if error.path is None:
            error.path = path
            error.message = f"{path}: {error.message}"
        raise


def _cache_for(sha256: str) -> KernelCache | None:
    """The user's cache; None where there is no place for one, for reading needs none."""
    try:
        return KernelCache(sha256)
    except HostError:
        return None


def _examine(file: memoryview) -> tuple[KernelFacts, memoryview]:
    """Everything there is to know without symbols, and the unpacked kernel."""
    container, compression, image, header = unpack(file)
    elf = ElfImage.parse(image)
    entry = pvh_entry(elf.notes)
    _check_kernel(elf, entry)
    if container is None:
        container = Container.ELF64 if elf.bits == 64 else Container.ELF32
    identity = identify(elf)
    facts = KernelFacts(
        container=container,
        compression=compression,
        os=identity.os,
        release=identity.release,
        banner=identity.banner,
        arch="x86-64" if elf.bits == 64 else "i386",
        entry64=_physical_entry(elf) if elf.bits == 64 else None,
        pvh_entry=entry,
        bzimage_64bit_entry=bool(header and header.entry_64bit),
        types=tuple(_type_sources(elf)),
        orc=bool(elf.section(".orc_unwind") and elf.section(".orc_unwind_ip")),
        config=read_ikconfig(elf.loaded_data),
        unpacked_size=len(image),
        unpacked_crc32=0 if image is file else zlib.crc32(image),
        bits=elf.bits,
        entry=elf.entry,
        segments=elf.segments,
        sections=elf.sections,
        notes=elf.notes,
    )
    return facts, image


def _check_kernel(elf: ElfImage, entry: int | None) -> None:
    if elf.bits == 32 and entry is None:
        raise WrongArchitecture("i386, without a PVH entry")
    if not elf.loaded:
        raise NotAKernel("this ELF file has nothing to load: an object file or a module")
    for segment in elf.segments:
        if segment.type == "PT_INTERP":
            name = bytes(elf.data[segment.offset : segment.offset + segment.filesz])
            if _PROGRAM_INTERPRETER.match(name):
                raise NotAKernel("this is a program for user space, not a kernel")


def _physical_entry(elf: ElfImage) -> int:
    """Linux' ``e_entry`` is physical, FreeBSD's virtual: ask the segments."""
    for segment in elf.loaded:
        if segment.vaddr <= elf.entry < segment.vaddr + segment.memsz:
            return segment.paddr + elf.entry - segment.vaddr
    return elf.entry


def _type_sources(elf: ElfImage) -> Iterator[TypeSource]:
    if elf.section(".debug_info") or elf.section(".zdebug_info"):
        yield TypeSource.DWARF
    section = elf.section(".BTF")
    if section and section.size:
        yield TypeSource.BTF
