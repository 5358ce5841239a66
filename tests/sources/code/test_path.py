from __future__ import annotations

from pathlib import Path

import pytest

from code_trees import tree
from timehands.errors import SourcesError
from timehands.sources.code import Index, Step


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index.open(tree(tmp_path / "src"), cache=tmp_path / "cache", jobs=1)


def names(steps: list[Step]) -> list[str]:
    return [step.function for step in steps]


def test_calls_by_name(index: Index) -> None:
    (way,) = index.path("main", "tc_init", limit=1)
    assert names(way) == ["main", "configure", "cpu_initclocks", "tc_init"]
    assert [step.how for step in way] == ["start", "call", "call", "call"]
    assert [step.doubt for step in way] == [None] * 4
    assert str(way[2].where) == "sys/kern/init_main.c:15"


def test_a_member_set_in_an_initialiser(index: Index) -> None:
    (way,) = index.path("main", "tsc_get_timecount", limit=1)
    assert names(way)[-2:] == ["tc_init", "tsc_get_timecount"]
    assert way[-1].how == "through tc_get_timecount, set in an initialiser"
    assert str(way[-1].set) == "sys/arch/amd64/amd64/tsc.c:4"
    assert way[-1].doubt == "one of 2 functions that are set there"


def test_a_member_by_its_place_in_the_structure(index: Index) -> None:
    (way,) = index.path("main", "i8254_get_timecount", limit=1)
    assert way[-1].how == "through tc_get_timecount, set in an initialiser"
    assert str(way[-1].set) == "sys/arch/amd64/amd64/tsc.c:14"


def test_a_variable_that_is_assigned_and_called_by_macros(index: Index) -> None:
    (way,) = index.path("configure", "tsc_delay", limit=1)
    assert names(way) == ["configure", "DELAY", "tsc_delay"]
    assert way[-1].how == "through delay_func, assigned"


def test_sysinit_is_run_by_mi_startup(index: Index) -> None:
    (way,) = index.path("main", "late", limit=1)
    assert names(way) == ["main", "mi_startup", "late"]
    assert way[-1].how == "by SYSINIT"
    assert str(way[-1].set).startswith("sys/arch/amd64/amd64/tsc.c:")


def test_ways_around_a_function(index: Index) -> None:
    assert index.path("main", "tc_init", avoid=frozenset({"configure"})) == []


def test_a_way_that_is_not_there(index: Index) -> None:
    assert index.path("tc_init", "main") == []


def test_a_function_that_is_not_there(index: Index) -> None:
    with pytest.raises(SourcesError, match="no function mainn in this tree\nPerhaps main"):
        index.path("mainn", "tc_init")


FREEBSD = {
    "sys/kern/bus.c": """\
int
device_attach(device_t dev)
{
	return (DEVICE_ATTACH(dev));
}
""",
    "sys/dev/uart.c": """\
static int
uart_attach(device_t dev)
{
	return (0);
}
static device_method_t uart_methods[] = {
	DEVMETHOD(device_attach, uart_attach),
	DEVMETHOD_END
};
""",
    "sys/kern/two.c": """\
void twice(void) { }
void caller(void) { twice(); }
""",
    "sys/kern/three.c": "void twice(void) { }\n",
    "sys/kern/four.c": "void other(void) { twice(); }\n",
}


def test_methods_of_devices(tmp_path: Path) -> None:
    index = Index.open(tree(tmp_path / "src", FREEBSD), cache=tmp_path / "cache", jobs=1)
    (way,) = index.path("device_attach", "uart_attach", limit=1)
    assert way[-1].how == "through device_attach, set by DEVMETHOD"


def test_a_name_with_several_functions_is_in_doubt(tmp_path: Path) -> None:
    index = Index.open(tree(tmp_path / "src", FREEBSD), cache=tmp_path / "cache", jobs=1)
    assert index.path("caller", "twice", limit=1)[0][-1].doubt is None
    assert index.path("other", "twice", limit=1)[0][-1].doubt == "one of 2 definitions of that name"


def test_initialisers_of_structures_without_a_name(tmp_path: Path) -> None:
    """Their text must not shift what the index says of others."""
    nameless = {
        "sys/kern/nameless.c": """\
static struct {
	void (*first)(void);
	int second;
} nameless = { late_one, 2 };
""",
    }
    index = Index.open(tree(tmp_path / "src", nameless), cache=tmp_path / "cache", jobs=1)
    assert index.path("main", "late", limit=1)[0][-1].how == "by SYSINIT"


def test_a_macro_of_a_source_file_is_seen_in_it_only(tmp_path: Path) -> None:
    macros = {
        "sys/kern/one.c": "#define wait(n) deep(n)\nvoid here(void) { wait(1); }\n",
        "sys/kern/two.c": "void deep(int n) { }\nvoid there(void) { wait(1); }\n",
    }
    index = Index.open(tree(tmp_path / "src", macros), cache=tmp_path / "cache", jobs=1)
    assert index.path("here", "deep", limit=1)
    assert not index.path("there", "deep", limit=1)


def test_a_call_by_name_is_none_of_a_member_of_that_name(tmp_path: Path) -> None:
    members = {
        "sys/kern/one.c": "void set(void) { x->quit = leave; }\nvoid leave(void) { }\n",
        "sys/kern/two.c": "void by_name(void) { quit(1); }\nvoid by_member(void) { x->quit(1); }\n",
    }
    index = Index.open(tree(tmp_path / "src", members), cache=tmp_path / "cache", jobs=1)
    assert not index.path("by_name", "leave", limit=1)
    assert index.path("by_member", "leave", limit=1)[0][-1].how == "through quit, assigned"
