"""A file's functions by the kernel's line tables and by its symbols."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from timehands.kernels.types import Func, FunctionInfo, Void
from timehands.reports.sourced.functions import Function, by_lines, by_names
from timehands.reports.sourced.paths import Paths
from timehands.reports.sourced.places import Places
from timehands.sources.tree import SourceTree

VOID = Func(Void, tuple)
CODE = "int twice(void)\n{\n}\nint once(void)\n{\n}\nint gone(void)\n{\n}\nint once(int a)\n{\n}\n"


class Told:
    """What a kernel would tell of ``clock.c``."""

    def __init__(self, tree: SourceTree) -> None:
        self.paths = Paths(tree)

    def functions_of(self, path: str) -> list[FunctionInfo]:
        return [
            FunctionInfo("once", VOID, 0x40, 0x50, path, 4),
            FunctionInfo("twice", VOID, 0x10, 0x20, path, 1),
            FunctionInfo("twice", VOID, 0x80, 0x90, path, 1, inlined=True),
        ]

    def info(self, name: str) -> FunctionInfo:
        return FunctionInfo(name, VOID, file="kern/clock.c", line=9 if name == "inner" else 0)

    def spans(self, name: str) -> list[tuple[int, int]]:
        return {"once": [(0x40, 0x50)], "twice": [(0x10, 0x20), (0x80, 0x90)]}.get(name, [])


def told(folder: Path) -> tuple[Places, SourceTree]:
    (folder / "kern").mkdir()
    (folder / "kern/clock.c").write_text(CODE)
    tree = SourceTree.open(folder)
    return cast("Places", Told(tree)), tree


def test_a_function_that_was_split_is_one(tmp_path: Path) -> None:
    note = "copies of it may be inlined elsewhere"
    found = by_lines(*told(tmp_path), "kern/clock.c", {"inner", "once"})
    assert found == [
        Function("twice", 1, ((0x10, 0x20), (0x80, 0x90)), note),
        Function("once", 4, ((0x40, 0x50),)),
        Function("inner", 9, note=note),
    ]


def test_by_names_it_is_said_what_is_not_certain(tmp_path: Path) -> None:
    found = by_names(*told(tmp_path), "kern/clock.c")
    assert found == [
        Function("twice", 1, note="the kernel has 2 functions of that name", alike=2),
        Function("once", 4, ((0x40, 0x50),)),
        Function("gone", 7, note="no symbol: left out, or inlined", absent=True),
    ]
    assert by_names(*told(tmp_path / "kern"), "none.c") == []
