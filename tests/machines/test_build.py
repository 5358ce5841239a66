"""Building payloads: once for each content, with the compiler's own words when it fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from timehands.errors import CompilerMissing
from timehands.machines import build as build_module
from timehands.machines.build import build, compiler

FLAGS = ("-O1",)


@pytest.fixture
def payloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of payloads and a cache of the test's own; the compiler counts its calls."""
    folder = tmp_path / "payloads"
    folder.mkdir()
    (folder / "a.c").write_text('#include "a.h"\nint main(void) { return N; }\n')
    (folder / "a.h").write_text("#define N 7\n")
    monkeypatch.setattr(build_module, "PAYLOADS", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    counting = tmp_path / "cc"
    counting.write_text(f'#!/bin/sh\necho >>{tmp_path}/calls\nexec {compiler()} "$@"\n')
    counting.chmod(0o755)
    monkeypatch.setenv("CC", str(counting))
    return folder


def calls(payloads: Path) -> int:
    log = payloads.parent / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_it_is_built_once_and_runs(payloads: Path) -> None:
    first = build(("a.c", "a.h"), FLAGS, "a")
    assert subprocess.run([first], check=False).returncode == 7
    assert build(("a.c", "a.h"), FLAGS, "a") == first
    assert calls(payloads) == 1


@pytest.mark.parametrize("change", ["source", "header", "flags"])
def test_a_change_makes_it_anew(payloads: Path, change: str) -> None:
    first = build(("a.c", "a.h"), FLAGS, "a")
    flags = FLAGS
    if change == "source":
        (payloads / "a.c").write_text("int main(void) { return 3; }\n")
    elif change == "header":
        (payloads / "a.h").write_text("#define N 3\n")
    else:
        flags = ("-O2",)
    assert build(("a.c", "a.h"), flags, "a") != first
    assert calls(payloads) == 2


def test_no_compiler_is_told_with_the_command_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompilerMissing, match="no C compiler was found") as caught:
        compiler()
    assert caught.value.mend.startswith("apt-get install")


def test_an_error_of_the_compiler_is_shown_and_nothing_is_cached(payloads: Path) -> None:
    (payloads / "a.c").write_text("this is no C\n")
    with pytest.raises(CompilerMissing, match="could not build") as caught:
        build(("a.c",), FLAGS, "a")
    assert "error" in caught.value.output
    cache = payloads.parent / "cache" / "timehands" / "payloads"
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("script", ["exit 0", "exit 3"])
def test_a_compiler_that_makes_nothing_has_failed(
    payloads: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    useless = payloads.parent / "useless"
    useless.write_text(f"#!/bin/sh\n{script}\n")
    useless.chmod(0o755)
    monkeypatch.setenv("CC", str(useless))
    with pytest.raises(CompilerMissing, match="could not build"):
        build(("a.c",), FLAGS, "a")


def test_a_compiler_that_hangs_is_given_up(payloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = payloads.parent / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("CC", str(slow))
    monkeypatch.setattr(build_module, "COMPILE_SECONDS", 0.2)
    with pytest.raises(CompilerMissing, match="did not finish"):
        build(("a.c",), FLAGS, "a")


def test_a_program_that_cannot_be_run_is_told(
    payloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = payloads.parent / "broken"
    broken.write_bytes(b"\x7fELF no program")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(CompilerMissing, match="cannot be run"):
        build(("a.c",), FLAGS, "a")
