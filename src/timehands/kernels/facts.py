"""What a kernel file says, as one plain value that JSON can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from timehands.kernels.elf import ElfImage, Note, Section, Segment
from timehands.kernels.enums import Compression, Container, TypeSource


@dataclass(frozen=True)
class KernelFacts:
    """Everything that is read from a kernel when it is opened; see ``Kernel`` for the meanings.

    ``unpacked_size`` is in bytes; ``unpacked_crc32`` is what the kept copy must have, 0 when the
    file is plain ELF, of which none is kept. ``bits``, ``entry``, ``segments``, ``sections`` and
    ``notes`` are those of the ELF file inside.
    """

    container: Container
    compression: Compression
    os: str
    release: str
    banner: str
    arch: str
    entry64: int | None
    pvh_entry: int | None
    bzimage_64bit_entry: bool
    types: tuple[TypeSource, ...]
    orc: bool
    config: str | None = field(repr=False)
    unpacked_size: int
    unpacked_crc32: int
    bits: int
    entry: int
    segments: tuple[Segment, ...] = field(repr=False)
    sections: tuple[Section, ...] = field(repr=False)
    notes: tuple[Note, ...] = field(repr=False)

    @property
    def is_plain_elf(self) -> bool:
        """Whether the file is the ELF kernel itself, with nothing to unpack."""
        return self.container is not Container.BZIMAGE and self.compression is Compression.NONE

    def elf(self, data: memoryview) -> ElfImage:
        """The ELF kernel with these headers over its contents."""
        return ElfImage(data, self.bits, self.entry, self.segments, self.sections, self.notes)

    def to_dict(self) -> dict[str, Any]:
        """The facts as values that ``json`` can write."""
        values = asdict(self)
        values["container"] = self.container.value
        values["compression"] = self.compression.value
        values["types"] = [source.value for source in self.types]
        values["notes"] = [
            {"owner": note.owner.hex(), "type": note.type, "descriptor": note.descriptor.hex()}
            for note in self.notes
        ]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> KernelFacts | None:
        """Read what ``to_dict`` made; None when it is not that."""
        try:
            return cls(
                **{
                    **values,
                    "container": Container(values["container"]),
                    "compression": Compression(values["compression"]),
                    "types": tuple(map(TypeSource, values["types"])),
                    "segments": tuple(Segment(**one) for one in values["segments"]),
                    "sections": tuple(Section(**one) for one in values["sections"]),
                    "notes": tuple(_note(one) for one in values["notes"]),
                }
            )
        except (KeyError, TypeError, ValueError):
            return None


def _note(values: dict[str, Any]) -> Note:
    return Note(bytes.fromhex(values["owner"]), values["type"], bytes.fromhex(values["descriptor"]))
