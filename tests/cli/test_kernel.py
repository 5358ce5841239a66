from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import pytest

from kernels import build
from timehands.cli import kernel as verb
from timehands.errors import KernelUnreadable

NAMES = ["tsc_init", "kvmclock_init", "mark_tsc_unstable"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small bzImage with everything that the verb reports."""
    triples = build.symbols()
    triples += [(triples[-1][0] + 64 * n, "t", name) for n, name in enumerate(NAMES, 1)]
    config = b"IKCFG_ST" + gzip.compress(b"CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n")
    elf = build.linux_elf(build.LAYOUTS["6.4-relative"], triples, before=config)
    path = tmp_path / "vmlinuz"
    path.write_bytes(build.bzimage(build.lz4_legacy(elf), len(elf)))
    return path


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    args = parser.parse_args(["kernel", *words])
    status: int = args.run(args)
    return status


def test_the_page_says_what_the_kernel_says(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(str(image)) == 0
    text = capsys.readouterr().out
    for line in (
        f"{image}: Linux 6.1.0-test",
        "Banner     Linux version 6.1.0-test (a@b) (gcc) #1 SMP Debian 6.1.1-1",
        "Entry      PVH 0x1000850, 64-bit ELF 0x1000000, 64-bit bzImage",
        "Symbols    703 from kallsyms",
        "Types      none: neither DWARF nor BTF",
        "Config     embedded (IKCONFIG), 2 options set",
        "Clock functions of Linux: 3",
        "  tsc      tsc_init mark_tsc_unstable",
        "  pvclock  kvmclock_init",
    ):
        assert line in text.splitlines()
    assert "bzImage (lz4), x86-64" in text
    assert max(map(len, text.splitlines()[1:])) <= verb.WIDTH


def test_json_has_the_documented_keys(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(str(image), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    page = (Path(__file__).parents[2] / "docs" / "kernel.md").read_text()
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    nested = {f"{key}.{inner}" for key in ("entry", "symbols") for inner in found[key]}
    assert set(found) - {"entry", "symbols"} | nested == documented
    assert found["symbols"] == {"source": "kallsyms", "count": 703}
    assert found["entry"] == {"elf64": 0x1000000, "pvh": 0x1000850, "bzimage64": True}
    assert found["clock_functions"] == {"linux": ["tsc_init", "mark_tsc_unstable", "kvmclock_init"]}
    assert (found["os"], found["format"], found["compression"]) == ("linux", "bzimage", "lz4")


def test_a_bare_guest_reports_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bare"
    path.write_bytes(build.elf([build.Part(".text", b"\xf4", build.TEXT)]))
    assert _run(str(path)) == 0
    text = capsys.readouterr().out
    assert "unknown operating system" in text
    assert "no PVH note: QEMU cannot boot its ELF" in text
    assert "none: neither an ELF symbol table nor kallsyms" in text
    assert "No clock function of a known operating system" in text


def test_no_cache_leaves_no_cache(image: Path, cache: Path) -> None:
    assert _run(str(image), "--no-cache") == 0
    assert not cache.exists()
    assert _run(str(image)) == 0
    assert cache.exists()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KernelUnreadable, match="No such file"):
        _run(str(tmp_path / "missing"))
