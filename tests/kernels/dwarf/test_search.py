"""The oracle is readelf, which prints every entry."""

from __future__ import annotations

import re

from kernels.compiled import Program, run
from timehands.kernels.dwarf.search import Group

_ENTRY = re.compile(r"^ <1><([0-9a-f]+)>:.*\(DW_TAG_(\w+)\)$")
_NAME = re.compile(r"DW_AT_name\s+:(?: \([^)]*\))*(?: \(offset: \w+\))?:? (.+)$")
_GROUPS = {
    "structure_type": Group.STRUCT, "union_type": Group.STRUCT, "enumeration_type": Group.ENUM,
    "typedef": Group.NAMED, "base_type": Group.NAMED, "subprogram": Group.FUNCTION,
}  # fmt: skip


def shown(program: Program) -> set[tuple[Group, str, int]]:
    """The named entries at the top that define something, as readelf prints them."""
    text = run(["readelf", "--debug-dump=info", "-W", str(program.path)])
    found, current, lines = set(), None, list[str]()
    for line in [*text.splitlines(), " <1><0>: (DW_TAG_end)"]:
        if line.startswith(" <") and current:
            name = next((m[1].strip() for one in lines if (m := _NAME.search(one))), None)
            if name and not any("DW_AT_declaration" in one for one in lines):
                found.add((_GROUPS[current[2]], name, int(current[1], 16)))
        if line.startswith(" <"):
            match, lines = _ENTRY.match(line), []
            current = match if match and match[2] in _GROUPS else None
        lines.append(line)
    return found


def test_every_name_is_found_where_readelf_shows_it(program: Program) -> None:
    search, expected = program.types.search, shown(program)
    assert expected
    for group, name, offset in expected:
        assert offset in [one.offset for one in search.find(group, name)]


def test_the_names_of_a_unit_are_those_that_readelf_shows(program: Program) -> None:
    search = program.types.search
    wanted = set(_GROUPS.values())
    found = {
        (group, name, offset)
        for unit in search.units
        for (group, name), offsets in search.names_in(unit).items()
        for offset in offsets
        if group in wanted
    }
    assert shown(program) <= found
    assert all(
        search.origin(search.entry(offset)) for _, _, offset in found - shown(program)
    )  # gcc completes an entry that was declared, under no name of its own


def test_what_is_not_there_is_not_found(program: Program) -> None:
    for group in Group:
        assert list(program.types.search.find(group, "timecounte")) == []
        assert list(program.types.search.find(group, "")) == []
