"""``hvm_start_info``: what a PVH guest is told, and where.

Source: Xen public/arch-x86/hvm/start_info.h (structure of version 1, 56 bytes; module entries of 32
bytes; memory map entries of 24 bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from timehands.monitor.layout import COMMAND_LINE, MEMORY_MAP, MODULE_LIST, START_INFO, Stretch

MAGIC = 0x336E_C578
VERSION = 1
_INFO = struct.Struct("<IIIIQQQQII")
_MODULE = struct.Struct("<QQQQ")
_STRETCH = struct.Struct("<QQII")
#: The list of modules ends where the memory map begins.
MAX_MODULES = (MEMORY_MAP - MODULE_LIST) // _MODULE.size


@dataclass(frozen=True, slots=True)
class Module:
    """Something that lies in memory beside the kernel: a ramdisk. ``size`` in bytes."""

    address: int
    size: int
    command_line: int = 0


def start_info(
    memory: Sequence[Stretch], modules: Sequence[Module] = (), *, rsdp: int = 0
) -> dict[int, bytes]:
    """The structure and what it points to, by the address where each belongs.

    The command line is expected at `layout.COMMAND_LINE`. Raises `ValueError` for too many modules.
    """
    if len(modules) > MAX_MODULES:
        raise ValueError(f"{len(modules)} modules; there is room for {MAX_MODULES}")
    info = _INFO.pack(
        MAGIC,
        VERSION,
        0,
        len(modules),
        MODULE_LIST if modules else 0,
        COMMAND_LINE,
        rsdp,
        MEMORY_MAP,
        len(memory),
        0,
    )
    return {
        START_INFO: info,
        MODULE_LIST: b"".join(_MODULE.pack(m.address, m.size, m.command_line, 0) for m in modules),
        MEMORY_MAP: b"".join(_STRETCH.pack(s.address, s.size, s.kind, 0) for s in memory),
    }
