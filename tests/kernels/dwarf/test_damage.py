"""DWARF that lies: flipped bytes in a small real program bring our own errors at most, in no time
worth speaking of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kernels.compiled import Program
from timehands.errors import KernelDamaged, KernelError, SourceUnknown, TimehandsError
from timehands.kernels.dwarf.locations import Spot
from timehands.kernels.dwarf.model import DwarfTypes
from timehands.kernels.dwarf.scopes import Scopes
from timehands.kernels.dwarf.sections import Sections, number, sleb, text, uleb
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.lines import Lines
from timehands.kernels.places import InMemory
from timehands.kernels.symbols import SymbolTable
from timehands.kernels.types import spell
from timehands.kernels.values import Reading, Value


def ask_everything(program: Program, sections: Sections, symbols: SymbolTable) -> None:
    """Every question that there is; none may bring more than an error of ours."""
    types = DwarfTypes(sections, symbols)
    reading = Reading(FileMemory(program.elf), {"rsp": 64, "rbp": 64}, symbols)
    for name in ("timecounter", "list", "both", "uint64_t"):
        struct = types.struct(name)
        if struct:
            with suppress(KernelError):
                for member in struct.named_members():
                    spell(member.type)
                Value(struct, reading, InMemory(0x404000)).format()
    types.enum("mode"), types.named("u_int"), types.constant("TSC"), types.variable("first")
    lines, scopes = Lines(types), Scopes(types)
    for name in ("caller", "mixed", "twice"):
        function = types.function(name)
        places = program.symbols.lookup(name)
        for pc in (places[0], places[0] + 9) if places else ():
            spot = Spot(reading, pc, 0x1000)
            for one in scopes.names(pc):
                value = scopes.lookup(one, spot)
                assert value is None or value.format()
            lines.place(pc)
        if function:
            with suppress(KernelError):
                spell(function.type)
    for ask in (lambda: lines.addresses("clock.c", 30), lambda: lines.functions_of("clock.c")):
        with suppress(KernelError, SourceUnknown):
            ask()


@settings(max_examples=20, phases=[Phase.generate])
@given(st.data())
def test_no_damage_brings_another_error(program: Program, data: st.DataObject) -> None:
    sections = Sections.of(program.elf)
    names = [one.name for one in fields(sections) if getattr(sections, one.name)]
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(names))
        content = bytearray(getattr(sections, name))
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, content[place] ^ 4]))
        cut = data.draw(st.sampled_from([len(content)] * 4 + [place + 1]))
        sections = replace(sections, **{name: bytes(content[:cut])})
    ask_everything(program, sections, data.draw(st.sampled_from([program.symbols,
                                                                SymbolTable.empty()])))  # fmt: skip


def test_what_is_not_there_is_nothing() -> None:
    types = DwarfTypes(Sections())
    assert types.struct("a") is None and types.function_at(1) is None
    with pytest.raises(SourceUnknown):
        Lines(types).addresses("a.c", 1)


def test_numbers_end() -> None:
    assert uleb(b"\xe5\x8e\x26", 0) == (624485, 3)
    assert sleb(b"\x80\x7f", 0) == (-128, 2)
    for broken in (b"\xff" * 20, b"\x80" * 11):
        with pytest.raises(KernelDamaged):
            uleb(broken, 0)
    for at in (-1, 3, 1 << 70):
        with pytest.raises(TimehandsError):
            number(b"abcd", at, 4)
        with pytest.raises(TimehandsError):
            text(b"abcd", at)
