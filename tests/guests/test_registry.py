from __future__ import annotations

from pathlib import Path

import pytest

from guest_kernels.build import System, guest_kernel
from kernels import build
from timehands.guests.registry import KNOWLEDGE, knowledge_named, knowledge_of
from timehands.kernels.kernel import Kernel


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _kernel(folder: Path, content: bytes) -> Kernel:
    path = folder / "kernel"
    path.write_bytes(content)
    return Kernel.open(path, cache=False)


def test_a_linux_kernel_is_known_as_linux(tmp_path: Path) -> None:
    linux = build.linux_elf(build.LAYOUTS["6.4-relative"])
    assert knowledge_of(_kernel(tmp_path, linux)).name == "linux"


@pytest.mark.parametrize("system", ["freebsd", "netbsd", "openbsd"])
def test_the_bsds_are_known_by_their_notes_or_banners(system: System) -> None:
    assert knowledge_of(Kernel.open(guest_kernel(system, "stripped"), cache=False)).name == system


def test_a_kernel_of_no_known_system_is_unknown(tmp_path: Path) -> None:
    parts = [build.Part(".text", b"\xf4" * 64, build.PHYSICAL)]
    assert knowledge_of(_kernel(tmp_path, build.elf(parts))).name == "unknown"


def test_a_recording_finds_its_system_by_name_and_else_nothing() -> None:
    for known in KNOWLEDGE:
        assert knowledge_named(known.name) is known
    assert knowledge_named("plan9").name == "unknown"


def test_names_are_unique() -> None:
    assert len({known.name for known in KNOWLEDGE}) == len(KNOWLEDGE)
