from __future__ import annotations

from pathlib import Path

import pytest

from timehands.errors import FileUnusable
from timehands.sources.code.defined import Defined, Function, functions_of
from timehands.sources.tree import SourceTree
from timehands.sources.where import Where

CLOCK = """\
static u64 __init tsc_read_refs(u64 *p, int hpet)
{
	return call(p);
}

/* int commented(void) { } */
int
old_style(a)
	int a;
{
	return (a);
}
#ifdef CONFIG_X
void either(void)
{
}
#else
void either(int a)
{
}
#endif
int declared(int a);
"""


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    (tmp_path / "clock.c").write_text(CLOCK)
    (tmp_path / "user.c").write_text(
        "void user(void)\n{\n\told_style(1);\n}\nint declared(int a)\n{\n}\n"
    )
    (tmp_path / "odd.c").write_bytes(b"\xff\0int odd(\n" * 50)
    (tmp_path / "head.S").write_text("ENTRY(start)\n")
    return SourceTree.open(tmp_path)


def test_the_functions_of_a_file_are_those_with_a_body(tree: SourceTree) -> None:
    assert functions_of(tree, "clock.c") == [
        Function("tsc_read_refs", 1, True),
        Function("old_style", 8, False),
        Function("either", 14, False),
        Function("either", 18, False),
    ]
    assert functions_of(tree, "head.S") == []
    with pytest.raises(FileUnusable):
        functions_of(tree, "none.c")


def test_a_definition_is_found_in_the_files_that_were_named(tree: SourceTree) -> None:
    defined = Defined(tree, ["clock.c", "user.c", "odd.c", "none.c", "head.S"])
    assert defined("old_style") == [Where("clock.c", 8)]
    assert defined("declared") == [Where("user.c", 5)]
    assert defined("either") == [Where("clock.c", 14), Where("clock.c", 18)]
    assert defined("commented") == defined("call") == defined("start") == []
    assert Defined(tree, ["user.c"])("old_style") == []
