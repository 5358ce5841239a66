from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import stat
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels import build
from timehands.errors import (
    HostError,
    KernelDamaged,
    KernelError,
    KernelUnreadable,
    NotAKernel,
    WrongArchitecture,
)
from timehands.kernels import compression, kernel
from timehands.kernels.enums import Compression, Container, SymbolSource, TypeSource
from timehands.kernels.kernel import Kernel

LINUX = build.linux_elf(build.LAYOUTS["6.4-relative"])
BZIMAGE = build.bzimage(build.lz4_legacy(LINUX), len(LINUX))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "timehands" / "kernels"


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "kernel"
    path.write_bytes(content)
    return path


def test_a_bzimage_says_what_it_is(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    assert (found.format, found.os, found.os_version) == ("bzImage (lz4)", "linux", "6.1.0-test")
    assert found.container is Container.BZIMAGE
    assert found.banner.startswith("Linux version 6.1.0-test (a@b)")
    assert (found.entry64, found.pvh_entry) == (build.PHYSICAL, 0x1000850)
    assert found.bzimage_64bit_entry
    assert found.arch == "x86-64"
    assert (found.size, len(found.sha256)) == (len(BZIMAGE), 64)
    assert bytes(found.unpacked()) == LINUX


def test_symbols_come_from_kallsyms(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    assert found.symbol_source is SymbolSource.KALLSYMS
    assert [tuple(s) for s in found.symbols] == build.symbols()


@pytest.mark.parametrize(
    ("pack", "form"),
    [
        (bytes, "ELF64"),
        (gzip.compress, "ELF64 (gzip)"),
        (bz2.compress, "ELF64 (bzip2)"),
        (lzma.compress, "ELF64 (xz)"),
        (lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE), "ELF64 (lzma)"),
        (build.lz4_legacy, "ELF64 (lz4)"),
        (build.lzop, "ELF64 (lzo)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_elf_kernel_may_be_packed(tmp_path: Path, pack: object, form: str) -> None:
    found = Kernel.open(_file(tmp_path, pack(LINUX)))  # type: ignore[operator]
    assert (found.format, bytes(found.unpacked())) == (form, LINUX)
    assert not found.bzimage_64bit_entry


def test_an_elf_kernel_is_its_own_unpacked_file(tmp_path: Path) -> None:
    path = _file(tmp_path, LINUX)
    assert Kernel.open(path).elf_path(tmp_path / "elsewhere") == path


def test_the_unpacked_file_is_private_and_written_once(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    path = found.elf_path(tmp_path / "out")
    assert path.read_bytes() == LINUX
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat().st_ino
    assert Kernel.open(found.path).elf_path(tmp_path / "out").stat().st_ino == before
    assert list(path.parent.iterdir()) == [path]


def test_an_unpacked_file_that_was_altered_is_written_anew(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    path = found.elf_path()
    path.write_bytes(LINUX[:-1] + b"!")
    assert Kernel.open(found.path).elf_path().read_bytes() == LINUX


def test_a_full_disk_is_the_hosts_fault(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot be written"):
        found.elf_path(tmp_path / "file")


def test_the_second_time_comes_from_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, BZIMAGE)
    first = Kernel.open(path)
    symbols = list(first.symbols)
    monkeypatch.setattr(kernel, "unpack", None)
    second = Kernel.open(path)
    assert second.facts == first.facts
    assert list(second.symbols) == symbols
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in cache.iterdir())


@pytest.mark.parametrize("suffix", ["json", "symbols"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 100, None])
def test_a_broken_cache_is_rebuilt(
    tmp_path: Path, cache: Path, suffix: str, damage: bytes | None
) -> None:
    path = _file(tmp_path, BZIMAGE)
    first = Kernel.open(path)
    symbols = list(first.symbols)
    entry = next(cache.glob(f"*.{suffix}"))
    content = entry.read_bytes()
    entry.write_bytes(content[: len(content) // 2] if damage is None else damage)
    second = Kernel.open(path)
    assert (second.facts, list(second.symbols)) == (first.facts, symbols)
    assert entry.read_bytes() == content


def test_without_a_cache_nothing_is_written(tmp_path: Path, cache: Path) -> None:
    assert len(Kernel.open(_file(tmp_path, BZIMAGE), cache=False).symbols) == 700
    assert not cache.exists()


def test_a_user_without_a_home_can_read_but_not_unpack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    found = Kernel.open(_file(tmp_path, BZIMAGE))
    assert len(found.symbols) == 700
    assert found.elf_path(tmp_path / "out").read_bytes() == LINUX
    with pytest.raises(HostError, match="XDG_CACHE_HOME"):
        found.elf_path()


def test_a_32bit_pvh_guest_is_a_kernel(tmp_path: Path) -> None:
    parts = [
        build.Part(".text", b"\xf4" * 16, 0x100000),
        build.Part(".notes", build.pvh_note(0x100000, 4), kind=7, segment=4),
    ]
    found = Kernel.open(_file(tmp_path, build.elf(parts, bits=32, machine=3, entry=0x100000)))
    assert (found.format, found.arch, found.os) == ("ELF32", "i386", "unknown")
    assert (found.entry64, found.pvh_entry) == (None, 0x100000)
    assert (len(found.symbols), found.symbol_source) == (0, None)


def test_a_virtual_entry_is_made_physical(tmp_path: Path) -> None:
    part = build.Part(".text", bytes(64), build.TEXT)
    found = Kernel.open(_file(tmp_path, build.elf([part], entry=build.TEXT + 8)))
    assert found.entry64 == build.PHYSICAL + 8


def test_types_unwinding_and_configuration_are_reported(tmp_path: Path) -> None:
    config = b"CONFIG_HZ=250\nCONFIG_KVM_GUEST=y\n"
    writer = build.BtfWriter()
    writer.struct("timekeeper", 8, [("mult", 0, 32)])
    extra = [
        build.Part(".BTF", writer.bytes(), segment=0),
        build.Part(".debug_info", b"x", segment=0, flags=0),
        build.Part(".orc_unwind", b"x", segment=0),
        build.Part(".orc_unwind_ip", b"x", segment=0),
    ]
    data = build.linux_elf(extra=extra, before=b"IKCFG_ST" + gzip.compress(config) + b"IKCFG_ED")
    found = Kernel.open(_file(tmp_path, data))
    assert found.types == (TypeSource.DWARF, TypeSource.BTF)
    assert found.orc
    assert found.config == config.decode()
    assert found.btf
    member = found.btf.member("timekeeper", "mult")
    assert member
    assert member.offset == 4


def test_a_bare_kernel_reports_what_it_lacks(tmp_path: Path) -> None:
    found = Kernel.open(_file(tmp_path, build.linux_elf()))
    assert (found.types, found.orc, found.config, found.btf) == ((), False, None, None)
    assert found.clock_functions == {}


def test_clock_functions_go_by_their_names_in_the_source(tmp_path: Path) -> None:
    names = [
        "tsc_init",
        "clockevents_config.part.0",
        "lapic_init",
        "quick_pit_calibrate.isra.0.cold",
    ]
    triples = build.symbols()
    triples += [(triples[-1][0] + 64 * n, "t", name) for n, name in enumerate(names, 1)]
    found = Kernel.open(_file(tmp_path, build.linux_elf(build.LAYOUTS["7.0-place"], triples[20:])))
    assert found.clock_functions == {"linux": ["tsc_init", "clockevents_config"]}


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (b"", NotAKernel, "neither an ELF file nor a bzImage"),
        (b"#!/bin/sh\n", NotAKernel, "neither"),
        (b"]\0\0" + b"x" * 100, NotAKernel, "neither"),
        (gzip.compress(b"070701 an initrd"), NotAKernel, "not an ELF file"),
        (gzip.compress(LINUX)[:-3000], KernelDamaged, "cut short"),
        (BZIMAGE[:-500], KernelDamaged, "cut short"),
        (b"\x7fELF", KernelDamaged, "broken"),
        (bytes(56) + b"ARM\x64" + bytes(99), WrongArchitecture, "AArch64"),
        (b"MZ\0\0zimg" + bytes(99), WrongArchitecture, "zboot"),
        (gzip.compress(bytes(56) + b"RSC\x05" + bytes(9)), WrongArchitecture, "RISC-V"),
        (
            build.elf([build.Part(".text", b"x", 4096)], bits=32, machine=3),
            WrongArchitecture,
            "PVH",
        ),
        (build.elf([build.Part(".text", b"x", segment=0)], kind=1), NotAKernel, "nothing to load"),
    ],
    ids=[
        "empty",
        "script",
        "lzma-like",
        "initrd",
        "cut-gzip",
        "cut-bzimage",
        "only-magic",
        "arm64-image",
        "efi-zboot",
        "riscv-gz",
        "i386",
        "object-file",
    ],
)
def test_what_is_no_kernel_of_ours_is_refused(
    tmp_path: Path, content: bytes, error: type[KernelError], says: str
) -> None:
    path = _file(tmp_path, content)
    with pytest.raises(error, match=says) as caught:
        Kernel.open(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)


def test_a_program_for_user_space_is_refused() -> None:
    with pytest.raises(NotAKernel, match="user space"):
        Kernel.open("/bin/sh")


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "device", "nul"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, what: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    path = {"device": "/dev/zero", "nul": "a\0b"}.get(what, tmp_path / what)
    with pytest.raises(KernelUnreadable):
        Kernel.open(path)


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    path = _file(tmp_path, LINUX)
    path.chmod(0)
    with pytest.raises(KernelUnreadable, match="Permission denied"):
        Kernel.open(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = _file(tmp_path, b"\x7fELF")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(KernelUnreadable, match="larger than"):
        Kernel.open(path)


def test_a_bomb_is_damaged_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"\x7fELF" + bytes(64 << 20), 1)
    monkeypatch.setattr(compression.decompress, "__defaults__", (16 << 20,))
    path = _file(tmp_path, packed)
    tracemalloc.start()
    with pytest.raises(KernelDamaged, match="grows past 16 MiB"):
        Kernel.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 << 20


SMALL = build.linux_elf(build.LAYOUTS["7.0-place"], build.symbols(300, percpu=0))
SUBJECTS = {
    "elf": SMALL,
    "elf-symtab": build.elf(
        [
            build.Part(".text", bytes(64), build.TEXT, flags=6),
            build.Part(".symtab", bytes(24) + struct.pack("<IBBHQQ", 1, 18, 0, 1, 9, 9), kind=2),
            build.Part(".strtab", b"\0tsc_init\0", kind=3, segment=0),
        ]
    ),
    "bzimage": build.bzimage(build.lz4_legacy(SMALL), len(SMALL)),
    "percpu": build.linux_elf(build.LAYOUTS["6.2-relative"], build.symbols(300)),
}


@pytest.mark.parametrize("subject", SUBJECTS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_brings_another_error(
    tmp_path_factory: pytest.TempPathFactory, subject: str, data: st.DataObject
) -> None:
    content = bytearray(SUBJECTS[subject])
    for _ in range(data.draw(st.integers(0, 6))):
        # headers are where damage matters: half of it goes to either end
        place = data.draw(st.one_of(st.integers(0, 700), st.integers(0, len(content) - 1)))
        content[min(place, len(content) - 1)] = data.draw(st.integers(0, 255))
    keep = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path_factory.mktemp("fuzz") / "kernel"
    path.write_bytes(content[:keep])
    with contextlib.suppress(KernelError):
        found = Kernel.open(path, cache=False)
        assert len(list(found.symbols)) == len(found.symbols)
        assert isinstance(found.clock_functions, dict)


def test_formats_have_words_for_every_number() -> None:
    from timehands.kernels import descriptions, enums

    for words, numbers in (
        (descriptions.COMPRESSION, enums.Compression),
        (descriptions.CONTAINER, enums.Container),
        (descriptions.SYMBOL_SOURCE, enums.SymbolSource),
        (descriptions.TYPE_SOURCE, enums.TypeSource),
        (descriptions.ADDRESS_ENCODING, enums.AddressEncoding),
        (descriptions.MACHINE, enums.ElfMachine),
    ):
        assert set(words) == set(numbers)  # type: ignore[call-overload]
    assert Compression.NONE not in compression.MAGICS
