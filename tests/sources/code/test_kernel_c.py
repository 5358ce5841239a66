"""C as kernels have it, and what each name does in it: what was once misread on a real tree."""

from __future__ import annotations

import pytest

from timehands.sources.code.roles import ROLE_MASK, Role
from timehands.sources.code.scan import Scan, scan
from timehands.sources.code.tokens import Names


def read(text: str) -> tuple[Scan, list[str]]:
    names = Names()
    found = scan([(1, text.encode())], names)
    return found, [name.decode() for name in names.all()]


def said(text: str, name: str) -> list[str]:
    """What is said of each occurrence of a name, in their order."""
    found, every = read(text)
    rows = zip(found.names.tolist(), found.lines.tolist(), found.roles.tolist(), strict=True)
    here = sorted((line, at, role) for at, (n, line, role) in enumerate(rows) if every[n] == name)
    return [Role(role & ROLE_MASK).name for _, _, role in here]


def functions(text: str) -> list[tuple[str, int, int]]:
    """The functions and macros that call something: name, first and last line."""
    found, every = read(text)
    return [(every[one.name], one.start, one.end) for one in found.functions]


def within(statement: str) -> str:
    return f"void\nf(void)\n{{\n\t{statement}\n}}\n"


@pytest.mark.parametrize(
    ("statement", "role"),
    [
        ("x = 1;", "WRITE"),
        ("x\n\t    = 1;", "WRITE"),
        ("a = x = b;", "WRITE"),
        ("for (x = 0, y = 1;;)", "WRITE"),
        ("a ? x = 1 : 2;", "WRITE"),
        ("while ((x = get()) != 0)", "WRITE"),
        ("(x) = 1;", "WRITE"),
        ("(a->x) |= 1;", "MODIFY"),
        ("a->b.x = 1;", "WRITE"),
        ("x <<= 1;", "MODIFY"),
        ("--a->x;", "MODIFY"),
        ("x[f(a, b)][2].c = 1;", "WRITE_PART"),
        ("x[1][2][3]++;", "WRITE_PART"),
        ("a->x.b[2] = 1;", "WRITE_PART"),
        ("*x = 1;", "WRITE_THROUGH"),
        ("*a->x |= 1;", "WRITE_THROUGH"),
        ("(*x)++;", "WRITE_THROUGH"),
        ("*x++ = 1;", "MODIFY"),
        ("WRITE_ONCE(x, 1);", "WRITE"),
        ("WRITE_ONCE(a->x, 1);", "WRITE"),
        ("READ_ONCE(x);", "READ"),
        ("atomic_store_rel_int(&x, 1);", "MODIFY"),
        ("atomic_add_64(&a->x, 1);", "MODIFY"),
        ("__atomic_store_n(&x, 1, 0);", "MODIFY"),
        ("y = atomic_load_acq_64(&x);", "READ"),
        ("atomic_fcmpset_int(&y, &x, 1);", "ADDRESS"),
        ("get(&x);", "ADDRESS"),
        ("get(&(x));", "ADDRESS"),
        ("get((void *)&x);", "ADDRESS"),
        ("get((uintptr_t)&x);", "ADDRESS"),
        ("return &x;", "ADDRESS"),
        ("y = mask & x;", "READ"),
        ("y = (mask) & x;", "READ"),
        ("y = a && x;", "READ"),
        ("memset(&x, 0, sizeof(x));", "ADDRESS"),
        ("y = sizeof(x);", "READ"),
        ("if (x == 1)", "READ"),
        ("if (*x) ++y;", "READ"),
        ("if (x <= 1)", "READ"),
        ('__asm __volatile("rdtsc" : "=a" (x), "=d" (y));', "OUTPUT"),
        ('asm("" : "+r" (a->x));', "OUTPUT"),
        ('asm("" : [out] "=&r" (x));', "OUTPUT"),
        ('asm("" : : "r" (x));', "READ"),
        ('printf("=%d", x);', "READ"),
        ("struct s v = { .x = 1 };", "DESIGNATOR"),
        ("struct s v = { .a.x = 1 };", "DESIGNATOR"),
        ("struct s v = { [x] = 1 };", "READ"),
    ],
)
def test_writes_in_a_function(statement: str, role: str) -> None:
    assert said(within(statement), "x")[0] == role


def test_initialisers_of_the_file() -> None:
    text = "struct s v = {\n\t.a.b = c,\n\tOLD( .d = ) e,\n\t.f[1] = g\n};\n"
    assert [said(text, name) for name in "abdf"] == [["DESIGNATOR"]] * 4
    assert [said(text, name) for name in "ceg"] == [["INITIAL"]] * 3


