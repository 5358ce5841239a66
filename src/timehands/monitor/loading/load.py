"""Which protocol a kernel is booted by, and all that it is told put into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from timehands.errors import MachineError, NotAKernel
from timehands.kernels import bzimage as bzimage_format
from timehands.kernels.elf_programs import parse_programs
from timehands.kernels.identity import pvh_entry
from timehands.kvm.memory import GuestMemory
from timehands.monitor.acpi import acpi_tables
from timehands.monitor.devices.virtio.places import VirtioPlace
from timehands.monitor.layout import (
    COMMAND_LINE,
    COMMAND_LINE_BYTES,
    MP_TABLE,
    PAGE,
    RSDP,
    START_INFO,
    Stretch,
    memory_map,
    top_of_low_memory,
)
from timehands.monitor.loading import bzimage, multiboot
from timehands.monitor.loading.elf_image import elf_image
from timehands.monitor.loading.model import Entry, Image, Placed
from timehands.monitor.mptable import mp_table
from timehands.monitor.start_info import Module, start_info

_ELF_MAGIC = b"\x7fELF"
Told = tuple[Mapping[int, bytes], Entry]


@dataclass(frozen=True, slots=True)
class Load:
    """What is booted: the kernel file's bytes, its command line, and a ramdisk or none.

    ``acpi``: whether it is told of its processors by ACPI too, not by the MP table alone, and of
    its virtio devices and its HPET.
    """

    kernel: memoryview = field(repr=False)
    command_line: str = ""
    initrd: bytes = field(default=b"", repr=False)
    acpi: bool = False


def load(
    what: Load,
    memory: GuestMemory,
    size: int,
    vcpus: int,
    virtio: Sequence[VirtioPlace] = (),
    *,
    hpet: bool = False,
) -> Placed:
    """Put a kernel, its ramdisk and what it is told into memory of ``size`` bytes.

    Raises `NotAKernel` for a file of no known protocol, `MachineError` when something does not
    fit, `KernelDamaged`.
    """
    stretches = memory_map(size)
    protocol, image = _image(what.kernel)
    _check(image, top_of_low_memory(size))
    initrd = _initrd_place(what, protocol, image, top_of_low_memory(size))
    told, entry = _told(protocol, what, stretches, initrd)
    for address, data in {**image.pieces, **told}.items():
        _put(memory, address, data)
    if initrd:
        _put(memory, initrd[0], what.initrd)
    _put(memory, COMMAND_LINE, _command_line(what, protocol))
    _put(memory, MP_TABLE, mp_table(vcpus))
    if what.acpi:
        _put(memory, RSDP, acpi_tables(vcpus, devices=virtio, with_hpet=hpet))
    return Placed(protocol, replace(entry, rip=image.entry), image.end, initrd)


def _check(image: Image, top: int) -> None:
    """It is within the memory below 4 GiB, zeroed parts included, and is entered within itself."""
    if image.end > top:
        raise MachineError(
            f"the kernel needs memory up to {image.end:#x}, and the guest has it up to {top:#x}",
            advice="Give it more memory (--memory).",
        )
    if not min(image.pieces) <= image.entry < image.end:
        raise MachineError(f"the kernel is entered at {image.entry:#x}, outside of itself")


def _image(file: memoryview) -> tuple[str, Image]:
    if bzimage_format.is_bzimage(file):
        return "bzImage", bzimage.image(file)
    if bytes(file[:4]) == _ELF_MAGIC:
        elf = parse_programs(file)
        entry = pvh_entry(elf.notes)
        if entry is not None:
            return "PVH", elf_image(elf, entry)
    header = multiboot.find_header(file)
    if header is None:
        raise NotAKernel("neither a PVH note, nor a Linux boot header, nor a multiboot header")
    return "multiboot", multiboot.image(file, header)


def _told(
    protocol: str, what: Load, memory: Sequence[Stretch], initrd: tuple[int, int] | None
) -> Told:
    if protocol == "bzImage":
        return bzimage.zero_page(what.kernel, memory, initrd, rsdp=RSDP if what.acpi else 0)
    if protocol == "multiboot":
        return multiboot.information(memory, initrd)
    modules = [Module(*initrd)] if initrd else []
    return start_info(memory, modules, rsdp=RSDP if what.acpi else 0), Entry(0, rbx=START_INFO)


def _initrd_place(what: Load, protocol: str, image: Image, top: int) -> tuple[int, int] | None:
    """As high as it goes: kernels make their first page tables after their own end."""
    if not what.initrd:
        return None
    if protocol == "bzImage":
        top = min(top, bzimage.highest_initrd(what.kernel) + 1)
    address = (top - len(what.initrd)) // PAGE * PAGE
    if address < image.end:
        needed = image.end + len(what.initrd)
        raise MachineError(
            f"the kernel and the ramdisk need {-(-needed >> 20)} MiB, and there are {top >> 20}",
            advice="Give it more memory (--memory).",
        )
    return address, len(what.initrd)


def _command_line(what: Load, protocol: str) -> bytes:
    """As the user's terminal gave its bytes, and a final NUL."""
    data = what.command_line.encode(errors="surrogateescape")
    if b"\0" in data:
        raise MachineError("a command line cannot hold a NUL")
    if len(data) >= COMMAND_LINE_BYTES:
        raise MachineError(
            f"the command line has {len(data)} bytes; there is room for {COMMAND_LINE_BYTES - 1}"
        )
    if protocol == "bzImage":
        bzimage.check_command_line(what.kernel, len(data))
    return data + b"\0"


def _put(memory: GuestMemory, address: int, data: bytes | memoryview) -> None:
    try:
        memory.write(address, data)
    except ValueError:
        raise MachineError(
            f"{len(data)} bytes do not fit at {address:#x}: the guest has no memory there",
            advice="Give it more memory (--memory).",
        ) from None
