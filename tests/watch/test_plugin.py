"""The plugin: which instructions it watches, against the disassembler; its arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from timehands.machines.build import PAYLOADS, compiler
from timehands.watch.plan import Function, Plan
from timehands.watch.plugin import plugin_path, watcher_for
from timehands.watch.records import Kind

CLASSIFIER = r"""
#include <stdio.h>
#include "watch.h"

int main(void)
{
    unsigned n;
    while (scanf("%u", &n) == 1) {
        uint8_t code[16] = {0};
        struct site site = {0};
        for (unsigned i = 0, byte; i < n && scanf("%x", &byte) == 1; i++)
            code[i] = (uint8_t)byte;
        unsigned kind = site_classify(code, n, &site);
        printf("%u %u %d %u %d\n", kind, site.width, site.imm_port, site.port,
               site_is_clock_mmio(code, n));
    }
    return 0;
}
"""
KINDS = {
    "cpuid": Kind.CPUID, "rdtsc": Kind.RDTSC, "rdtscp": Kind.RDTSC, "rdmsr": Kind.RDMSR,
    "wrmsr": Kind.WRMSR, "in": Kind.IN, "out": Kind.OUT,
}  # fmt: skip
WIDTHS = {"al": 1, "ax": 2, "eax": 4}
#: Everything that is watched, and what looks like it.
ASSEMBLY = r"""
cpuid; rdtsc; rdtscp; rdmsr; wrmsr; rdpmc; xgetbv; swapgs; monitor; mwait; clts; ud2; syscall
in $0x40, %al; in $0x40, %ax; in $0x71, %eax; in %dx, %al; in %dx, %ax; in %dx, %eax
out %al, $0x43; out %ax, $0x43; out %eax, $0xcf; out %al, %dx; out %ax, %dx; out %eax, %dx
rep; rdtsc
.byte 0x48; rdtsc
.byte 0x66; cpuid
insb; insl; outsb; outsl; int $0x40; int3; iretq; hlt; cli; sti; nop; pause; ret; ret $8
loop .; jrcxz .; call .; jmp .; call *%rax; enter $0x31, $0; lret; push $0x0fa2
mov $0xa20f, %eax; mov $0x310f, %eax; add $0x300f, %eax; nopw 0xa2(%rax,%rax,1); bswap %eax
movabs $0x310fa20f3a0f, %rax; lea 0x31(%rip), %rax; mov %cr0, %rax; mov %rax, %cr3; wbinvd; invd
"""
MMIO = {
    "mov 0xffffffffff5fd390(%rdi), %eax": True,
    "mov %esi, -0xa03000(%rdi)": True,
    "mov %eax, 0x380(%rbx)": True,
    "mov 0x390(%rbx,%rcx,4), %eax": True,
    "movl $0x1000, 0x380(%rbx)": True,
    "mov 0x80(%rbx), %eax": False,
    "mov 0x1000(%rbx), %eax": False,
    "mov %eax, %ebx": False,
    "mov (%rax), %eax": False,
    "mov 0x1234(%rip), %eax": False,
    "add %eax, 0x380(%rbx)": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("classifier")
    (made / "c.c").write_text(CLASSIFIER)
    sources = [made / "c.c", PAYLOADS / "watch_sites.c"]
    command = [compiler(), "-Wall", "-fsanitize=undefined", "-I", PAYLOADS, "-o", made / "c"]
    subprocess.run([*command, *sources], check=True, capture_output=True)
    return made


def disassembled(folder: Path, assembly: str) -> list[tuple[str, str]]:
    """Bytes and text of each instruction, as objdump tells them."""
    objdump = shutil.which("objdump") or pytest.skip("no objdump")
    (folder / "a.s").write_text(assembly + "\n")
    subprocess.run([compiler(), "-c", "-o", folder / "a.o", folder / "a.s"], check=True)
    done = subprocess.run(
        [objdump, "-d", "-w", folder / "a.o"], capture_output=True, text=True, check=True
    )
    rows = (line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 2)
    return [(row[1].strip(), row[2].strip()) for row in rows]


def classified(folder: Path, codes: list[str]) -> list[list[int]]:
    given = "".join(f"{len(code.split())} {code}\n" for code in codes)
    done = subprocess.run(
        [folder / "c"], input=given, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def test_exactly_the_instructions_that_touch_clocks_are_watched(folder: Path) -> None:
    rows = disassembled(folder, ASSEMBLY)
    assert len(rows) > 60
    for (code, text), told in zip(rows, classified(folder, [r[0] for r in rows]), strict=True):
        words = [w for w in text.split() if w not in ("rex.W", "data16", "repz", "rep")]
        kind = KINDS.get(words[0] if words else "", 0)
        assert told[0] == kind, (code, text)
        if kind in (Kind.IN, Kind.OUT):
            register = re.search(r"%(al|ax|eax)\b", text)
            port = re.search(r"\$0x([0-9a-f]+)", text)
            assert register, text
            assert told[1:4] == [
                WIDTHS[register[1]],
                int(port is not None),
                int(port[1], 16) if port else 0,
            ], text


def test_moves_to_the_registers_of_clock_devices_are_watched_by_their_address(
    folder: Path,
) -> None:
    rows = disassembled(folder, "\n".join(MMIO))
    told = classified(folder, [row[0] for row in rows])
    assert [bool(row[4]) for row in told] == list(MMIO.values())


def test_instructions_cut_short_are_read_no_further(folder: Path) -> None:
    rows = disassembled(folder, ASSEMBLY + "\n".join(MMIO))
    codes = [" ".join(row[0].split()[:n]) for row in rows for n in range(1, len(row[0].split()))]
    assert len(classified(folder, codes)) == len(codes)


def test_it_is_built_once() -> None:
    assert plugin_path() == plugin_path()


def test_its_arguments_say_what_the_plan_needs(tmp_path: Path) -> None:
    path = tmp_path / "a,b"
    anchored = Plan((Function("f", 1, 2, anchor=True, code=b"12345678"),))
    assert watcher_for(path, anchored, steady=False).arguments == (
        f"plan={str(path).replace(',', ',,')}",
    )
    assert watcher_for(path, Plan(), steady=True).arguments[1:] == ("steady=on", "slide=none")
