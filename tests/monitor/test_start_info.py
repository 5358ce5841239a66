"""hvm_start_info, read by a C compiler that lays the structures out by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from timehands.errors import CompilerMissing
from timehands.machines.build import compiler
from timehands.monitor.layout import (
    COMMAND_LINE,
    GIB,
    MEMORY_MAP,
    MODULE_LIST,
    START_INFO,
    memory_map,
)
from timehands.monitor.start_info import MAX_MODULES, Module, start_info

READER = r"""
#include <stdint.h>
#include <stdio.h>
struct info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};
struct module { uint64_t paddr, size, cmdline_paddr, reserved; };
struct entry { uint64_t addr, size; uint32_t type, reserved; };
int main(void)
{
    static char memory[0x8000];
    if (fread(memory, 1, sizeof memory, stdin) != sizeof memory)
        return 1;
    struct info *i = (void *)(memory + 0x6000);
    printf("%x %u %u %u %lx %lx %lx %lx %u\n", i->magic, i->version, i->flags, i->nr_modules,
           i->modlist_paddr, i->cmdline_paddr, i->rsdp_paddr, i->memmap_paddr, i->memmap_entries);
    for (unsigned n = 0; n < i->nr_modules; n++) {
        struct module *m = (struct module *)(memory + i->modlist_paddr) + n;
        printf("%lx %lx %lx\n", m->paddr, m->size, m->cmdline_paddr);
    }
    for (unsigned n = 0; n < i->memmap_entries; n++) {
        struct entry *e = (struct entry *)(memory + i->memmap_paddr) + n;
        printf("%lx %lx %u\n", e->addr, e->size, e->type);
    }
    return 0;
}
"""


Read = Callable[[dict[int, bytes]], list[list[str]]]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """What the program finds in memory with these things in it."""
    folder = tmp_path_factory.mktemp("start-info")
    (folder / "reader.c").write_text(READER)
    program = folder / "reader"
    try:
        command = [compiler(), "-w", "-o", str(program), str(folder / "reader.c")]
    except CompilerMissing as error:
        pytest.skip(error.message)
    subprocess.run(command, check=True, timeout=60)

    def found(placed: dict[int, bytes]) -> list[list[str]]:
        memory = bytearray(0x8000)
        for address, data in placed.items():
            memory[address : address + len(data)] = data
        done = subprocess.run([program], input=memory, stdout=subprocess.PIPE, check=True)
        return [line.split() for line in done.stdout.decode().splitlines()]

    return found


def test_the_structure_says_where_everything_is(read: Read) -> None:
    stretches = memory_map(4 * GIB)
    modules = [Module(0x1000000, 0x2345), Module(0x2000000, 1, 0x20000)]
    info, *rest = read(start_info(stretches, modules, rsdp=0xE0000))
    wanted = [0x336EC578, 1, 0, 2, MODULE_LIST, COMMAND_LINE, 0xE0000, MEMORY_MAP, len(stretches)]
    assert [int(word, 16) for word in info] == wanted
    assert rest[:2] == [["1000000", "2345", "0"], ["2000000", "1", "20000"]]
    assert [(int(a, 16), int(s, 16), int(t)) for a, s, t in rest[2:]] == [
        (s.address, s.size, s.kind) for s in stretches
    ]


def test_without_modules_the_list_is_nowhere(read: Read) -> None:
    info = read(start_info(memory_map(GIB)))[0]
    assert (info[3], info[4]) == ("0", "0")


def test_as_many_modules_as_fit_end_where_the_memory_map_begins(read: Read) -> None:
    placed = start_info(memory_map(GIB), [Module(0x1000000, 1)] * MAX_MODULES)
    assert MODULE_LIST + len(placed[MODULE_LIST]) <= MEMORY_MAP
    assert len(read(placed)) == 1 + MAX_MODULES + len(memory_map(GIB))
    with pytest.raises(ValueError, match="there is room for"):
        start_info(memory_map(GIB), [Module(0x1000000, 1)] * (MAX_MODULES + 1))


def test_it_is_at_the_address_that_other_monitors_use() -> None:
    assert START_INFO == 0x6000
