"""ORC: tables made here in each layout, with what the kernel's own unwinder does with them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import build
from kernels.unwind.stacks import CALL, STACK, Stack, kernel
from timehands.kernels.kernel import Kernel
from timehands.kernels.unwind import How, backtrace
from timehands.kernels.unwind.orc import _NEW, _OLD, _OLD_SIGNAL, Layout, Orc

BANNER = b"Linux version 6.1.0-test (a@b) (gcc) #1 SMP Debian 6.1.1-1\n\0"
CODE = {"start_kernel": CALL * 4, "irq_entry": CALL * 4, "timer": CALL * 4, "jumps": CALL * 4}
SP, BP, SP_INDIRECT, PREV_SP = 5, 4, 9, 1
IPS = build.RODATA + 0x10000
TABLE = build.RODATA + 0x20000


def _btf(layout: Layout) -> bytes:
    """struct orc_entry as a kernel with this layout describes it."""
    names = {"sp_offset": 0, "bp_offset": 16, "sp_reg": 32, "bp_reg": 36, "type": 40}
    if layout is _OLD:
        names |= {"end": 42}
    elif layout is _OLD_SIGNAL:
        names |= {"signal": 42, "end": 43}
    else:
        names |= {"signal": 43}
    writer = build.BtfWriter()
    word = writer.add(1, "unsigned int", 4, struct.pack("<I", 32))
    tail = b"".join(
        struct.pack("<III", writer.string(name), word, 4 << 24 | at) for name, at in names.items()
    )
    writer.add(4, "orc_entry", 6, tail, vlen=len(names), flag=1)
    head = struct.pack(
        "<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(writer.types), len(writer.types), len(writer.strings)
    )
    return head + writer.types + writer.strings


def _entry(
    layout: Layout, kind: str, sp: int, *, base: int = SP, bp: int = 0, bp_base: int = 0
) -> bytes:
    number = {"call": layout.call, "regs": layout.regs, "partial": layout.partial, "end": 0}[kind]
    bits = number << 8
    if kind == "end":
        bits = layout.end_type << 8 if layout.end_type is not None else 1 << (layout.end_bit or 0)
    return struct.pack("<hhH", sp, bp, bits | base | bp_base << 4)


def linux(
    folder: Path, layout: Layout, entries: dict[str, bytes], *, btf: bool = True
) -> tuple[Kernel, dict[str, int]]:
    """A Linux kernel with an entry for each function."""
    starts = [build.TEXT + sum(len(c) for c in list(CODE.values())[:n]) for n in range(len(CODE))]
    ips = [start - (IPS + 4 * n) for n, start in enumerate(starts)]
    extra = [
        build.Part(".orc_unwind_ip", struct.pack(f"<{len(ips)}i", *ips), IPS),
        build.Part(".orc_unwind", b"".join(entries[name] for name in CODE), TABLE),
    ]
    if btf:
        extra.append(build.Part(".BTF", _btf(layout), flags=0, segment=0))
    return kernel(folder, CODE, banner=BANNER, extra=extra)


def _entries(layout: Layout) -> dict[str, bytes]:
    return {
        "start_kernel": _entry(layout, "end", 0),
        "irq_entry": _entry(layout, "regs", 8),
        "timer": _entry(layout, "call", 24, bp=-16, bp_base=PREV_SP),
        "jumps": _entry(layout, "call", 16, base=BP),
    }


@pytest.mark.parametrize("layout", [_OLD, _OLD_SIGNAL, _NEW], ids=["5.x", "6.3", "6.4"])
def test_calls_interrupts_and_the_end(layout: Layout, tmp_path: Path) -> None:
    opened, at = linux(tmp_path, layout, _entries(layout))
    assert Orc(opened).layout == layout
    regs = dict.fromkeys(range(21), 0x77)
    regs |= {4: STACK + 0x100, 16: at["jumps"] + 7, 17: 0x10, 18: 0x202, 19: STACK + 0xE0, 20: 0x18}
    frame = [0, 0x1234, at["irq_entry"] + 5, 0xDEAD, *regs.values()]
    words = [*frame, *[0] * (0x100 // 8 - len(frame)), 0, at["start_kernel"] + 5, 0]
    trace = backtrace(opened, {"rip": at["timer"] + 5, "rsp": STACK, "rbp": 1}, Stack.of(*words))
    assert trace.names == ("timer", "irq_entry", "jumps", "start_kernel")
    assert {frame.how for frame in trace[1:]} == {How.ORC}
    assert trace[2].pc == at["jumps"] + 7
    assert trace.ended == "ORC says that the stack ends here"


def test_without_types_the_entries_tell_the_layout(tmp_path: Path) -> None:
    for layout in (_OLD, _NEW):
        entries = {name: _entry(layout, "call", 8) for name in CODE}
        folder = tmp_path / str(layout.call)
        folder.mkdir()
        assert Orc(linux(folder, layout, entries, btf=False)[0]).layout == layout


def test_another_stack_is_followed_to_the_one_that_was_left(tmp_path: Path) -> None:
    entries = _entries(_OLD) | {"timer": _entry(_OLD, "call", 8, base=SP_INDIRECT)}
    opened, at = linux(tmp_path, _OLD, entries)
    words = [0, at["start_kernel"] + 5, 0, 0, STACK]
    trace = backtrace(opened, {"rip": at["timer"] + 5, "rsp": STACK + 32}, Stack.of(*words))
    assert trace.names == ("timer",)
    assert trace.ended == f"memory at {STACK:#x} cannot be read" or trace.ended.startswith(
        "the return"
    )
    back = Stack.of(at["start_kernel"] + 5, 0, 0, 0, STACK)
    trace = backtrace(opened, {"rip": at["timer"] + 5, "rsp": STACK + 32}, back)
    assert trace.names == ("timer", "start_kernel")


def test_user_mode_is_the_end(tmp_path: Path) -> None:
    opened, at = linux(tmp_path, _NEW, _entries(_NEW))
    words = [0] + [0] * 17 + [0x33] + [0] * 4
    trace = backtrace(opened, {"rip": at["irq_entry"], "rsp": STACK}, Stack.of(*words))
    assert trace.ended == "user mode"


@given(
    table=st.lists(st.binary(min_size=6, max_size=6), min_size=4, max_size=4),
    words=st.lists(st.integers(0, (1 << 64) - 1) | st.integers(STACK, STACK + 200), max_size=40),
)
def test_no_table_brings_it_down(
    table: list[bytes], words: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    entries = dict(zip(CODE, table, strict=True))
    opened, at = linux(tmp_path_factory.mktemp("k"), _NEW, entries)
    registers = {"rip": at["jumps"] + 5, "rsp": STACK, "rbp": STACK + 8}
    assert backtrace(opened, registers, Stack.of(*words)).ended


def test_tables_of_different_lengths_or_out_of_order_are_not_used(tmp_path: Path) -> None:
    parts = [
        build.Part(".orc_unwind_ip", struct.pack("<3i", 50, -50, 7), IPS),
        build.Part(".orc_unwind", bytes(18), TABLE),
    ]
    assert not Orc(kernel(tmp_path, CODE, banner=BANNER, extra=parts)[0]).usable
