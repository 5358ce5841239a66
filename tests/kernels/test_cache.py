from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from timehands.kernels.cache import KernelCache, default_folder


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "timehands" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says: ignore it
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "timehands" / "kernels"


def test_facts_come_back(tmp_path: Path) -> None:
    KernelCache("a" * 64, tmp_path).write_facts({"os": "linux", "entry": 1 << 63})
    assert KernelCache("a" * 64, tmp_path).read_facts() == {"os": "linux", "entry": 1 << 63}
    assert KernelCache("b" * 64, tmp_path).read_facts() is None


def test_altered_facts_are_none(tmp_path: Path) -> None:
    KernelCache("a", tmp_path).write_facts({"os": "linux"})
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace("linux", "minix"))
    assert KernelCache("a", tmp_path).read_facts() is None
    file.write_text("[]")
    assert KernelCache("a", tmp_path).read_facts() is None


def test_an_elf_file_of_another_content_is_none(tmp_path: Path) -> None:
    cache = KernelCache("a", tmp_path)
    cache.write_elf(memoryview(b"kernel"))
    good = zlib.crc32(b"kernel")
    assert bytes(cache.read_elf(6, good) or b"") == b"kernel"
    assert cache.read_elf(6, good ^ 1) is None
    assert cache.read_elf(7, good) is None
    assert KernelCache("b", tmp_path).read_elf(6, good) is None


def test_only_the_newest_kernels_are_kept(tmp_path: Path) -> None:
    for number in range(20):
        cache = KernelCache(f"{number:02}", tmp_path)
        cache.write_elf(memoryview(b"elf"))
        cache.write_facts({})
        os.utime(tmp_path / f"{number:02}.json", (number, number))
    KernelCache("20", tmp_path).write_facts({})
    kept = sorted(file.stem for file in tmp_path.glob("*.json"))
    assert kept == [f"{number:02}" for number in range(9, 21)]
    assert len(list(tmp_path.glob("*.elf"))) == 11


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    KernelCache("a", tmp_path).write_facts({"os": "linux"})
    assert list(tmp_path.iterdir()) == []
