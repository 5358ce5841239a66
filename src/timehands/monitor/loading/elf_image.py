"""An ELF file's loadable segments, by physical address."""

from __future__ import annotations

from timehands.errors import MachineError
from timehands.kernels.elf import ElfImage, Segment
from timehands.monitor.layout import HIGH_MEMORY
from timehands.monitor.loading.model import Image


def elf_image(elf: ElfImage, entry: int) -> Image:
    """The segments of an ELF kernel, to be entered at the physical address ``entry``.

    Raises `MachineError` when there are none, or when they lie where the monitor's own tables are.
    Where segments overlap the later one is seen.
    """
    segments = elf.loaded
    if not segments:
        raise MachineError("the kernel has no segment to load")
    for segment in segments:
        if segment.paddr < HIGH_MEMORY:
            raise MachineError(
                f"the kernel wants to be loaded at {segment.paddr:#x}, below 1 MiB, where what it "
                "is told lies"
            )
    pieces = {segment.paddr: _bytes_of(elf, segment) for segment in segments}
    return Image(pieces, entry, max(s.paddr + max(s.memsz, s.filesz) for s in segments))


def _bytes_of(elf: ElfImage, segment: Segment) -> memoryview:
    return elf.data[segment.offset : segment.offset + segment.filesz]
