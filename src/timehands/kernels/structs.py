"""Layouts of the binary records in kernel files, as ``struct`` formats with their field names.

Everything is little endian, as on x86, but the lzop header, which is big endian.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

# The Linux/x86 boot header (Documentation/arch/x86/boot.rst): absolute offsets in the file.
BOOT_SETUP_SECTS: Final = 0x1F1  # u8; 0 means 4
BOOT_FLAG: Final = 0x1FE  # u16, 0xAA55
BOOT_MAGIC: Final = 0x202  # "HdrS"
BOOT_VERSION: Final = 0x206  # u16, protocol version
BOOT_KERNEL_VERSION: Final = 0x20E  # u16, offset of the version string, less 0x200
BOOT_XLOADFLAGS: Final = 0x236  # u16, since protocol 2.12
BOOT_PAYLOAD: Final = 0x248  # u32 payload_offset, u32 payload_length, since protocol 2.08
BOOT_HEADER_END: Final = 0x268

U16: Final = Struct("<H")
U32: Final = Struct("<I")
U64: Final = Struct("<Q")
PAYLOAD: Final = Struct("<II")
U32_BIG: Final = Struct(">I")

# lzop (lzop: src/lzop.c, write_header): version, library version; both before the optional parts.
LZOP_VERSIONS: Final = Struct(">HH")

# Elf64_Sym and Elf32_Sym (ELF gABI, figure 4-15):
# 64: st_name, st_info, st_other, st_shndx, st_value, st_size
# 32: st_name, st_value, st_size, st_info, st_other, st_shndx
ELF64_SYM: Final = Struct("<IBBHQQ")
ELF32_SYM: Final = Struct("<IIIBBH")
# Elf64_Ehdr and Elf32_Ehdr behind e_ident: e_type, e_machine, e_version, e_entry, e_phoff, e_shoff,
# e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
ELF64_HEAD: Final = Struct("<HHIQQQIHHHHHH")
ELF32_HEAD: Final = Struct("<HHIIIIIHHHHHH")
# Elf64_Phdr: p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
# Elf32_Phdr: p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align
ELF64_PROGRAM: Final = Struct("<IIQQQQQQ")
ELF32_PROGRAM: Final = Struct("<IIIIIIII")
NOTE_HEADER: Final = Struct("<III")  # n_namesz, n_descsz, n_type

# struct btf_header (Linux: include/uapi/linux/btf.h):
# magic, version, flags, hdr_len, type_off, type_len, str_off, str_len
BTF_HEADER: Final = Struct("<HBBIIIII")
# struct btf_type: name_off, info, size or type
BTF_TYPE: Final = Struct("<III")
BTF_MEMBER: Final = Struct("<III")  # name_off, type, offset
BTF_ARRAY: Final = Struct("<III")  # type, index_type, nelems
BTF_PARAMETER: Final = Struct("<II")  # name_off, type
BTF_ENUM: Final = Struct("<Ii")  # name_off, val (signed)
BTF_ENUM_UNSIGNED: Final = Struct("<II")
BTF_ENUM64: Final = Struct("<III")  # name_off, val_lo32, val_hi32
