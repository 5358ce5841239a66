"""The oracle is gdb, which runs the program: the same registers and stack, stop by stop."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from kernels.compiled import Program
from timehands.kernels.dwarf.locations import Spot
from timehands.kernels.dwarf.scopes import Scopes
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.memory import Unreadable
from timehands.kernels.places import Gone
from timehands.kernels.values import Reading, Value

_SCRIPT = r"""
set pagination off
set disable-randomization on
break {where}
run
set $n = 0
while $n < {steps}
  printf "@stop\n"
  info registers
  info frame
  printf "@stack %lx\n", $rsp - 256
  x/96xg $rsp - 256
  printf "@names\n"
  info args
  info locals
  stepi
  set $n = $n + 1
end
kill
"""


class Stacked:
    """A stack as gdb printed it, above the program's own data."""

    def __init__(self, start: int, data: bytes, rest: FileMemory) -> None:
        self.start, self.data, self.rest = start, data, rest

    def read(self, address: int, length: int) -> bytes:
        at = address - self.start
        if at >= 0 and at + length <= len(self.data):
            return self.data[at : at + length]
        return self.rest.read(address, length)


def stops(program: Program, where: str, steps: int) -> list[str]:
    """What gdb prints at each stop; skips where it may not run programs."""
    if not shutil.which("gdb"):
        pytest.skip("gdb is not installed")
    script = program.path.parent / f"{where.strip('*')}.gdb"
    script.write_text(_SCRIPT.format(where=where, steps=steps))
    done = subprocess.run(
        ["gdb", "-nx", "-batch", "-x", str(script), str(program.path)],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = done.stdout.split("@stop\n")[1:]
    if not found:
        pytest.skip(f"gdb may not run programs here: {done.stderr.strip()[-200:]}")
    return found


def spot_of(shown: str, program: Program) -> Spot:
    registers = {
        name: int(value, 16)
        for name, value in re.findall(r"^(r\w\w?)\s+(0x[0-9a-f]+)", shown, re.MULTILINE)
    }
    start = int(re.search(r"@stack (\w+)", shown)[1], 16)  # type: ignore[index]
    stack = shown.partition("@stack")[2].partition("@names")[0]
    words = re.findall(r"(?<=\t)0x([0-9a-f]{16})", stack)
    data = b"".join(int(word, 16).to_bytes(8, "little") for word in words)
    cfa = int(re.search(r"frame at (0x[0-9a-f]+)", shown)[1], 16)  # type: ignore[index]
    memory = Stacked(start, data, FileMemory(program.elf))
    return Spot(Reading(memory, registers, program.symbols), registers["rip"], cfa)


@pytest.mark.parametrize("where", ["*caller", "*mixed"])
def test_arguments_and_locals_are_what_gdb_says(program: Program, where: str) -> None:
    scopes, compared = Scopes(program.types), 0
    for shown in stops(program, where, 12):
        spot = spot_of(shown, program)
        function = program.types.function_at(spot.pc)
        if function is None or function.name != where[1:]:
            continue
        names = shown.split("@names\n")[1]
        for name, theirs in re.findall(r"^(\w+) = (-?\d+|<optimized out>)(?: '.*')?$", names, re.M):
            ours = scopes.lookup(name, spot)
            if ours is None:  # of a block that is not entered yet, which gdb lists too
                assert theirs == "<optimized out>", name
                continue
            compared += 1
            check(ours, theirs, first=spot.pc == function.low_pc, name=name)
    assert compared


def check(ours: Value, theirs: str, first: bool, name: str) -> None:
    if first:  # gdb goes by what the compiler says, which forgets where arguments come from
        return
    if theirs != "<optimized out>":
        # gdb follows what the caller knows (DW_OP_entry_value); we say that it is gone
        assert isinstance(ours.place, Gone) or int(ours) == int(theirs), name
    else:
        assert isinstance(ours.place, Gone), name


def test_an_argument_is_where_the_abi_puts_it_at_the_first_instruction(program: Program) -> None:
    function = program.types.function("caller")
    assert function and function.low_pc
    reading = Reading(FileMemory(program.elf), {"rdi": 0xFFFFFFFF00000003, "rsp": 0}, None)
    value = Scopes(program.types).lookup("n", Spot(reading, function.low_pc))
    assert value is not None and int(value) == 3


def test_the_names_in_scope_are_those_of_the_function(program: Program) -> None:
    function = program.types.function("caller")
    assert function and function.low_pc
    scopes = Scopes(program.types)
    assert scopes.names(function.low_pc)[0] == "n"
    assert scopes.names(1) == []
    spot = Spot(Reading(FileMemory(program.elf)), function.low_pc)
    assert scopes.lookup("nothing", spot) is None
    assert list(scopes.arguments(spot)) == ["n"]
    with pytest.raises(Unreadable):
        spot.reading.memory.read(1, 1)
