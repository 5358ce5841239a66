"""Backtraces: the oracle is gdb, at every single instruction of a program."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.unwind.stacks import CALL, STACK, TEXT, Stack, kernel
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind import Backtrace, How, backtrace

SOURCE = """
typedef unsigned long u64;
#define NOINLINE __attribute__((noinline))
volatile u64 sink; volatile int zero;
NOINLINE u64 leaf(u64 a) { return a * 3 + sink; }
NOINLINE u64 many(u64 a, u64 b, u64 c, u64 d)
{ u64 x = leaf(a), y = leaf(b), z = leaf(c); return x + y * z + leaf(d) + a * b + c * d; }
NOINLINE u64 array(int n)
{ u64 room[n + 4]; for (int i = 0; i < n + 4; i++) room[i] = leaf(i); return room[n / 2]; }
NOINLINE u64 early(u64 a) { if (!a) return 1; u64 x = many(a, 1, 2, 3); return x + leaf(a); }
static inline __attribute__((always_inline)) u64 inner(u64 a)
{ u64 x = leaf(a);
  return x + leaf(x); }
static inline __attribute__((always_inline)) u64 outer(u64 a)
{ sink = a;
  return inner(a + 1) * 3; }
NOINLINE u64 tail(u64 a) { sink = a; return early(a + 1); }
NOINLINE u64 holds(u64 a) {
  u64 x = outer(a);
  return x ^ inner(x); }
NOINLINE u64 wrapped(int *a) { if (a) leaf(3); __asm__ volatile("nop"); sink = 1; return 2; }
NOINLINE u64 choose(int n)
{ switch (n) { case 0: return leaf(4); case 1: return many(1, 2, 3, 4); case 2: return array(1);
  case 3: return leaf(1) + leaf(2); case 4: sink = 3; return tail(1); default: return 7; } }
NOINLINE u64 down(int n) { return n ? down(n - 1) + leaf(n) : tail(7) + early(zero); }
static u64 (*volatile way)(int) = down;
int main(void)
{ sink = way(3) + array(3) + holds(1) + wrapped(0) + wrapped((int *)&zero);
  for (int n = 0; n < 6; n++) sink += choose(n); return 0; }
__attribute__((noreturn)) void _start(void)
{ __asm__ volatile("andq $-16, %rsp; call main; mov $60, %eax; xor %edi, %edi; syscall");
  __builtin_unreachable(); }
