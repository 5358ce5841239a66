"""Which ways come first, and what a configuration or a recording makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from code_trees import tree
from timehands.errors import SourcesError
from timehands.sources.code import Index, Step
from timehands.sources.code.model import Ran
from timehands.sources.config.macros import ConfiguredMacros

FILES = {
    "sys/sys/systm.h": """\
void panic(const char *) __dead2;
#define	snooze(n)	DELAY2(n)
""",
    "sys/kern/start.c": """\
#include <sys/systm.h>
void
begin(void)
{
	if (bad)
		panic("bad");
	long_one();
#ifdef WITNESS
	witness();
#endif
#if HZ > 1000
	DELAY2(1);
#endif
	ops->probe();
	snooze(3);
}
void long_one(void) { long_two(); }
void long_two(void) { long_three(); }
void long_three(void) { DELAY2(1); }
void witness(void) { DELAY2(1); }
""",
    "sys/kern/shutdown.c": """\
void
panic(const char *why)
{
	va_list ap;

	va_start(ap, why);
	vpanic(why, ap);
	va_end(ap);
}
void
vpanic(const char *why)
{
	DELAY2(1);
	for (;;)
		;
}
"""
    + "".join(f"void check{n}(void) {{ panic(0); }}\n" for n in range(20)),
    "sys/kern/delay.c": "void DELAY2(int n) { init_ops.early(n); tc_read(n); }\n",
    "sys/x86/pc.c": "struct init_ops init_ops = { .early = i8254_delay2 };\n"
    "void i8254_delay2(int n) { inb(n); }\n",
    "sys/x86/xen.c": "struct init_ops xen_ops = { .early = xen_delay2 };\n"
    "void xen_delay2(int n) { hypercall(n); }\n",
    "sys/dev/nic.c": "#include <sys/systm.h>\nvoid nic(void) { snooze(1); }\n",
    "sys/dev/odd.h": "#define snooze(n) odd(n)\n",
    "sys/dev/odd.c": '#include "odd.h"\nvoid odd(int n) { }\nvoid odd_user(void) { snooze(1); }\n',
    "sys/dev/cons.c": """\
CONSOLE_DRIVER(
	tiny,
	.cn_resume = tiny_resume,
);
static void
tiny_cnputc(int c)
{
	DELAY2(c);
}
void cnputc(int c) { cn->cn_ops->cn_putc(c); }
""",
    "sys/dev/many.c": "".join(
        f"void many{n}(void) {{ DELAY2(1); }}\nstruct driver d{n} = {{ .probe = many{n} }};\n"
        for n in range(30)
    ),
    "sys/sys/ops.h": """\
struct alpha { void (*begin_it)(void); };
struct beta { void (*begin_it)(void); };
""",
    "sys/kern/ops.c": """\
#include <sys/ops.h>
static void alpha_begin(void) { alpha_more(); }
void alpha_more(void) { alpha_most(); }
void alpha_most(void) { common_end(); }
static void beta_begin(void) { common_end(); }
void common_end(void) { }
struct alpha alpha_ops = { .begin_it = alpha_begin };
struct beta beta_ops = { .begin_it = beta_begin };
void use(struct alpha *which) { which->begin_it(); }
""",
    "sys/kern/handed.c": """\
#define later(c, how, fn)	later_on((c), 0, (fn))
void later_on(struct callout *c, int cpu, void (*func)(void *)) { add(func, c); }
static void
add(void (*todo)(void *), struct callout *c)
{
	c->c_todo = todo;
}
static void limit_cb(void *arg) { }
void limit(void) { later(&callout, 1, limit_cb); }
void
soft(struct callout *c)
{
	void (*run)(void *);

	run = c->c_todo;
	run(c);
}
void each(int n, void (*visit)(int)) { visit(n); }
static void seen(int n) { }
void all(void) { each(3, &seen); }
""",
    "sys/kern/pointers.c": """\
