"""The words that people read for the numbers in ``enums``."""

from __future__ import annotations

from typing import Final

from timehands.kernels.enums import (
    AddressEncoding,
    Compression,
    Container,
    ElfMachine,
    SymbolSource,
    TypeSource,
)

COMPRESSION: Final = {
    Compression.NONE: "not compressed",
    Compression.GZIP: "gzip",
    Compression.XZ: "xz",
    Compression.LZMA: "lzma",
    Compression.BZIP2: "bzip2",
    Compression.LZ4_LEGACY: "lz4",
    Compression.LZ4_FRAME: "lz4 frame",
    Compression.LZO: "lzo",
    Compression.ZSTD: "zstd",
}

CONTAINER: Final = {
    Container.BZIMAGE: "bzImage",
    Container.ELF64: "ELF64",
    Container.ELF32: "ELF32",
}

SYMBOL_SOURCE: Final = {
    SymbolSource.ELF: "ELF symtab",
    SymbolSource.KALLSYMS: "kallsyms",
}

TYPE_SOURCE: Final = {
    TypeSource.DWARF: "DWARF",
    TypeSource.BTF: "BTF",
}

ADDRESS_ENCODING: Final = {
    AddressEncoding.ABSOLUTE: "absolute addresses",
    AddressEncoding.BASE_RELATIVE: "relative to a base",
    AddressEncoding.ABSOLUTE_PERCPU: "relative to a base, per-CPU absolute",
    AddressEncoding.PLACE_RELATIVE: "relative to their place",
}

MACHINE: Final = {
    ElfMachine.SPARC: "SPARC",
    ElfMachine.I386: "i386",
    ElfMachine.M68K: "m68k",
    ElfMachine.MIPS: "MIPS",
    ElfMachine.PPC: "PowerPC",
    ElfMachine.PPC64: "PowerPC 64",
    ElfMachine.S390: "S/390",
    ElfMachine.ARM: "ARM",
    ElfMachine.SUPERH: "SuperH",
    ElfMachine.SPARCV9: "SPARC V9",
    ElfMachine.IA64: "IA-64",
    ElfMachine.X86_64: "x86-64",
    ElfMachine.AARCH64: "AArch64",
    ElfMachine.RISCV: "RISC-V",
    ElfMachine.LOONGARCH: "LoongArch",
}

OPERATING_SYSTEM: Final = {
    "linux": "Linux",
    "freebsd": "FreeBSD",
    "netbsd": "NetBSD",
    "openbsd": "OpenBSD",
    "unknown": "unknown operating system",
}


def format_name(container: Container, compression: Compression) -> str:
    """What people call a file's format: ``bzImage (lz4)``, ``ELF64``, ``ELF64 (gzip)``."""
    if compression is Compression.NONE:
        return CONTAINER[container]
    return f"{CONTAINER[container]} ({COMPRESSION[compression]})"


def machine_name(number: int) -> str:
    """The processor that an ELF ``e_machine`` stands for, in words."""
    try:
        return MACHINE[ElfMachine(number)]
    except (ValueError, KeyError):
        return f"processor number {number}"
