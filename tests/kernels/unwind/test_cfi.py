"""Call frame information: the oracle of the index is readelf; backtraces are in test_walk."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import build
from kernels.unwind.stacks import CALL, STACK, Stack, kernel
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind import backtrace
from timehands.kernels.unwind.cfi import Cfi

SOURCE = """
int sink;
__attribute__((noinline)) int leaf(int a) { return a + sink; }
__attribute__((noinline)) int frame(int a) { int b = leaf(a); return b * leaf(b) + a; }
void _start(void) { for (;;) frame(1); }
"""


@pytest.fixture(scope="module", params=["-gdwarf-4 -fno-asynchronous-unwind-tables", "-O2"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with .debug_frame, and one with .eh_frame."""
    for tool in ("gcc", "readelf"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    folder = tmp_path_factory.mktemp("cfi")
    (folder / "p.c").write_text(SOURCE)
    options = f"{request.param} -nostdlib -static -fno-pie -no-pie -Wl,--build-id=none"
    subprocess.run(["gcc", *options.split(), "-o", "p", "p.c"], cwd=folder, check=True, timeout=60)
    return folder / "p"


def test_the_functions_that_are_covered_are_those_that_readelf_lists(program: Path) -> None:
    command = ["readelf", "--debug-dump=frames", str(program)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    listed = re.findall(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)", text)
    tables = Cfi(Kernel.open(program, cache=False))
    spans = [span[:2] for table in tables._tables for span in table.spans]
    assert spans == sorted((int(start, 16), int(end, 16)) for start, end in listed)
    for start, end in spans:
        assert tables.row(start)
        assert tables.row(end - 1)
    assert tables.row(min(spans)[0] - 1) is None
    assert tables.row(max(spans)[1]) is None


@pytest.fixture(scope="module")
def frames(program: Path) -> bytes:
    """The program's section of frames."""
    elf = Kernel.open(program, cache=False).elf
    section = elf.section(".debug_frame") or elf.section(".eh_frame")
    assert section is not None
    return bytes(elf.contents(section))


@given(data=st.data())
def test_broken_tables_never_bring_it_down(
    frames: bytes, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broken = bytearray(frames)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    name = data.draw(st.sampled_from([".debug_frame", ".eh_frame"]))
    part = build.Part(
        name, bytes(broken[: data.draw(st.integers(0, len(broken)))]), flags=0, segment=0
    )
    code = {"start": CALL * 8, "b": CALL * 100}
    opened, at = kernel(tmp_path_factory.mktemp("k"), code, extra=[part])
    registers = {"rip": at["b"] + 5, "rsp": STACK, "rbp": STACK}
    assert backtrace(opened, registers, Stack.of(0, at["start"] + 5, 0, 0)).ended
    tables = Cfi(opened)
    for table in tables._tables:
        for start, end, _ in table.spans[:50]:
            tables.row(start)
            tables.row(max(start, end - 1))