void (*tick_func)(int) = first_tick;
void first_tick(int n) { }
void other_tick(int n) { }
void tick(void) { tick_func(1); }
void local_set(void) { void (*run_it)(void); run_it = other_tick; }
void local_call(void (*run_it)(void)) { run_it(); }
""",
    "sys/tests/one.c": "int prog_main(void) { DELAY2(1); }\n",
    "sys/tests/two.c": "int prog_main(void) { DELAY2(2); }\n",
    "sys/tests/lib/lib.c": "void lib(void) { }\n",
    "sys/tests/lib/tests.h": "static int prog_main(void) { DELAY2(3); }\n",
    "sys/kern/self_test.c": "#ifndef _KERNEL\nint prog_main(void) { DELAY2(4); }\n#endif\n",
    "sys/tests/three.c": "int part_main(void) { DELAY2(2); }\n",
    "sys/parts/part.c": "int part_main(void) { DELAY2(2); }\n",
    "sys/parts/whole.c": '#include "part.c"\n',
}


class Build:
    """A configuration of our own: files that are left out, and macros."""

    def __init__(self, *out: str, unlisted: Sequence[str] = (), **macros: str) -> None:
        self._out, self._unlisted, self._macros = out, unlisted, macros

    @property
    def macros(self) -> ConfiguredMacros:
        return ConfiguredMacros(self._macros, lambda name: name == "XENHVM")

    def listed(self, file: str) -> bool | None:
        return None if file.endswith(".h") or file in self._unlisted else file not in self._out

    def compiled(self, file: str) -> bool | None:
        return None if file in self._unlisted else self.listed(file)

    def condition(self, file: str) -> str:
        return "xenhvm (conf/files:9)" if file.endswith("xen.c") else ""

    def refusal(self, file: str) -> str:
        return "xenhvm (conf/files:9)" if file.endswith("xen.c") else "no line names it"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("ways")
    return Index.open(tree(folder / "src", FILES), cache=folder / "cache", jobs=1)


def names(way: list[Step]) -> list[str]:
    return [step.function for step in way]


def test_plain_calls_come_before_panics(index: Index) -> None:
    ways = index.path("begin", "DELAY2", limit=20)
    assert names(ways[0]) == ["begin", "DELAY2"]
    told = [names(way)[1] for way in ways]
    assert told.index("long_one") < told.index("many0")
    assert "panic" not in told, "far dearer than the best"
    assert names(index.path("check3", "DELAY2", limit=1)[0]) == [
        "check3", "panic", "vpanic", "DELAY2",
    ]  # fmt: skip


def test_conditions_are_told_without_a_configuration(index: Index) -> None:
    (way,) = index.path("begin", "witness", limit=1)
    assert way[-1].conditions == ("#ifdef WITNESS",)


def test_a_configuration_leaves_out_what_is_not_compiled(index: Index) -> None:
    build = Build(HZ="100")
    told = [names(way)[1] for way in index.path("begin", "DELAY2", limit=20, build=build)]
    assert "witness" not in told
    assert told[0] == "snooze", "the direct call stands within #if HZ > 1000"
    ways = index.path("begin", "DELAY2", limit=1, build=Build(HZ="2000"))
    assert ways[0][-1].conditions == ("#if HZ > 1000",)


def test_an_undecided_condition_stays_and_is_marked(index: Index) -> None:
    (way,) = index.path("begin", "DELAY2", limit=1, build=Build(HZ="hz_of(9)"))
    assert way[-1].conditions in ((), ("#if HZ > 1000, not decided",))
    ways = index.path("begin", "DELAY2", limit=20, build=Build(HZ="hz_of(9)"))
    direct = [way for way in ways if names(way) == ["begin", "DELAY2"]]
    assert direct[0][-1].conditions == ("#if HZ > 1000, not decided",)


def test_the_line_that_cuts_the_shortest_way(index: Index) -> None:
    build = Build("sys/x86/xen.c")
    assert index.path("begin", "xen_delay2", build=build) == []
    cut = index.cut("begin", "xen_delay2", build)
    assert cut is not None
    assert list(map(str, cut.lines)) == ["sys/x86/xen.c is not compiled: xenhvm (conf/files:9)"]
    assert names(list(cut.way))[-2:] == ["DELAY2", "xen_delay2"]


def test_a_condition_that_cuts(index: Index) -> None:
    cut = index.cut("begin", "witness", Build())
    assert cut is not None
    assert list(map(str, cut.lines)) == ["sys/kern/start.c:8: #ifdef WITNESS does not hold"]


def test_nothing_cuts_what_was_never_there(index: Index) -> None:
    assert index.cut("i8254_delay2", "begin", Build()) is None


def test_the_condition_of_a_file_is_told(index: Index) -> None:
    (way,) = index.path("DELAY2", "xen_delay2", limit=1, build=Build())
    assert way[-1].conditions == ("only with xenhvm (conf/files:9)",)
    assert way[-1].doubt == "one of 2 functions that are set there"


def test_a_pointer_is_certain_with_one_setter_of_the_configuration(index: Index) -> None:
    (way,) = index.path("DELAY2", "i8254_delay2", limit=1, build=Build("sys/x86/xen.c"))
    assert way[-1].doubt is None


def test_a_file_that_no_line_names_comes_last_and_is_marked(index: Index) -> None:
    build = Build(unlisted=("sys/dev/cons.c",))
    (way,) = index.path("cnputc", "DELAY2", limit=1, build=build)
    assert "no line says whether sys/dev/cons.c is compiled" in way[0].conditions


def test_a_way_begins_in_no_program_that_the_tree_has_besides(index: Index) -> None:
    *programs, kernels = (
        f"sys/tests/{name}" for name in ("lib/lib.c", "lib/tests.h", "one.c", "two.c")
    )
    (way,) = index.path("prog_main", "DELAY2", limit=1, build=Build(unlisted=programs))
    assert way[0].where.file == kernels
    with pytest.raises(SourcesError, match="compiles defines prog_main") as caught:
        index.path("prog_main", "DELAY2", build=Build(unlisted=(*programs, kernels)))
    assert caught.value.advice == (
        "It is in sys/kern/self_test.c, sys/tests/lib/tests.h, sys/tests/one.c and 1 more."
    )


def test_a_way_may_begin_in_a_file_that_another_includes(index: Index) -> None:
    parts = ("sys/parts/part.c", "sys/tests/three.c")
    (way,) = index.path("part_main", "DELAY2", limit=1, build=Build(unlisted=parts))
    assert way[0].where.file == parts[0]


def test_consoles_by_their_macro(index: Index) -> None:
    (way,) = index.path("cnputc", "DELAY2", limit=1)
    assert names(way) == ["cnputc", "tiny_cnputc", "DELAY2"]
    assert way[1].how == "through cn_putc, set by CONSOLE_DRIVER"


def test_a_recording_prefers_what_ran(index: Index) -> None:
    ran = Ran(frozenset(("begin", "long_one", "long_two", "long_three", "DELAY2")),
              frozenset(("snooze", "witness")))  # fmt: skip
    ways = index.path("begin", "DELAY2", limit=20, build=Build(HZ="100"), ran=ran)
    assert names(ways[0])[1] == "long_one"
    assert {step.ran for step in ways[0]} == {"ran"}
    assert [step.ran for way in ways for step in way if step.function == "snooze"] in (
        [], ["never"],
    )  # fmt: skip


def test_a_macro_is_that_of_the_header_which_is_included(index: Index) -> None:
    assert index.path("nic", "DELAY2", limit=1)
    assert not index.path("nic", "odd", limit=1)
    assert names(index.path("odd_user", "odd", limit=1)[0]) == ["odd_user", "snooze", "odd"]


def test_a_pointer_that_is_defined_with_its_function(index: Index) -> None:
    (way,) = index.path("tick", "first_tick", limit=1)
    assert way[-1].how == "through tick_func, set where it is defined"
    assert str(way[-1].set) == "sys/kern/pointers.c:1"


def test_a_local_pointer_is_none_of_another_function(index: Index) -> None:
    assert not index.path("local_call", "other_tick", limit=1)


def test_a_member_is_that_of_the_structure_which_is_called(index: Index) -> None:
    first = index.path("use", "common_end", limit=2)[0]
    assert names(first) == ["use", "alpha_begin", "alpha_more", "alpha_most", "common_end"]


def test_a_function_that_is_handed_over_to_a_pointer(index: Index) -> None:
    (way,) = index.path("soft", "limit_cb", limit=1)
    assert names(way) == ["soft", "limit_cb"]
    assert way[1].how == "through c_todo (as run), handed over"
    assert str(way[1].set) == "sys/kern/handed.c:9"
    assert str(way[1].where) == "sys/kern/handed.c:16"


def test_a_function_that_is_handed_over_to_its_caller(index: Index) -> None:
    (way,) = index.path("each", "seen", limit=1)
    assert way[1].how == "call of what is handed over"
    assert str(way[1].set) == "sys/kern/handed.c:20"


def test_a_name_with_300_functions(tmp_path: Path) -> None:
    many = {f"sys/dev/d{n}/d{n}.c": "void reset(void) { deep(); }\n" for n in range(300)}
    many["sys/dev/d7/user.c"] = "void user(void) { reset(); }\n"
    many["sys/kern/other.c"] = "void other2(void) { reset(); }\n"
    many["sys/kern/deep.c"] = "void deep(void) { }\n"
    many["sys/kern/own.c"] = "static void reset(void) { deep(); }\nvoid own(void) { reset(); }\n"
    index = Index.open(tree(tmp_path / "src", many), cache=tmp_path / "cache", jobs=1)
    (near,) = index.path("user", "deep", limit=3)
    assert str(near[2].where) == "sys/dev/d7/d7.c:1"
    assert near[1].doubt == "the nearest of 300 definitions of that name"
    (way,) = index.path("other2", "deep", limit=3)
    assert way[1].doubt == "one of 300 definitions of that name"
    (own,) = index.path("own", "deep", limit=3)
    assert own[1].doubt is None


def test_nothing_hangs_on_texts_that_nobody_writes(tmp_path: Path) -> None:
    """Long lines, conditions without end, functions that hand each other over in circles."""
    blank, many = " " * 200_000, "struct a b " * 20_000
    circle = "".join(
        f"void c{n}(void (*f)(int)) {{ c{n + 1}(f); c{n + 2}(f); c{(n * 7) % 40}(f); }}\n"
        for n in range(40)
    )
    odd = {
        "sys/kern/odd.c": f"void goal(int n) {{ }}\nvoid begin2(void) {{ x->{blank}go(1); }}\n"
        f"{many}\nstruct ops o = {{ .go{blank}= goal }};\n",
        "sys/kern/open.c": "#if A\n" * 5000 + "void deep2(void) { goal(1); }\n" + "#else\n" * 500,
        "sys/kern/circle.c": circle + "void lone(int n) { }\nvoid start2(void) { c0(lone); }\n",
        "sys/kern/bad.c": b"void \xff\xfe(void) { goal(1); } #if (((".decode("latin-1"),
    }
    index = Index.open(tree(tmp_path / "src", odd), cache=tmp_path / "cache", jobs=1)
    assert not index.path("deep2", "goal", build=Build())
    assert index.path("deep2", "goal", build=Build(A="1"))
    index.path("begin2", "goal")
    assert index.path("start2", "lone", limit=1)[0][-1].how == "named, not called"
    assert index.cut("lone", "goal", Build()) is None
