"""Small programs with DWARF, as each compiler and version makes it, laid out like a kernel: linked
at fixed addresses, without a library."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.sections import Sections
from timehands.kernels.elf import ElfImage
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.symtab import read_symtab

SOURCE = r"""
typedef unsigned char uint8_t; typedef unsigned int u_int; typedef unsigned long uint64_t;
typedef signed char s8; typedef _Bool flag_t;
struct timecounter; struct elsewhere;
typedef u_int timecounter_get_t(struct timecounter *);
enum mode { OFF, PIT = 5, TSC = -2 }; enum bits { B0 = 1, B1 = 2, B4 = 16 };
enum wide { LARGE = 0x123456789abcdefUL };
struct list { struct timecounter *first; struct list *self; };
union both { uint64_t all; struct { u_int low, high; }; };
struct timecounter {
    timecounter_get_t *tc_get_timecount; u_int tc_counter_mask; uint64_t tc_frequency;
    const char *tc_name; int tc_quality; struct timecounter *tc_next;
    u_int narrow : 3, wider : 9; int signed_bits : 5; uint64_t far : 40; flag_t on : 1;
    struct { int inner; union { char letter; long span; }; };
    uint8_t grid[3][5]; char text[8]; enum mode mode; enum bits bits; enum wide wide;
    union both both; struct elsewhere *unknown; flag_t ready; int rest[];
};
u_int get(struct timecounter *tc);
struct timecounter second = { .tc_name = "TSC\n\"x\"\001", .tc_frequency = 2500000000UL,
    .tc_quality = -1000, .text = "abcdefg", .mode = TSC, .bits = 17, .both = { 0x100000002UL } };
struct timecounter first = { .tc_get_timecount = get, .tc_counter_mask = ~0u,
    .tc_frequency = 1193182, .tc_name = "i8254", .tc_next = &second, .narrow = 5, .wider = 300,
    .signed_bits = -3, .far = 0x9876543210UL, .on = 1, .inner = 7, .span = 'Q', .mode = PIT,
    .grid = { {1, 2, 3, 4, 5}, {6}, {0, 0, 9} }, .bits = B1, .wide = LARGE, .ready = 1 };
struct timecounter *timecounter = &first;
static struct list list = { &first, &list };
struct list *volatile lists = &list;
int numbers[20] = { 1, 2, 3 }; s8 negative = -5; double real = 1.5;
u_int get(struct timecounter *tc) { return tc->tc_counter_mask + numbers[1]; }
static inline __attribute__((always_inline)) int twice(int x) { int sum = x + x; return sum; }
__attribute__((noinline)) long mixed(char a, struct list by_value, union both *b, int c, long d,
    long e, long f, ...)
{ return a + (long)by_value.first + b->low + c + d + e + f; }
__attribute__((noinline)) int caller(int n) {
    int total = twice(n);
    for (int i = 0; i < n; i++) total += numbers[i % 20] ^ (int)get(&first);
    return total;
}
const unsigned long expected[] = { EXPECTED };
void _start(void) { lists = &list; negative = caller(3) + mixed(1, list, &first.both, 3, 4, 5, 6); }
"""
#: Paths of members that are compared with what the compiler says.
PATHS = (
    "tc_get_timecount", "tc_frequency", "tc_name", "inner", "letter", "span", "grid", "text",
    "mode", "wide", "both", "ready",
)  # fmt: skip
_EXPECTED = ", ".join(
    f"__builtin_offsetof(struct timecounter, {path}), sizeof(((struct timecounter *)0)->{path})"
    for path in PATHS
)
BUILDS = [
    (compiler, version, optimise)
    for compiler in ("gcc", "clang-19")
    for version in (4, 5)
    for optimise in ("-O0", "-O2")
]


@cache
def compiler(name: str) -> str:
    """The path of a compiler; skips the test when it is not there."""
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def build(folder: Path, kind: tuple[str, int, str], *more: str) -> Path:
    """The program as one compiler makes it."""
    name, version, optimise = kind
    (folder / "clock.c").write_text(SOURCE.replace("EXPECTED", _EXPECTED))
    command = [compiler(name), "-g", f"-gdwarf-{version}", optimise, "-static", "-nostdlib"]
    command += ["-fno-pie", "-no-pie", "-fno-stack-protector", "-o", "clock", "clock.c", *more]
    subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    return folder / "clock"


class Program:
    """A built program, opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.elf = ElfImage.parse(memoryview(path.read_bytes()))
        self.symbols = read_symtab(self.elf) or SymbolTable.empty()
        self.types = DwarfTypes(Sections.of(self.elf), self.symbols)


def run(command: list[str]) -> str:
    """What a tool prints; skips the test when it is not there."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
