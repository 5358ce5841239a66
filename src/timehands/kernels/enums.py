"""Numbers that kernel files are made of. Layouts are in ``structs``, words in ``descriptions``."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag


class Compression(Enum):
    """How a kernel is packed. The value is the name that the kernel's own options use."""

    NONE = "none"
    GZIP = "gzip"
    XZ = "xz"
    LZMA = "lzma"
    BZIP2 = "bzip2"
    LZ4_LEGACY = "lz4"
    LZ4_FRAME = "lz4-frame"
    LZO = "lzo"
    ZSTD = "zstd"


class Container(Enum):
    """What the file is, before anything in it is unpacked."""

    BZIMAGE = "bzimage"
    ELF64 = "elf64"
    ELF32 = "elf32"


class SymbolSource(Enum):
    """Where the symbols were read from."""

    ELF = "elf"
    KALLSYMS = "kallsyms"


class TypeSource(Enum):
    """A description of the kernel's types that the file carries."""

    DWARF = "dwarf"
    BTF = "btf"


class AddressEncoding(Enum):
    """How a kallsyms table stores addresses (see ``kallsyms_find``)."""

    ABSOLUTE = "absolute"
    BASE_RELATIVE = "base-relative"
    ABSOLUTE_PERCPU = "absolute-percpu"
    PLACE_RELATIVE = "place-relative"


class ElfMachine(IntEnum):
    """``e_machine`` of those processors that have kernels of their own (ELF gABI)."""

    SPARC = 2
    I386 = 3
    M68K = 4
    MIPS = 8
    PPC = 20
    PPC64 = 21
    S390 = 22
    ARM = 40
    SUPERH = 42
    SPARCV9 = 43
    IA64 = 50
    X86_64 = 62
    AARCH64 = 183
    RISCV = 243
    LOONGARCH = 258


class XenNote(IntEnum):
    """Types of ELF notes whose owner is ``Xen`` (Xen: xen/include/public/elfnote.h)."""

    GUEST_OS = 6
    GUEST_VERSION = 7
    PHYS32_ENTRY = 18


class XLoadFlags(IntFlag):
    """``xloadflags`` of the boot header (Linux: Documentation/arch/x86/boot.rst)."""

    KERNEL_64 = 1 << 0
    CAN_BE_LOADED_ABOVE_4G = 1 << 1
    EFI_HANDOVER_32 = 1 << 2
    EFI_HANDOVER_64 = 1 << 3
    EFI_KEXEC = 1 << 4


class LzopFlag(IntFlag):
    """Flags of an lzop header (lzop: src/conf.h; Linux: lib/decompress_unlzo.c)."""

    ADLER32_D = 0x00000001
    ADLER32_C = 0x00000002
    EXTRA_FIELD = 0x00000040
    CRC32_D = 0x00000100
    CRC32_C = 0x00000200
    FILTER = 0x00000800


class BtfKind(IntEnum):
    """``BTF_KIND_*`` (Linux: include/uapi/linux/btf.h)."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19
