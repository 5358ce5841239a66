"""The house: a room imports only from its own floor and those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "timehands"
#: From the ground up. A top-level module is a room of one file.
FLOORS = (
    "errors", "clocks", "sources", "simulate", "kvm", "kernels", "machines", "monitor", "watch",
    "story", "guests", "findings", "reports", "kept", "boot", "prove", "debug", "live", "conform",
    "cli",
)  # fmt: skip
MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.name not in ("__main__.py",))


def room(path: Path) -> str:
    """The room that a file is in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms that a file imports from, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "timehands" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_only_from_the_floors_below(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "payloads"):
        return
    for other in imported_rooms(path):
        assert FLOORS.index(other) <= FLOORS.index(here), f"{here} imports from {other}"


def test_no_room_is_left_out() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__", "payloads"}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_is_longer_than_a_reader_bears(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_only_guests_ask_which_system_it_is() -> None:
    systems = ('"freebsd"', '"netbsd"', '"openbsd"', '"linux"')
    for path in MODULES:
        if room(path) in ("guests", "kernels", "sources"):
            continue
        code = ast.unparse(ast.parse(path.read_text())).replace("'", '"')
        assert not [name for name in systems if f"== {name}" in code], path
