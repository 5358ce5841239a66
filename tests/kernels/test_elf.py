"""The oracle is readelf, over a program that gcc made."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from kernels import build
from timehands.errors import KernelDamaged, WrongArchitecture
from timehands.kernels.elf import ElfImage

SOURCE = """
static int counter = 3; int tsc_khz; const int rate = 250; static int unset[4];
__attribute__((weak)) int weak_object = 1;
__attribute__((weak)) void arch_init(void) {}
static __attribute__((noinline)) int local(int x) { return x * counter + unset[x & 3]; }
int tsc_init(int x) { return local(x) + tsc_khz + rate + weak_object; }
void _start(void) { arch_init(); tsc_init(2); for (;;) ; }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small program without any library, as gcc makes it."""
    if not shutil.which("gcc") or not shutil.which("readelf"):
        pytest.skip("gcc and readelf are not installed")
    folder = tmp_path_factory.mktemp("elf")
    (folder / "k.c").write_text(SOURCE)
    options = "-O1 -nostdlib -static -fno-pie -no-pie -Wl,--build-id=none"
    command = ["gcc", *options.split(), "-o", "k", "k.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "k"


def _parse(path: Path) -> ElfImage:
    return ElfImage.parse(memoryview(path.read_bytes()))


def test_segments_are_those_of_readelf(program: Path) -> None:
    listed = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True)
    expected = [
        [int(field, 16) for field in line.split()[1:6]]
        for line in listed.stdout.splitlines()
        if line.strip().startswith("LOAD ")
    ]
    found = _parse(program).loaded
    assert [[s.offset, s.vaddr, s.paddr, s.filesz, s.memsz] for s in found] == expected


def test_notes_are_read_from_their_segment() -> None:
    elf = ElfImage.parse(memoryview(build.linux_elf(entry=0x1234)))
    assert [(n.owner, n.type) for n in elf.notes] == [(b"Xen", 6), (b"Xen", 18)]
    assert elf.notes[1].descriptor == (0x1234).to_bytes(8, "little")


def test_an_offset_has_an_address_where_it_is_loaded() -> None:
    elf = ElfImage.parse(memoryview(build.linux_elf()))
    rodata = elf.section(".rodata")
    assert rodata is not None
    assert elf.address_of(rodata.offset + 5) == build.RODATA + 5
    assert elf.address_of(1 << 40) is None


@pytest.mark.parametrize(("machine", "name"), [(183, "AArch64"), (243, "RISC-V"), (999, "999")])
def test_another_processor_is_named(machine: int, name: str) -> None:
    data = build.elf([build.Part(".text", b"x", build.TEXT)], machine=machine)
    with pytest.raises(WrongArchitecture, match=name):
        ElfImage.parse(memoryview(data))


def test_a_file_cut_in_a_segment_is_damaged() -> None:
    data = build.linux_elf(build.LAYOUTS["6.4-relative"])
    with pytest.raises(KernelDamaged, match=r"broken|cut short"):
        ElfImage.parse(memoryview(data[:5000]))


def test_notes_that_lie_about_their_size_end_the_notes() -> None:
    lie = struct.pack("<III", 4, 0xFFFFFFF0, 18) + b"Xen\0"
    parts = [
        build.Part(".text", b"x", build.TEXT),
        build.Part(".notes", build.note(b"Xen", 6, b"linux\0") + lie, kind=7, segment=4),
    ]
    assert len(ElfImage.parse(memoryview(build.elf(parts))).notes) == 1


def test_many_note_segments_over_one_large_note_cost_little() -> None:
    large = build.note(b"Xen", 6, bytes(4 << 20))
    parts = [build.Part(".text", b"x", build.TEXT)]
    parts += [build.Part(f".n{n}", b"", kind=7, segment=4) for n in range(200)]
    data = bytearray(build.elf([*parts, build.Part(".notes", large, kind=7, segment=4)]))
    header = data.index(struct.pack("<Q", len(large))) - 32
    for number in range(1, 201):  # every segment is the last one
        at = 64 + 56 * number
        data[at : at + 56] = data[header : header + 56]
    assert ElfImage.parse(memoryview(data)).notes == ()
