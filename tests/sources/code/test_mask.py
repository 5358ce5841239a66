from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timehands.sources.code.mask import mask
from timehands.sources.code.parse import parse

PIECES = st.lists(
    st.sampled_from(
        [b"/*", b"*/", b"//", b'"', b"'", b"\\", b"\n", b"\r\n", b"#if 0\n", b"#else\n", b"{", b"}",
         b"#endif\n", b"#ifdef X\n", b"#elif Y\n", b"int f(int a)", b";", b"(", b")", b"__unused ",
         b"__attribute__((", b"))", b"#define A(b) \\\n b", b"TAILQ_FOREACH(a, b, c)", b"= 1, 2, ",
         b", struct x *)", b"SYSINIT(a, b, c, d, e);", b"\0", b"\xff", b" "]
    ),
    max_size=40,
)  # fmt: skip


@given(PIECES)
def test_every_copy_is_as_long_and_has_the_same_lines(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    masked = mask(data)
    for copy in (masked.text, masked.plain, masked.code):
        assert len(copy) == len(data)
        assert [at for at, c in enumerate(copy) if c == 10] == [
            at for at, c in enumerate(data) if c == 10
        ]
    parse(masked.code)


@pytest.mark.parametrize(
    "text",
    [
        b"int __unused x;\n",
        b"static int f(int a __unused)\n{\n\treturn a;\n}\n",
        b'__FBSDID("x");\n__KERNEL_RCSID(0, "$NetBSD$");\nint x;\n',
        b"void f(void)\n{\n\tTAILQ_FOREACH(a, &b, c) {\n\t\tg(a);\n\t}\n}\n",
        b"struct s {\n\tTAILQ_HEAD(, t) s_list;\n\tLIST_ENTRY(s) s_next;\n};\n",
        b"void f(void)\n{\n\tx = mtod(m, struct ip *);\n}\n",
        b'static SYSCTL_NODE(_kern, OID_AUTO, x, 0, 0, "it\'s");\nint x;\n',
        b'MALLOC_DEFINE(M_X, "x", "y");\nSYSINIT(x, A, B, f, NULL);\nint x;\n',
        b"int\nf(a, b)\n\tint a;\n\tchar *b;\n{\n\treturn a;\n}\n",
        b"void f(void)\n{\n\tTSENTER();\n\tTSEXIT();\n}\n",
        b"#ifdef A\nvoid f(int a)\n#else\nvoid f(long a)\n#endif\n{\n}\n",
        b"void f(void)\n{\n\tif (a\n#ifdef B\n\t    && b\n#endif\n\t    ) {\n\t}\n}\n",
        b"void f(void)\n{\n#ifdef A\n\tif (a) {\n#else\n\tif (b) {\n#endif\n\t\tg();\n\t}\n}\n",
        b'#ifdef __cplusplus\nextern "C" {\n#endif\nint x;\n#ifdef __cplusplus\n}\n#endif\n',
        b"int x __attribute__((aligned(sizeof(int)), used)) = 1;\n",
        b"const struct cdevsw c = {\n\t.d_open = o,\n#if 0\n\t{{{\n#endif\n\t.d_close = c,\n};\n",
    ],
)
def test_kernel_c_is_parsed_without_an_error(text: bytes) -> None:
    assert parse(mask(text).code).errors == []


def test_a_function_that_cannot_be_parsed_is_found_by_its_braces() -> None:
    text = b"static void\nlost(int a) STRANGE %% b\n{\n\tg();\n}\n\nint y;\n"
    structure = parse(mask(text).code)
    assert structure.errors
    assert [span.name for span in structure.functions] == [b"lost"]


def test_macros_at_the_margin_do_not_hide_the_function_behind_them() -> None:
    text = (
        b"COUNT(hits)\nCOUNT(misses)\n\nvoid\ninit(void)\n{\n}\n"
        b"DEFINE_STATIC(int, x) = 1;\nint\nfor_each_item(int a)\n{\n}\nint\nSHOUT(int a)\n{\n}\n"
    )
    structure = parse(mask(text).code)
    assert sorted(span.name for span in structure.functions) == [
        b"SHOUT",
        b"for_each_item",
        b"init",
    ]
    assert not structure.errors


def test_a_function_whose_name_a_macro_makes_is_found_by_the_last_word() -> None:
    text = b"void\n__CONCAT(PMTYPE, kenter)(int va)\n{\n}\nint *plain(void (*call)(int))\n{\n}\n"
    functions = parse(mask(text).code).functions
    assert sorted(span.name for span in functions) == [b"kenter", b"plain"]


@pytest.mark.parametrize(
    "text",
    [
        b"struct s x = " + b"{.a=" * 50_000 + b"1" + b"}" * 50_000 + b";",
        b"{" * 200_000,
        b"f(" * 100_000,
        b"int [ = ( ; ) ] } {" * 2_000,
        b"#if A\n" * 2_000 + b"x;\n" + b"#else\n#endif\n" * 2_000,
        b"/*" * 5_000,
        b"x = " + b"! " * 300_000,
        b'"' * 9_999,
        b"__attribute__((" * 20_000,
        b"0, " * 30_000 + b"(",
        b"struct s x = " + b"{.a=" * 90 + b"f" + b"}" * 90 + b";",
    ],
    ids=range(11),
)
def test_what_nests_without_end_is_given_up_not_followed(text: bytes) -> None:
    structure = parse(mask(text).code)
    assert structure.functions == []
    assert len(structure.errors) <= len(text)


def test_a_file_that_nests_too_deep_keeps_its_functions() -> None:
    text = b"void\nfine(void)\n{\n\tg();\n}\nint x = " + b"(" * 1000 + b"1" + b")" * 1000 + b";\n"
    structure = parse(mask(text).code)
    assert structure.errors == [0]
    assert [span.name for span in structure.functions] == [b"fine"]
