"""The oracles are gcc, which computes hundreds of made-up expressions, and gdb."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.compiled import Program, compiler, run
from timehands.errors import ExpressionError
from timehands.kernels.expressions import Environment, evaluate, parse
from timehands.kernels.file_memory import FileMemory
from timehands.kernels.memory import Unreadable
from timehands.kernels.types import Int, spell
from timehands.kernels.values import Reading, Value, literal


class Nowhere:
    """Memory that cannot be read."""

    def read(self, address: int, length: int) -> bytes:
        raise Unreadable(address, length)


VARIABLES = {
    "a": (Int("signed char", 1, True, "char"), -5), "b": (Int("unsigned char", 1, False), 200),
    "c": (Int("short", 2, True), -300), "d": (Int("unsigned short", 2, False), 65535),
    "e": (Int("int", 4, True), -(1 << 31)), "f": (Int("unsigned int", 4, False), (1 << 32) - 1),
    "g": (Int("long", 8, True), -(1 << 40)), "h": (Int("unsigned long", 8, False), (1 << 64) - 9),
}  # fmt: skip
READING = Reading(Nowhere(), {"rax": 7, "rdi": 0x1122334455667788, "rsp": 0x1000})


def local(name: str) -> Value | None:
    return literal(*VARIABLES[name], READING) if name in VARIABLES else None


ENVIRONMENT = Environment(READING, None, {"CPUID_TSC": 0x10, "BIG": 1 << 63}, local)


def value(text: str) -> int:
    return int(evaluate(text, ENVIRONMENT))


leaf = st.one_of(
    st.sampled_from(sorted(VARIABLES)),
    st.integers(0, 300).map(str),
    st.sampled_from(["0x7fffffff", "0x80000000", "4294967296", "2147483648", "0xffffffffffffffff",
                     "077", "0b101", "'a'", "'\\n'", "'\\xff'", "'\\0'", "1u", "1ul", "3LL", "0x1p"
                     [:3], "sizeof(long)", "sizeof(unsigned char)", "sizeof 1"]),
)  # fmt: skip


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(
        ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&&",
         "||"]
    )  # fmt: skip
    cast = st.sampled_from(
        ["(unsigned char)", "(short)", "(_Bool)", "(int)", "(unsigned)", "(long)",
         "(unsigned long long)", "(char)", "(long unsigned int)"]
    )  # fmt: skip
    return st.one_of(
        st.tuples(inner, binary, inner).map(" ".join),
        st.tuples(st.just("("), inner, binary, inner, st.just(")")).map(" ".join),
        st.tuples(st.sampled_from(["- ", "~", "!", "+ "]), inner).map("".join),
        st.tuples(cast, inner).map("".join),
        st.tuples(st.just("("), inner, st.just("?"), inner, st.just(":"), inner, st.just(")")).map(
            " ".join
        ),
        st.tuples(st.just("sizeof("), inner, st.just(")")).map("".join),
    )


expressions = st.recursive(leaf, larger, max_leaves=12)
_NAMES = ("int", "unsigned int", "long", "unsigned long", "char", "short", "unsigned char", "_Bool")


def computed(texts: list[str], folder: Path) -> list[str]:
    """What gcc says of the expressions: type and number."""
    shown = "".join(
        f'printf("%s %lu\\n", NAME({text}), (unsigned long)({text}));\n' for text in texts
    )
    named = ", ".join(f'{name}: "{name}"' for name in _NAMES)
    named += ', long long: "long", unsigned long long: "unsigned long"'
    declared = "".join(
        f"volatile {'char' if name == 'a' else kind.name} {name} = {number % (1 << 64)}ul;"
        for name, (kind, number) in VARIABLES.items()
    )
    (folder / "x.c").write_text(
        f"#include <stdio.h>\n#define NAME(x) _Generic((x), {named})\n{declared}\n"
        f"int main(void) {{\n{shown}return 0; }}\n"
    )
    command = [compiler("gcc"), "-w", "-O0", "-fwrapv", "-o", "x", "x.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return run([str(folder / "x")]).splitlines()


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(st.lists(expressions, min_size=40, max_size=120))
def test_integers_are_computed_as_gcc_does(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    kept, ours = [], []
    for text in texts:
        try:
            found = evaluate(text, ENVIRONMENT)
        except ExpressionError as error:
            assert any(
                word in error.reason for word in ("division", "shift", "too deeply", "operators")
            ), error  # what C leaves undefined, or more than we read
            continue
        name = spell(found.type).replace("long long", "long").replace("long unsigned int",
                                                                     "unsigned long")  # fmt: skip
        name = {"signed char": "char", "unsigned short": "int"}.get(name, name)
        kept.append(text)
        ours.append(f"{name} {int(found) % (1 << 64)}")
    compared = [(text, one) for text, one in zip(kept, ours, strict=True) if text not in VARIABLES]
    theirs = computed([text for text, _ in compared], tmp_path_factory.mktemp("gcc"))
    assert [one for _, one in compared] == theirs, [text for text, _ in compared]


def test_variables_are_what_gdb_prints(program: Program) -> None:
    reading = Reading(FileMemory(program.elf), {}, program.symbols)
    environment = Environment(reading, program.types)
    texts = ["timecounter->tc_frequency * 2", "first.narrow + 1", "&first.grid[1][2]",
             "*(unsigned char *)&first.grid[2][2]", "(long)timecounter->tc_next - (long)&second",
             "first.signed_bits < 0", "sizeof(struct timecounter)", "sizeof first.grid",
             "numbers[2] ? TSC : 0", "first.both.all", "&numbers[3] - numbers", "*numbers",
             "first.tc_name[1]", "(struct timecounter *)0 == first.tc_next->tc_next",
             "&((struct timecounter *)0)->tc_name", "!timecounter", "first.bits | B4",
             "lists->self->first->tc_frequency", "(*timecounter).tc_frequency", "get == &get",
             "first.far >> 4", "-first.wider", "*timecounter->tc_name",
             "timecounter + 1"]  # fmt: skip
    asked = [word for one in texts for word in (f"-ex=output/d {one}", "-ex=echo \\n")]
    theirs = run(["gdb", "-nx", "-batch", *asked, str(program.path)]).splitlines()
    ours = [str(int(evaluate(text, environment))) for text in texts]
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("", "a value is expected", 0),
        ("1 +", "a value is expected", 3),
        ("1 2", "nothing is expected", 2),
        ("a = 1", "only --set may assign", 2),
        ("1 / 0", "a division by zero", 2),
        ("1 % (1 - 1)", "a division by zero", 2),
        ("1 << 32", "a shift of 32 bits by 32", 2),
        ("1 << -1", "a shift of 32 bits by -1", 2),
        ("*(int *)0", "a null pointer is followed", 0),
        ("*a", "is no pointer", 0),
        ("a.x", "has no members", 2),
        ("nothing", "nothing is called nothing", 0),
        ("1 + $xyz", "no register $xyz", 4),
        ("(struct nothing)1", "no type struct nothing", 1),
        ("1 ? 2", ": is expected", 5),
        ("(1", ") is expected", 2),
        ("a[1", "] is expected", 3),
        ("a->1", "a member's name", 3),
        ("1.5", "this is no C expression", 0),
        ("09", "this is no number", 0),
        ("99999999999999999999", "no 64-bit number", 0),
        ("1 @ 2", "this is no C expression", 2),
        ("int", "a type stands here", 0),
        ("*(int *)4 + 1", "cannot be read at 0x4", 0),
        ("&1", "not in memory", 0),
        ("(void)1", "nothing can be cast to void", 0),
        ("(int *)4 * 2", "pointers cannot be operands of *", 9),
    ],
)
def test_what_has_no_value_says_why_and_where(text: str, message: str, position: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        int(evaluate(text, ENVIRONMENT))
    assert message in raised.value.reason
    assert raised.value.position == position


@pytest.mark.parametrize(
    "text", ["(" * 5000, "-" * 4000 + "1", "1" + "+1" * 2000, "a" * 5000, "1?" * 900 + "1",
             "(int)" * 700 + "1", "sizeof " * 500 + "1", "a" + "[1" * 900, "a" + ".b" * 1800,
             "(int" + "*" * 3000 + ")1", "!" * 60 + "1" + "?1:1" * 400]
)  # fmt: skip
def test_what_is_too_much_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, ENVIRONMENT)


def test_nested_casts_cost_no_more_than_their_number() -> None:
    assert value("(int)" * 60 + "1") == 1
    assert value("(" * 30 + "1" + "+1)" * 30) == 31


def test_operands_that_c_does_not_evaluate_are_not() -> None:
    assert value("0 && 1 / 0") == 0
    assert value("1 || *(int *)0") == 1
    assert value("1 ? 2 : 1 / 0") == 2
    assert value("sizeof(1 / 0)") == 4
    assert value("sizeof(*(long *)0)") == 8


def test_names_registers_and_arguments() -> None:
    assert value("f & CPUID_TSC") == 0x10
    assert value("BIG >> 63") == 1
    assert value("$rax + 1") == 8
    assert value("$edi") == 0x55667788
    assert value("arg0 == $rdi && $arg0 == arg0") == 1


@settings(max_examples=300)
@given(st.text("()*&-+1a.[]?:<>=!~$x'\\ sizeof\"", max_size=40))
def test_no_text_brings_another_error(text: str) -> None:
    try:
        evaluate(text, ENVIRONMENT).format()
        parse(text)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)
