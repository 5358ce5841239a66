"""Our answers against cscope's, on the same files. Each difference is one of those named here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import timehands.payloads
from c_text import CText
from code_trees import FILES, tree
from cscope_answers import EVERY, Comparison, Cscope, Difference, drawn
from cscope_rules import explain
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


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Index, Cscope]]:
    source = tree(tmp_path / "src", MORE)
    index = Index.open(source, cache=tmp_path / "cache", arch="all", jobs=1)
    names = sorted(str(path.relative_to(source.root)) for path in source.root.rglob("*.[ch]"))
    with Cscope(source.root, names, tmp_path) as cscope:
        yield index, cscope


def lines(found: Found, *lists: str) -> set[tuple[str, int]]:
    return {
        (place.where.file, place.where.line) for name in lists for place in getattr(found, name)
    }


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
    assert ours == set(cscope.ask(3, name))


@pytest.mark.parametrize("name", ["sum", "twice", "main", "cpu_initclocks"])
def test_callees(both: tuple[Index, Cscope], name: str) -> None:
    index, cscope = both
    ours = {(p.where.file, p.where.line, p.function) for p in index.find(name).callees}
    assert ours == set(cscope.ask(2, name))


def test_assignments(both: tuple[Index, Cscope]) -> None:
    index, cscope = both
    ours = {(p.where.file, p.where.line) for p in index.find("total").writers}
    assert ours == {(file, line) for file, line, _ in cscope.ask(9, "total")}


# ---- every name of larger trees: each difference has its rule

PAYLOADS = Path(timehands.payloads.__file__).parent
HEADERS = Path("/usr/include/linux")


def unexplained(root: Path, files: dict[str, str], many: int) -> tuple[list[Difference], int]:
    """The differences that no rule explains, and how many there are in all."""
    source = tree(root / "src", files)
    index = Index.open(source, cache=root / "cache", arch="all", jobs=1)
    names = sorted(str(path.relative_to(source.root)) for path in source.root.rglob("*.[ch]"))
    texts = {name: CText((source.root / name).read_bytes()) for name in names}
    words = drawn(root / "cache", many, 1)
    with Cscope(source.root, names, root) as cscope:
        cscope.ask_assignments(words)
        comparison = Comparison(index, cscope)
        found = [one for word in words for _, _, some in comparison.of(word) for one in some]
    index.close()
    return [one for one in found if not explain(one, texts[one.line.file])], len(found)


def test_every_difference_on_our_own_c_has_its_rule(tmp_path: Path) -> None:
    """All but what cscope itself breaks: where a block of its index ends, which depends on the
    length of the folder's name, it loses a name, mixes up two lines, or dies."""
    ours = {f"sys/payloads/{path.name}": path.read_text() for path in PAYLOADS.glob("*.[ch]")}
    missing, of = unexplained(tmp_path, MORE | ours, 10_000)
    assert len(missing) <= of // 100
    assert of > 100


@pytest.mark.skipif(not HEADERS.is_dir(), reason="no headers of Linux in /usr/include/linux")
def test_nearly_every_difference_on_linux_headers_has_its_rule(tmp_path: Path) -> None:
    """Nearly: these headers are another release's on another host."""
    headers = {
        f"sys/linux/{path.name}": path.read_text(encoding="latin-1")
        for path in sorted(HEADERS.glob("*.h"))
    }
    missing, of = unexplained(tmp_path, headers, 150)
    assert len(missing) <= of // 20
    assert of > 20


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
