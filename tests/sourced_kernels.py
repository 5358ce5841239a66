"""A small tree as FreeBSD's, a kernel built from it somewhere else, and a recording of a boot."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from git_repositories import Repository
from recordings import LINUX, PC, Tape, jiffies_boot
from timehands.kernels.kernel import Kernel
from timehands.machines.build import compiler

#: Where the compiler is told that the tree is: on another machine.
BUILT_IN = "/build/of/another/machine/src"
CLOCK = """\
typedef unsigned int u_int;
static inline __attribute__((always_inline)) int look(int x) { return x * 3; }
__attribute__((noinline)) int native_calibrate_cpu_early(int n)
{
\treturn look(n) + 1;
}
__attribute__((noinline)) int never_called(int n)
{
\treturn n - 1;
}
int unwatched(int n)
{
\treturn n + 2;
}
"""
MAIN = """\
int native_calibrate_cpu_early(int);
int total;
void tsc_early_init(void)
{
\ttotal = 1;
\ttotal += native_calibrate_cpu_early(total);
\ttotal += 5;
}
void _start(void)
{
\ttsc_early_init();
\ttotal += 2;
}
"""
FILES = {
    "sys/conf/newvers.sh": 'TYPE="FreeBSD"\nREVISION="14.9"\nBRANCH="CURRENT"\n',
    "sys/conf/files": "kern/init_main.c\tstandard\n",
    "sys/conf/files.amd64": "x86/x86/clock.c\toptional tinyclock\n",
    "sys/conf/options": "TINY\topt_tiny.h\n",
    "sys/conf/options.amd64": "",
    "sys/amd64/conf/DEFAULTS": "machine amd64\n",
    "sys/amd64/conf/SMALL": "cpu HAMMER\nident SMALL\ndevice tinyclock\n",
    "sys/amd64/conf/NONE": "cpu HAMMER\nident NONE\n",
    "sys/x86/x86/clock.c": CLOCK,
    "sys/kern/init_main.c": MAIN,
}


def write_tree(folder: Path) -> Path:
    """The tree, in a git repository of two commits: the second changed ``init_main.c``."""
    repository = Repository()
    first = {**FILES, "sys/kern/init_main.c": MAIN.replace("total += 5;", "total += 4;")}
    repository.commit(dict(first), message="Begin")
    repository.commit(
        {"sys/kern/init_main.c": MAIN}, message="Count more", author="Bob <bob@example.net>"
    )
    repository.tag("v2.0", 2)
    repository.write(folder)
    return folder


def build(tree: Path, kernel: Path) -> Path:
    """The kernel, built from the tree. Raises `CompilerMissing`."""
    sources = [str(tree / "sys" / name) for name in ("x86/x86/clock.c", "kern/init_main.c")]
    flags = ["-g", "-O1", "-fno-pic", "-mcmodel=kernel", "-ffreestanding", "-nostdlib", "-static"]
    flags += ["-fno-optimize-sibling-calls", "-fno-stack-protector", "-fcf-protection=none"]
    flags += [f"-fdebug-prefix-map={tree}={BUILT_IN}", "-no-pie", "-Wl,--build-id=none"]
    flags += ["-Wl,-Ttext=0xffffffff81000000", "-fno-inline-small-functions"]
    command = [compiler(), *flags, "-o", str(kernel), *sources]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return kernel


def record(kernel: Path, folder: Path) -> Path:
    """A boot of it that fails to find its TSC (TH101), recorded; all of its calls are real places.

    ``native_calibrate_cpu_early`` is entered from ``tsc_early_init``; ``never_called`` is watched.
    """
    opened = Kernel.open(kernel)
    tape = jiffies_boot()
    tape.kernel = replace(LINUX, path=str(kernel), sha256=opened.sha256, symbols=8)
    caller = _after_call(opened, "tsc_early_init", "native_calibrate_cpu_early")
    outer = _after_call(opened, "_start", "tsc_early_init")
    inside = opened.symbols.lookup("native_calibrate_cpu_early")[0] + 1
    starts = {name: opened.symbols.lookup(name) for name in (*tape.functions, "never_called")}
    tape.symbols = {
        caller: _named(opened, caller),
        outer: _named(opened, outer),
        inside: "look < " + _named(opened, inside),
        PC: "_text",
    }
    _calls_from(tape, caller)
    tape.functions.setdefault("never_called", [])
    tape.header["function_starts"] = tuple(
        starts.get(name, (0,))[0] if starts.get(name) else 0 for name in tape.functions
    )
    tape.write(folder)
    return folder


def _calls_from(tape: Tape, caller: int) -> None:
    tape.enter("native_calibrate_cpu_early", ms=300, caller=caller)
    tape.leave("native_calibrate_cpu_early", ms=301)


def _named(kernel: Kernel, address: int) -> str:
    found = kernel.symbols.find(address)
    assert found is not None
    return f"{found.name}+{found.offset:#x}"


def _after_call(kernel: Kernel, caller: str, callee: str) -> int:
    """The return address of the only call (E8) from one function to another."""
    start, target = kernel.symbols.lookup(caller)[0], kernel.symbols.lookup(callee)[0]
    for address in range(start, start + 64):
        code = kernel.file_memory.read(address, 5)
        if code[0] == 0xE8:
            distance = int.from_bytes(code[1:], "little", signed=True)
            if address + 5 + distance == target:
                return address + 5
    raise AssertionError(f"{caller} does not call {callee}")
