"""Reading a kernel's variables: from the file of our own kernel, and from memory made by hand."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_kernels.build import guest_kernel
from timehands.errors import CompilerMissing
from timehands.guests.freebsd.layouts import layout
from timehands.guests.freebsd.look import look
from timehands.kernels.kernel import Kernel
from timehands.kernels.memory import Unreadable

BASE = 0xFFFFFFFF80000000
SIZE = 1 << 16


class Bytes:
    """Guest memory: one stretch of bytes, and nothing else."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, address: int, length: int) -> bytes:
        start = address - BASE
        if start < 0 or start + length > len(self.data):
            raise Unreadable(address, length)
        return self.data[start : start + length]


class Made:
    """A kernel's variables and structures, put into memory as they come."""

    def __init__(self) -> None:
        self.data = bytearray(SIZE)
        self.symbols: dict[str, int] = {}
        self.free = 0x100

    def room(self, size: int) -> int:
        at, self.free = self.free, self.free + (size + 63) // 64 * 64
        return BASE + at

    def put(self, address: int, raw: bytes) -> None:
        self.data[address - BASE : address - BASE + len(raw)] = raw

    def variable(self, name: str, value: int, size: int = 8) -> None:
        self.symbols[name] = self.room(size)
        self.put(self.symbols[name], (value % (1 << 8 * size)).to_bytes(size, "little"))

    def text(self, value: str) -> int:
        address = self.room(len(value) + 1)
        self.put(address, value.encode() + b"\0")
        return address

    def timecounter(self, name: str, hz: int, quality: int, following: int) -> int:
        address, text = self.room(80), self.text(name)
        raw = struct.pack("<QQI4xQQiIQQ", 0, 0, 0xFFFF, hz, text, quality, 0, 0, following)
        self.put(address, raw)
        return address

    def look(self) -> dict[str, Any]:
        def lookup(name: str) -> tuple[int, ...]:
            return (self.symbols[name],) if name in self.symbols else ()

        symbols = SimpleNamespace(lookup=lookup, find=lambda _address: None)
        kernel = cast(Kernel, Hashable(symbols=symbols, type_source=None))
        return look(kernel, Bytes(bytes(self.data)))


class Hashable(SimpleNamespace):
    """A stand-in that can be a key, as a kernel can."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_timecounters_are_walked_and_the_selected_one_is_read() -> None:
    made = Made()
    dummy = made.timecounter("dummy", 10**6, -1_000_000, 0)
    i8254 = made.timecounter("i8254", 1_193_182, 0, dummy)
    made.variable("timecounters", i8254)
    made.variable("timecounter", i8254)
    found = made.look()
    assert [row["name"] for row in found["timecounters"]["rows"]] == ["i8254", "dummy"]
    assert found["timecounters"]["ends"] == "end"
    assert found["timecounter"] == {
        "name": "i8254", "frequency": 1_193_182, "quality": 0, "mask": 0xFFFF, "flags": 0,
    }  # fmt: skip
    assert found["timecounters"]["rows"][1]["quality"] == -1_000_000


def test_a_list_that_goes_in_a_circle_is_said() -> None:
    made = Made()
    first = made.timecounter("a", 1, 0, 0)
    second = made.timecounter("b", 1, 0, first)
    made.put(first + 56, second.to_bytes(8, "little"))
    made.variable("timecounters", second)
    found = made.look()["timecounters"]
    assert [row["name"] for row in found["rows"]] == ["b", "a"] and found["ends"] == "cycle"


def test_a_list_without_end_is_cut() -> None:
    made, following = Made(), 0
    for number in range(50):
        following = made.timecounter(f"tc{number}", 1, 0, following)
    made.variable("timecounters", following)
    found = made.look()["timecounters"]
    assert (len(found["rows"]), found["ends"]) == (32, "long")


@pytest.mark.parametrize("following", [0x1000, 0xDEADC0DEDEADC0DE, BASE + SIZE - 8, BASE + 8])
def test_a_list_that_leads_nowhere_is_said(following: int) -> None:
    made = Made()
    made.variable("timecounters", made.timecounter("i8254", 1, 0, following))
    found = made.look()["timecounters"]
    assert ([row["name"] for row in found["rows"]], found["ends"]) == (["i8254"], "broken")


def test_numbers_have_their_sizes() -> None:
    made = Made()
    made.variable("tsc_freq", 2_500_000_000)
    made.variable("tsc_disabled", 1, 4)
    assert made.look()["variables"] == {"tsc_freq": 2_500_000_000, "tsc_disabled": 1}


def test_the_environment_is_that_of_the_array_once_there_is_one() -> None:
    made = Made()
    words = ["machdep.disable_tsc_calibration=0", "vfs.root.mountfrom=x", "secret=1", "no sign"]
    array = made.room(8 * 8)
    for number, word in enumerate(words):
        made.put(array + 8 * number, made.text(word).to_bytes(8, "little"))
    made.variable("kenvp", array)
    made.variable("md_envp", made.text("machdep.disable_tsc_calibration=7"))
    assert made.look()["environment"] == {
        "machdep.disable_tsc_calibration": "0",
        "vfs.root.mountfrom": "x",
    }


def test_before_that_the_command_line_holds_against_what_is_built_in() -> None:
    made = Made()
    for name, value in (("md_envp", "0"), ("kern_envp", "1")):
        words = f"boot_verbose={value}\0machdep.{name}=here\0"
        made.variable(name, made.text(words))
    assert made.look()["environment"] == {
        "boot_verbose": "0", "machdep.md_envp": "here", "machdep.kern_envp": "here",
    }  # fmt: skip


@given(st.binary(max_size=4096))
def test_any_memory_is_read_without_trouble(noise: bytes) -> None:
    made = Made()
    for name in ("timecounters", "timecounter", "timer", "eventtimers", "kenvp", "md_envp"):
        made.variable(name, BASE + 0x400)
    made.put(BASE + 0x400, noise)
    assert isinstance(made.look(), dict)


def test_layouts_are_those_of_the_kernels_own_types() -> None:
    """Our own kernel's types are C's; LP64 says the same."""
    try:
        dwarf, plain = (Kernel.open(guest_kernel("freebsd", f)) for f in ("dwarf", "symbols"))
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    assert plain.type_source is None and dwarf.type_source is not None
    for struct_name in ("timecounter", "eventtimer", "init_ops", "trapframe"):
        assert layout(dwarf, struct_name) == layout(plain, struct_name)


def test_memory_that_is_the_files_own_gives_what_the_file_has() -> None:
    try:
        kernel = Kernel.open(guest_kernel("freebsd"))
    except CompilerMissing:
        pytest.skip("no C compiler is installed")
    found = look(kernel, kernel.file_memory)
    assert found["timecounter"]["name"] == "dummy"
    assert found["variables"]["i8254_freq"] == 1_193_182


def test_a_name_that_cannot_be_printed_is_none() -> None:
    made = Made()
    made.variable("timecounters", made.timecounter("a\x1b[2J", 1, 0, 0))
    assert made.look()["timecounters"] == {"rows": [], "ends": "broken"}
