"""What names do in functions, which the parser does not see from within."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.code.roles import ROLE_MASK, Role
from timehands.sources.code.scan import scan
from timehands.sources.code.tokens import Names


def roles(text: str) -> list[tuple[str, Role]]:
    """The names of a file with their roles, in order."""
    names = Names()
    found = scan([(1, text.encode())], names)
    every = names.all()
    pairs = zip(found.names.tolist(), found.roles.tolist(), strict=True)
    return [(every[name].decode(), Role(role & ROLE_MASK)) for name, role in pairs]


def within(statements: str) -> list[tuple[str, Role]]:
    """The names in a function's statements."""
    found = roles(f"void\nf(void)\n{{\n\t{statements}\n}}\n")
    assert found[0] == ("f", Role.FUNCTION)
    return found[1:]


def named(role: Role, statements: str) -> list[str]:
    return [name for name, what in within(statements) if what == role]


@pytest.mark.parametrize(
    ("statement", "locals_"),
    [
        ("int a;", ["a"]),
        ("int a, *b, **c, d[3];", ["a", "b", "c", "d"]),
        ("struct softc *sc = x, *other;", ["sc", "other"]),
        ("const struct s *const p = q;", ["p"]),
        ("unsigned long long n = f(a, b), m;", ["n", "m"]),
        ("int n = f(a, b[1]), m;", ["n", "m"]),
        ("foo_t a = { b, c }, d;", ["a"]),
        ("static const char *names[] = { b, c };", ["names"]),
        ("int (*call)(int, void *) = g;", ["call"]),
        ("foo_t (*rows)[3];", ["rows"]),
        ("for (int i = 0, n = g(a, b); i < n; i++) h(i);", ["i", "n"]),
        ("for (struct s *p = head; p != NULL; p = next) h(p);", ["p"]),
        ("if (x) { int inner = 1; }", ["inner"]),
        ("a * b;", ["b"]),
        ("a = b * c, d = e;", []),
        ("return a;", []),
        ("else a = 1;", []),
        ("goto out;", []),
        ("do a = 1; while (b);", []),
        ("g(a, b), h(c);", []),
        ("(*call)(a, b);", []),
        ("*a = b;", []),
        ("a[1] = b, c[2] = d;", []),
        ("case A: break;", []),
        ("x = a ? b : c;", []),
        ("sizeof(int); a->b = c;", []),
    ],
)
def test_locals_are_what_a_statement_declares(statement: str, locals_: list[str]) -> None:
    assert named(Role.LOCAL, statement) == locals_


def test_what_is_extern_in_a_function_is_declared_elsewhere() -> None:
    assert named(Role.DECLARATION, "extern int a, *b;") == ["a", "b"]
    assert not named(Role.LOCAL, "extern int a, *b;")


@pytest.mark.parametrize(
    ("statement", "parts"),
    [
        ("table[n] = 1;", ["table"]),
        ("table[n][m] += 1;", ["table"]),
        ("table[f(x[1])] = y[2];", ["table"]),
        ("table[n]++;", ["table"]),
        ("--table[n];", ["table"]),
        ("table[n] <<= 1;", ["table"]),
        ("sc->sc_table[i].count = n;", ["sc_table"]),
        ("a.b[i].c = n;", ["a", "b"]),
        ("a.b.c = n;", ["a", "b"]),
        ("x = table[n];", []),
        ("x = table[n] == 3;", []),
        ("*table[n] = 1;", []),
        ("table[n]->count = 1;", []),
        ("table[n = 3];", []),
        ("x[ = 1;", []),
        ("y] = 1; z[2] = 3;", ["z"]),
        ("a[b[1] = 2; c[3] = 4;", ["b", "c"]),
        ("y] = 1; z]; a[ = 2; c[3] = 4;", ["c"]),
    ],
)
def test_parts_of_arrays_and_structures_are_written(statement: str, parts: list[str]) -> None:
    assert named(Role.WRITE_PART, statement) == parts


_PIECES = st.sampled_from(
    ["int ", "a", "b", "*", ",", ";", "=", "[", "]", "(", ")", "{", "}", ".", "->", "for (", "++",
     "extern ", "\n{\n", "\n}\n", "\nint f(int c)\n{\n", "return ", "1", " ", "#if X\n",
     "\n#endif\n"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_gives_each_of_its_names_one_role(text: str) -> None:
    names = [name for name, _ in roles(text)]
    for name in ("a", "b", "c", "f", "X"):
        assert names.count(name) <= text.count(name)


def test_a_brackets_mate_in_another_file_is_none() -> None:
    names = Names()
    files = [(1, b"void f(void)\n{\n\ta[ b;\n}\n"), (2, b"void g(void)\n{\n\tc[1] = 2;\n}\n")]
    found = scan(files, names)
    every = names.all()
    (one,) = (
        every[name]
        for name, role in zip(found.names.tolist(), found.roles.tolist(), strict=True)
        if role & ROLE_MASK == Role.WRITE_PART
    )
    assert one == b"c"
