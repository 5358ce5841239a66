"""The oracles are the compilers, which put sizes and offsets into the program, and gdb."""

from __future__ import annotations

from kernels.compiled import PATHS, Program, run
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.types import Enum, Func, Pointer, Struct, Typedef, spell, strip


def test_offsets_and_sizes_are_the_compilers(program: Program) -> None:
    struct = program.types.struct("timecounter")
    place = program.types.variable("expected")
    assert struct and place
    data = FileMemory(program.elf).read(place.address, 16 * len(PATHS))
    expected = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    found = []
    for path in PATHS:
        member = struct.member(path)
        assert member is not None
        found += [member.offset, member.type.size]
    assert found == expected


def test_bit_fields_have_places_and_widths(program: Program) -> None:
    struct = program.types.struct("timecounter")
    assert struct
    fields = {one.name: one for one in struct.named_members() if one.bit_size}
    widths = {"narrow": 3, "wider": 9, "signed_bits": 5, "far": 40, "on": 1}
    assert {name: one.bit_size for name, one in fields.items()} == widths
    assert fields["wider"].bit_offset == fields["narrow"].bit_offset + 3


def test_types_are_spelt_as_gdb_spells_them(program: Program) -> None:
    names = ("timecounter", "lists", "numbers", "negative", "get", "mixed", "first", "real")
    asked = [f"-ex=whatis {name}" for name in names]
    said = run(["gdb", "-nx", "-batch", *asked, str(program.path)]).splitlines()
    theirs = [line.removeprefix("type = ").replace(" volatile", "") for line in said]
    ours = []
    for name in names:
        found = program.types.variable(name) or program.types.function(name)
        assert found is not None
        ours.append(spell(found.type).replace("long int", "long"))  # gdb's short form
    assert ours == theirs


def test_names_are_kept_apart_as_c_does(program: Program) -> None:
    types = program.types
    assert isinstance(types.struct("timecounter"), Struct)
    assert types.variable("timecounter")
    assert types.enum("timecounter") is None
    assert isinstance(types.named("u_int"), Typedef)
    assert isinstance(types.enum("mode"), Enum)
    assert types.constant("TSC") == -2
    assert types.constant("LARGE") == 0x123456789ABCDEF
    assert types.struct("nowhere") is None
    assert types.variable("get") is None
    assert types.function("first") is None
    assert types.named("") is None


def test_variables_and_functions_are_where_the_symbols_are(program: Program) -> None:
    for name in ("first", "second", "list", "timecounter", "negative"):
        variable = program.types.variable(name)
        assert variable and (variable.address,) == program.symbols.lookup(name)
    for name in ("get", "mixed", "caller", "_start"):
        function = program.types.function(name)
        assert function and (function.low_pc,) == program.symbols.lookup(name)
        assert function.file.endswith("clock.c")
    assert program.types.variable("first", 1) is None


def test_a_function_knows_its_parameters(program: Program) -> None:
    mixed = program.types.function("mixed")
    assert mixed and mixed.type.variadic
    assert [name for name, _ in mixed.parameters] == ["a", "by_value", "b", "c", "d", "e", "f"]
    member = program.types.struct("timecounter").member("tc_get_timecount")  # type: ignore[union-attr]
    assert member
    pointer = strip(member.type)
    assert isinstance(pointer, Pointer)
    called = strip(pointer.target)
    assert isinstance(called, Func) and len(called.parameters) == 1


def test_a_function_that_is_always_inlined_has_no_code(program: Program) -> None:
    twice = program.types.function("twice")
    assert twice and twice.inlined and twice.low_pc is None


def test_what_is_only_declared_has_no_members(program: Program) -> None:
    struct = program.types.struct("timecounter")
    assert struct
    member = struct.member("unknown")
    assert member and isinstance(member.type, Pointer)
    target = strip(member.type.target)
    assert (
        isinstance(target, Struct)
        and not target.complete
        and spell(member.type) == ("struct elsewhere *")
    )
    assert program.types.struct("elsewhere") is None


def test_an_address_within_a_function_leads_to_it(program: Program) -> None:
    caller = program.types.function("caller")
    assert caller and caller.low_pc and caller.high_pc
    for address in (caller.low_pc, caller.high_pc - 1):
        found = program.types.function_at(address)
        assert found and found.name == "caller"
    assert program.types.function_at(1) is None
