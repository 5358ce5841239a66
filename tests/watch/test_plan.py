"""Plans as text, read back by the plugin's own C."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from timehands.machines.build import PAYLOADS, compiler
from timehands.watch.plan import MAX_READS, Function, Plan, Read

#: Loads a plan and prints what the plugin would watch, then answers the addresses given to it.
READER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "watch.h"

bool stops_add(uint64_t address)
{
    printf("stop %llx\n", (unsigned long long)address);
    return address;
}

int main(int argc, char **argv)
{
    bool good = functions_load(argv[1]);
    printf("%d %llx\n", good, (unsigned long long)return_thunk);
    for (int i = 2; good && i < argc; i++) {
        uint64_t address = strtoull(argv[i], NULL, 16);
        struct function *f = function_page(address) ? function_around(address) : NULL;
        printf("%d", is_detour(address));
        if (f) {
            printf(" %u %llx %llx %x %02x", f->id, (unsigned long long)f->start,
                   (unsigned long long)f->end, f->flags, f->bytes[0]);
            for (uint32_t n = 0; n < f->n_reads; n++) {
                struct read *r = &f->reads[n];
                printf(" [%u %u %u %u %llx", r->when, r->base, r->form == 's', r->length,
                       (unsigned long long)r->address);
                for (int h = 0; h <= r->hops; h++)
                    printf(" %lld", (long long)r->offset[h]);
                printf("]");
            }
        }
        printf("\n");
    }
    return 0;
}
"""
BASE = 0xFFFFFFFF81000000


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    (folder / "reader.c").write_text(READER)
    sources = [folder / "reader.c", PAYLOADS / "watch_functions.c"]
    command = [compiler(), "-Wall", "-fsanitize=undefined", "-I", PAYLOADS, "-o", folder / "reader"]
    subprocess.run([*command, *sources], check=True, capture_output=True)
    return folder / "reader"


def told(reader: Path, plan: Plan | str, *addresses: int) -> list[str]:
    path = reader.parent / "plan.txt"
    path.write_text(plan if isinstance(plan, str) else plan.text())
    words = [str(reader), str(path), *(f"{address:x}" for address in addresses)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_plugin_understands_functions_reads_and_places(reader: Path) -> None:
    reads = (
        Read("name", 64, (8, 0), argument=0, string=True),
        Read("khz", 4, address=BASE + 0x9000, at_return=True),
        Read("deep", 8, (0, -8, 16, 24), argument=5),
    )
    first = Function("f", BASE, BASE + 0x40, anchor=True, code=b"\xf3\x0f\x1e\xfa", reads=reads,
                     parts=((BASE + 0x5000, BASE + 0x5010),))  # fmt: skip
    second = Function("g", BASE + 0x40, BASE + 0x2040, leave=False, device=True)
    plan = Plan((first, second), BASE + 0x7000, (BASE + 0x8000, BASE + 0x8100))
    shown = f"[0 0 1 64 0 8 0] [1 6 0 4 {BASE + 0x9000:x} 0] [0 5 0 8 0 0 -8 16 24]"
    part = f"{BASE + 0x5000:x} {BASE + 0x5010:x}"
    assert told(
        reader, plan, BASE, BASE + 0x3F, BASE + 0x1000, BASE + 0x500F, BASE + 0x5010,
        BASE + 0x8000, BASE + 0x8100, 0,
    ) == [
        f"1 {BASE + 0x7000:x}",
        f"0 0 {BASE:x} {BASE + 0x40:x} b f3 {shown}",
        f"0 0 {BASE:x} {BASE + 0x40:x} b f3 {shown}",
        f"0 1 {BASE + 0x40:x} {BASE + 0x2040:x} 5 00",
        f"0 0 {part} 2 00 {shown}",
        "0",
        "1",
        "0",
        "0",
    ]  # fmt: skip
    assert plan.finds_slide
    assert not Plan((second,)).finds_slide


def test_functions_at_the_ends_of_the_address_space_are_found(reader: Path) -> None:
    top = (1 << 64) - 0x10
    plan = Plan((Function("low", 0, 0x10), Function("top", top, (1 << 64) - 1)))
    assert [line[:3] for line in told(reader, plan, 0, 0x10, top, top - 1)[1:]] == [
        "0 0", "0", "0 1", "0",
    ]  # fmt: skip


def test_an_empty_plan_watches_nothing(reader: Path) -> None:
    assert told(reader, Plan(), BASE) == ["1 0", "0"]


def test_stops_go_to_the_plugin_in_their_order(reader: Path) -> None:
    plan = Plan((Function("f", 16, 32),), stops=(BASE, 1, BASE + 0x10))
    assert told(reader, plan) == [f"stop {BASE:x}", "stop 1", f"stop {BASE + 0x10:x}", "1 0"]
    assert Plan.from_json(plan.to_json()) == replace(plan, stops=())


def test_more_reads_than_the_plugin_takes_are_left_out(reader: Path) -> None:
    reads = tuple(Read(f"r{n}", 4, argument=0) for n in range(MAX_READS + 3))
    plan = Plan((Function("f", BASE, BASE + 1, reads=reads),))
    (line,) = told(reader, plan, BASE)[1:]
    assert line.count("[") == MAX_READS


@pytest.mark.parametrize(
    "text",
    [
        "F 0 10\n", "F 0 20 10 3 0\n", "F 0 0 ffffffffffffffff 3 0\n", "R 0 0 0 b 4 0 0 0\n",
        "F 0 10 20 3 0\nR 1 0 0 b 4 0 0 0\n", "F 0 10 20 3 0\nR 0 0 9 b 4 0 0 0\n",
        "F 0 10 20 3 0\nR 0 0 0 b 81 0 0 0\n", "F 0 10 20 3 0\nR 0 0 0 b 4 0 9 0\n",
        "F 0 10 20 3 0\nR 0 0 0 b 4 0 2 0 1\n", "F " + "9" * 2000 + "\n",
        "S\n", "S stop\n",
    ],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(reader: Path, text: str) -> None:
    assert told(reader, text)[0].startswith("0")


def test_a_function_prints_its_own_lines() -> None:
    function = Function("f", 16, 32)
    assert list(function.lines(3)) == ["F 3 10 20 3 0000000000000000"]
    assert list(replace(function, enter=False, device=True).lines(3)) == [
        "F 3 10 20 6 0000000000000000"
    ]
