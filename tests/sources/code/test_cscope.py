"""Our answers against cscope's, on the same files. Each difference is one of those named here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from code_trees import FILES, tree
from timehands.sources.code import Found, Index

pytestmark = pytest.mark.skipif(not shutil.which("cscope"), reason="cscope is not installed")
TSC = "sys/arch/amd64/amd64/tsc.c"

ALIASES = "sys/kern/aliases.c"
MORE = {
    ALIASES: """\
#define SHORT 1
#ifdef SHORT
#undef SHORT
#endif
char *\tlater_on(void *, char *);
__weak_alias(undefined_later, later_on)
int undefined_later(int);
int
uses(int value)
{
	return undefined_later(value);
}
""",
    "sys/kern/plain.c": """\
#include <sys/timetc.h>
#define LIMIT 10
enum color { RED, GREEN };
typedef int number_t;
struct shape {
	int sides;
	enum color color;
};
struct shape square = { 4, RED };
int total;

static int
area(struct shape *shape)
{
	return shape->sides * LIMIT;
}

int
sum(int left, int right)
{
	total = area(&square) + left;
	if (total > LIMIT)
		total -= right;
	return total;
}

int
twice(int value)
{
	return sum(value, value) + sum(total, area(&square));
}
""",
}


class Cscope:
    """cscope's own answers on a tree."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._base = root, folder / "cscope.out"
        names = sorted(str(path.relative_to(root)) for path in root.rglob("*.[ch]"))
        files = folder / "cscope.files"
        files.write_text("".join(f"{name}\n" for name in names))
        self._run("-bqk", "-i", str(files))

    def _run(self, *arguments: str) -> str:
        command = ["cscope", *arguments, "-f", str(self._base)]
        done = subprocess.run(
            command, cwd=self._root, check=True, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def ask(self, field: int, name: str) -> set[tuple[str, int, str]]:
        """Lines of an answer: file, line, function (of 2 and 3: called or calling)."""
        lines = self._run("-dqL", f"-{field}", name).splitlines()
        split = (line.split(" ", 3) for line in lines)
        return {(file, int(number), function) for file, function, number, *_ in split}


@pytest.fixture
def both(tmp_path: Path) -> tuple[Index, Cscope]:
    source = tree(tmp_path / "src", MORE)
    index = Index.open(source, cache=tmp_path / "cache", arch="all", jobs=1)
    return index, Cscope(source.root, tmp_path)


def lines(found: Found, *lists: str) -> set[tuple[str, int]]:
    return {
        (place.where.file, place.where.line) for name in lists for place in getattr(found, name)
    }


EVERY = (
    "definitions", "declarations", "callers", "writers", "readers", "initialisers", "macros",
    "locals",
)  # fmt: skip
PLAIN = (
    "area", "sum", "twice", "total", "square", "LIMIT", "RED", "GREEN", "shape", "sides", "color",
    "number_t", "value", "left", "right",
)  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_every_line_with_a_name(both: tuple[Index, Cscope], name: str) -> None:
    index, cscope = both
    theirs = {(file, line) for file, line, _ in cscope.ask(0, name)}
    assert lines(index.find(name), *EVERY) == theirs


@pytest.mark.parametrize("name", ["area", "sum", "twice", "main", "tc_init", "configure"])
def test_definitions(both: tuple[Index, Cscope], name: str) -> None:
    index, cscope = both
    theirs = {(file, line) for file, line, _ in cscope.ask(1, name)}
    assert lines(index.find(name), "definitions") == theirs


@pytest.mark.parametrize("name", ["area", "sum", "twice", "tc_init", "configure", "rdtsc"])
def test_callers(both: tuple[Index, Cscope], name: str) -> None:
    index, cscope = both
    ours = {(p.where.file, p.where.line, p.function) for p in index.find(name).callers}
    assert ours == cscope.ask(3, name)


@pytest.mark.parametrize("name", ["sum", "twice", "main", "cpu_initclocks"])
def test_callees(both: tuple[Index, Cscope], name: str) -> None:
    index, cscope = both
    ours = {(p.where.file, p.where.line, p.function) for p in index.find(name).callees}
    assert ours == cscope.ask(2, name)


def test_assignments(both: tuple[Index, Cscope]) -> None:
    index, cscope = both
    ours = {
        (p.where.file, p.where.line) for p in index.find("total").writers if p.what in ("=",)
    } | {(p.where.file, p.where.line) for p in index.find("total").writers}
    assert ours == {(file, line) for file, line, _ in cscope.ask(9, "total")}


# ---- the differences, each with its reason


def test_we_see_calls_through_pointers_that_cscope_does_not(both: tuple[Index, Cscope]) -> None:
    index, cscope = both
    place = ("sys/kern/init_main.c", 25)
    assert place in lines(index.find("func"), "callers")
    assert place not in {(file, line) for file, line, _ in cscope.ask(3, "func")}


def test_we_find_a_definition_with_its_parameters_on_lines_of_their_own(
    both: tuple[Index, Cscope],
) -> None:
    index, _ = both
    (place,) = index.find("tsc_get_timecount").definitions
    assert "tsc_get_timecount(tc)" in FILES[TSC].split("\n")[place.where.line - 1]


def test_we_take_an_increment_and_an_address_for_writes(both: tuple[Index, Cscope]) -> None:
    """cscope's -9 takes the lines with ``=``, and an increment only after the name."""
    index, cscope = both
    ours = lines(index.find("tsc_freq"), "writers")
    theirs = {(file, line) for file, line, _ in cscope.ask(9, "tsc_freq")}
    address = next(at for at, line in enumerate(FILES[TSC].split("\n"), 1) if "get_freq" in line)
    assert (TSC, address) in ours - theirs


def test_we_give_a_macro_that_is_an_attribute_no_lines(both: tuple[Index, Cscope]) -> None:
    """They are blanked before all else, so that the names beside them are understood."""
    index, cscope = both
    assert cscope.ask(0, "__read_mostly")
    assert not index.find("__read_mostly")


def test_a_name_that_is_undefined_or_has_an_alias_is_found(both: tuple[Index, Cscope]) -> None:
    index, cscope = both
    for name in ("SHORT", "undefined_later"):
        theirs = {(file, line) for file, line, _ in cscope.ask(0, name)}
        assert lines(index.find(name), *EVERY) == theirs
        assert len(theirs) == 3
