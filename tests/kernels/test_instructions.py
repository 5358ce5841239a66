"""Finding instructions: the oracle is objdump, over code whose constants look like them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.unwind.stacks import TEXT, kernel
from timehands.errors import UsageError
from timehands.kernels import instructions
from timehands.kernels.cache import KernelCache
from timehands.kernels.instructions import MNEMONICS, Site, find
from timehands.kernels.kernel import Kernel

SOURCE = """
    .globl _start
    .type _start, @function
_start:
    mov $0xf4a20f31, %eax       # hides cpuid, rdtsc's second byte and hlt
    cpuid
    rdtsc; rdtscp; rdmsr; wrmsr
    in $0x40, %al; in %dx, %al; in %dx, %eax; in %dx, %ax; in $0x61, %eax
    out %al, $0x43; out %al, %dx; out %eax, %dx; out %ax, $0x70
    movabs $0xe6e7eeef0f300f32, %rax
    hlt
    ret
    .type other, @function
other:
    lea 0x0f310fa2(%rax), %rbx
    rdtsc
    lock cmpxchg %rax, (%rbx)
    cpuid
    jmp other
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with every instruction, and with what only looks like one."""
    for tool in ("gcc", "objdump"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    folder = tmp_path_factory.mktemp("code")
    (folder / "p.s").write_text(SOURCE)
    options = "-nostdlib -static -no-pie -Wl,--build-id=none"
    subprocess.run(["gcc", *options.split(), "-o", "p", "p.s"], cwd=folder, check=True, timeout=60)
    return folder / "p"


def _by_objdump(path: Path) -> Iterator[tuple[int, str, int, int | None]]:
    """Address, mnemonic, length, port of what objdump shows."""
    command = ["objdump", "-d", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    for at, code, name, operands in re.findall(
        r"^ *([0-9a-f]+):\t([0-9a-f ]+)\t(\w+) *(.*)$", text, re.MULTILINE
    ):
        if name in MNEMONICS:
            port = re.search(r"\$(0x[0-9a-f]+)", operands)
            yield int(at, 16), name, len(code.split()), int(port[1], 16) if port else None


def test_they_are_those_that_objdump_shows(program: Path) -> None:
    opened = Kernel.open(program, cache=False)
    found = {
        (site.address, site.mnemonic, site.length, site.port)
        for name in MNEMONICS
        for site in find(opened, name)
    }
    assert found == set(_by_objdump(program))
    assert {name for _, name, _, _ in found} == set(MNEMONICS)
    assert {site.function for site in find(opened, "cpuid")} == {"_start", "other"}


def test_a_port_keeps_what_names_it_and_what_may_mean_it(program: Path) -> None:
    opened = Kernel.open(program, cache=False)
    assert [site.port for site in find(opened, "out", port=0x43)] == [0x43, None, None]
    assert [site.port for site in find(opened, "in", port=0x80)] == [None, None, None]


def test_without_symbols_the_code_is_gone_through_and_that_is_told(tmp_path: Path) -> None:
    codes = {"a": b"\x90\x0f\xa2\xc3", "b": b"\xb8\x0f\xa2\x0f\xa2\xc3"}
    opened, _ = kernel(tmp_path, codes, symbols=False)
    assert find(opened, "cpuid") == (Site(TEXT + 1, "cpuid", 2, None, ""),)
    assert not find(opened, "cpuid")[0].sure


def test_what_was_found_is_kept_and_a_damaged_keeping_is_not_believed(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = find(Kernel.open(program), "out")
    monkeypatch.setattr(instructions, "_search", lambda *_: iter(()))
    assert find(Kernel.open(program), "out") == first
    kept = next(tmp_path.rglob("*.sites"))
    kept.write_bytes(kept.read_bytes().replace(b"out", b"uot"))
    assert find(Kernel.open(program), "out") == ()
    store = Kernel.open(program).cache
    assert isinstance(store, KernelCache)
    store.write_sites({"in": [[1, 2], "nonsense"]})
    assert find(Kernel.open(program), "in") == ()


def test_an_instruction_that_is_not_looked_for_is_refused_by_name(program: Path) -> None:
    with pytest.raises(UsageError, match="no such instruction: nop"):
        find(Kernel.open(program, cache=False), "nop")


@given(code=st.binary(max_size=300), cut=st.integers(1, 100))
def test_any_bytes_are_gone_through(
    code: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    codes = {"a": code[:cut] + b"\x90", "b": code[cut:] + b"\x0f\xa2"}
    opened, _ = kernel(tmp_path_factory.mktemp("k"), codes)
    text = codes["a"] + codes["b"]
    for name in MNEMONICS:
        for site in find(opened, name):
            assert TEXT <= site.address <= TEXT + len(text) + 16 - site.length