def test_macros_write() -> None:
    text = "#define SET(t) ((t)->x |= 1, y = 1, z.w = 2, get(&a), b)\n"
    assert [said(text, name)[0] for name in "xyzwab"] == [
        "MODIFY", "WRITE", "WRITE_PART", "WRITE", "ADDRESS", "MACRO_BODY",
    ]  # fmt: skip


def test_a_comment_does_not_end_a_macro() -> None:
    """FreeBSD's sys/dev/sfxge/common/efsys.h."""
    text = (
        "#define M(x) do { \\\n\t/* one \\\n\t * two \\\n\t */ \\\n"
        "\tf \\\n\t    (x); \\\n} while (0)\n"
    )
    assert functions(text) == [("M", 1, 7)]
    assert said(text, "f") == ["CALL"]


def test_parameters_are_no_variables() -> None:
    """FreeBSD's sys/contrib/dev/acpica/include/acevents.h and linux/vgaarb.h."""
    text = (
        "int f(char **a, int b[2][3], int (*c)(void *d), char *e[], int ***g, int (**h)(int),\n"
        "    int (*i[2])(void));\n"
    )
    assert {said(text, name)[0] for name in "abcdeghi"} == {"LOCAL"}


def test_a_type_before_a_pointer_to_a_function_is_not_called() -> None:
    text = (
        "struct s {\n\tt_t (*m)(int);\n};\nstatic t_t (*v)(int);\nint f(t_t (*p)(int));\n"
        "int\ng(t_t (*p)(int))\n{\n\treturn h(*p);\n}\n"
    )
    assert said(text, "t_t") == ["READ"] * 4
    assert said(text, "h") == ["CALL"]


def test_a_macro_at_the_margin_takes_nothing_with_it() -> None:
    """NetBSD's sys/sys/syscallargs.h."""
    text = (
        "struct a {\n\tint m;\n};\ncheck_args(a)\n\nstruct b;\n\ncheck_args(b)\n"
        "struct c {\n\targ(int) n;\n};\ncheck_args(c)\ncheck_args(d)\n\nint\tg(struct b *);\n"
    )
    assert said(text, "b")[0] == "READ"
    assert said(text, "c")[0] == "TYPE"
    assert said(text, "g") == ["DECLARATION"]
    assert functions(text) == []


@pytest.mark.parametrize("kind", ["", "static int\n", "char *\n"])
def test_a_function_of_old_is_none(kind: str) -> None:
    text = f"{kind}g(a, b)\n\tint a;\n\tchar *b;\n{{\n\th(a);\n}}\n"
    assert functions(text) == [("g", 1, text.count("\n"))]


def test_a_function_whose_name_a_macro_makes() -> None:
    """NetBSD's sys/dev/rasops/rasops_putchar_width.h."""
    text = "static void\nNAME(A, B)(void *cookie, int row)\n{\n\tbool ul;\n\n\tul = row;\n}\n"
    assert [one[1:] for one in functions(text)] == [(1, 7)]
    assert said(text, "ul") == ["LOCAL", "WRITE"]


def test_no_function_is_named_by_a_keyword() -> None:
    """FreeBSD's sys/amd64/amd64/machdep.c."""
    text = "vm_paddr_t __nosanitizeaddress __nosanitizememory\nload(void)\n{\n\tg();\n}\n"
    assert functions(text) == [("load", 1, 5)]
    assert functions("vm_paddr_t STRANGE\nload(void)\n{\n\tg();\n}\n")[0][0] != "void"


def test_a_type_before_another_macro_is_no_variable() -> None:
    """zlib.h."""
    assert said("ZEXTERN z_size_t ZEXPORT gzfread OF((voidp buf));\n", "z_size_t") == ["READ"]


def test_a_last_brace_behind_a_blank_ends_its_function() -> None:
    """NetBSD's sys/net/pktqueue.c."""
    text = "static int\na(void)\n{\n\tf();\n }\n\nint\nb(void)\n{\n\tg();\n}\n"
    assert functions(text) == [("a", 1, 5), ("b", 7, 11)]


def test_a_branch_that_ends_with_a_macro_at_the_margin_stands_beside_the_other() -> None:
    """FreeBSD's sys/kern/p1003_1b.c."""
    one = "static int\na(void)\n{\n\tf();\n}\n\nMISSING(a)\nMISSING(b)\n"
    text = f"#ifndef X\n{one}#else\nint\nb(void)\n{{\n\tg();\n}}\n#endif\n"
    assert [name for name, *_ in functions(text)] == ["a", "b"]