"""
LINK = "-g -static -nostdlib -fno-pie -mno-red-zone -Wl,--build-id=none"
BARE = "-fno-asynchronous-unwind-tables"
#: Each with what finds its frames, gdb's own tables being taken away from the bare ones.
PROGRAMS = {
    "tables": ("-O2", How.CFI),
    "tables, unoptimised": ("-O0", How.CFI),
    "frame pointers": (f"-O2 -fno-omit-frame-pointer {BARE}", How.FRAME_POINTER),
    "frame pointers, unoptimised": (f"-O0 -fcf-protection=full {BARE}", How.FRAME_POINTER),
    "code alone": (f"-O2 -fomit-frame-pointer {BARE}", How.CODE),
    "small code alone": (f"-Os -fomit-frame-pointer {BARE}", How.CODE),
}


def _gdb_steps(compiler: str, options: str, folder: Path) -> list[dict[str, Any]]:
    """What gdb sees at each instruction; the program is left in ``folder`` as ``p``."""
    (folder / "p.c").write_text(SOURCE)
    command = [compiler, *options.split(), *LINK.split(), "-o", "p", "p.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    script = Path(__file__).with_name("gdb_steps.py")
    command = ["gdb", "-nx", "-batch", "-x", str(script), "p"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=120, text=True, check=False
    )
    steps = folder / "steps.json"
    if not steps.exists():
        pytest.skip(f"this gdb cannot run a program or has no Python: {done.stderr[-200:]}")
    return list(json.loads(steps.read_text()))


@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_instruction_has_the_callers_that_gdb_finds(
    program: str, compiler: str, tmp_path: Path
) -> None:
    for tool in ("gdb", "objcopy", compiler):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    options, how = PROGRAMS[program]
    steps = _gdb_steps(compiler, options, tmp_path)
    if BARE in options:
        subprocess.run(["objcopy", "--strip-debug", "p"], cwd=tmp_path, check=True, timeout=60)
    opened = Kernel.open(tmp_path / "p", cache=False)
    assert len(steps) > 300
    hows = set()
    for step in steps:
        stack = Stack(step["registers"]["rsp"], bytes.fromhex(step["stack"]))
        trace = backtrace(opened, step["registers"], stack, 64)
        assert [frame.pc for frame in trace if not frame.inlined] == step["pcs"], str(trace)
        assert trace.ended == "_start is where it began"
        assert not any(frame.guess for frame in trace), str(trace)
        hows |= {frame.how for frame in trace}
        if BARE not in options:
            _compare_places(trace, step["places"])
    assert how in hows


def _compare_places(trace: Backtrace, places: list[tuple[str, int]]) -> None:
    """gdb does not yet show what is inlined at the first instruction of it."""
    shown = trace[len(trace) - len(places) :]
    names = [frame.name.removesuffix(".cold") for frame in shown]  # a symbol of its own
    assert names == [name for name, _ in places], str(trace)
    assert all(frame.inlined for frame in trace[: len(trace) - len(places)]), str(trace)
    callers = zip(shown[1:], places[1:], strict=True)
    assert all(frame.line == line for frame, (_, line) in callers), str(trace)


# push %rbp; mov %rsp, %rbp; call; pop %rbp; ret
FRAMED = b"\x55\x48\x89\xe5" + CALL + b"\x5d\xc3"
BARE_RETURN = b"\x90" * 8 + b"\xc3"


def test_a_jump_through_a_null_pointer_still_has_its_caller(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"start": b"\x90" * 16, "jumps": FRAMED, "end": BARE_RETURN})
    stack = Stack.of(at["jumps"] + 9, STACK + 24, 0, 0, at["start"] + 16)
    trace = backtrace(opened, {"rip": 0, "rsp": STACK, "rbp": STACK + 8}, stack)
    assert [(frame.name, frame.how) for frame in trace][:2] == [
        ("", How.REGISTER),
        ("jumps", How.RETURN_ADDRESS),
    ]


def test_without_symbols_rbp_leads_and_the_end_is_told(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED, "b": FRAMED, "c": FRAMED}, symbols=False)
    stack = Stack.of(STACK + 16, at["b"] + 9, 0, at["a"] + 9)
    registers = {"rip": at["c"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, stack)
    assert [(frame.pc, frame.how) for frame in trace] == [
        (at["c"] + 4, How.REGISTER),
        (at["b"] + 9, How.FRAME_POINTER),
        (at["a"] + 9, How.FRAME_POINTER),
    ]
    assert trace.ended == "no return address was found"


def test_a_guess_is_marked_as_one(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED, "b": FRAMED}, symbols=False)
    stack = Stack.of(TEXT + 1, 7, at["a"] + 9, 0)
    trace = backtrace(opened, {"rip": at["b"], "rsp": STACK, "rbp": 0}, stack)
    assert [frame.pc for frame in trace] == [at["b"], at["a"] + 9]
    assert trace[1].guess
    assert "a guess" in str(trace)


def test_memory_that_cannot_be_read_ends_it_and_is_named(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED})
    registers = {"rip": at["a"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, Stack(STACK, b""))
    assert trace.names == ("a",)
    assert trace.ended == f"memory at {STACK + 8:#x} cannot be read"


def test_a_kernel_that_was_moved_is_unwound_with_its_slide(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED, "b": FRAMED})
    slide = 0x1240_0000
    stack = Stack.of(0, at["a"] + 9 + slide, 0, 0)
    registers = {"rip": at["b"] + 4 + slide, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, stack, slide=slide)
    assert trace.names == ("b", "a")
    assert trace[1].pc == at["a"] + 9 + slide
    assert trace[1].offset == 9


def test_a_stack_that_leads_back_to_itself_is_left(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED})
    stack = Stack.of(STACK, at["a"] + 9)
    registers = {"rip": at["a"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, stack)
    assert trace.names == ("a", "a")
    assert "memory" in trace.ended or "no return address" in trace.ended


def test_no_more_frames_than_were_asked_for(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED})
    deep = [word for n in range(100) for word in (STACK + 16 * (n + 1), at["a"] + 9)]
    registers = {"rip": at["a"] + 4, "rsp": STACK, "rbp": STACK}
    trace = backtrace(opened, registers, Stack.of(*deep), 10)
    assert len(trace) == 10
    assert trace.ended == "more than 10 frames"
    assert len(backtrace(opened, registers, Stack.of(*deep), 1 << 40)) == 101


def test_without_a_stack_pointer_there_is_nothing_to_go_by(tmp_path: Path) -> None:
    opened, at = kernel(tmp_path, {"a": FRAMED})
    assert (
        backtrace(opened, {"rip": at["a"]}, Stack(STACK, b"")).ended == "rip and rsp are not known"
    )


@pytest.fixture(scope="module")
def any_kernel(tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    """A kernel of a few functions, one of them entry code."""
    codes = {"start": b"\x90" * 16, "Xtimerint": FRAMED, "a": FRAMED, "b": FRAMED * 3}
    return kernel(tmp_path_factory.mktemp("k"), codes)[0]


WORDS = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.integers(TEXT, TEXT + 80),
    st.integers(STACK, STACK + 512),
    st.sampled_from([0, 8, 0x20, 0x202, 3]),
)


@given(
    st.lists(WORDS, max_size=64),
    st.fixed_dictionaries({"rip": WORDS, "rsp": WORDS, "rbp": WORDS}),
    st.integers(-(1 << 64), 1 << 64),
)
def test_no_stack_and_no_registers_bring_it_down(
    any_kernel: Kernel, stack: list[int], registers: dict[str, int], slide: int
) -> None:
    trace = backtrace(any_kernel, registers, Stack.of(*stack), slide=slide)
    assert 1 <= len(trace) <= 32
    assert trace.ended
    assert str(trace)
