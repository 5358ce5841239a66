"""A guest that calls a function for ever, and where that function and its count are."""

from __future__ import annotations

import io

from elftools.elf.elffile import ELFFile

from monitor.guests.build import guest
from monitor.running import Talk
from timehands.kvm.memory import GuestMemory


def symbols() -> dict[str, int]:
    """The addresses of everything in the ``ticking`` guest, by name."""
    file = ELFFile(io.BytesIO(guest("ticking", "smp.S")))
    table = file.get_section_by_name(".symtab")
    return {each.name: each["st_value"] for each in table.iter_symbols()}


def ticking(how: str) -> Talk:
    """The guest: how many vCPUs, and what each call does (see ticking.c)."""
    return Talk("ticking", how, others=("smp.S",), vcpus=int(how[0]))


def word(memory: GuestMemory, address: int) -> int:
    """Four bytes of it, as a number."""
    return int.from_bytes(memory.read(address, 4), "little")
