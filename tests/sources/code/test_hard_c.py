"""What nobody writes as C: no traceback, no hang; what is not understood is counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timehands.sources.code.scan import Scan, scan
from timehands.sources.code.tokens import Names

LARGE = 1 << 18
PIECES = st.lists(
    st.sampled_from(
        [b"int ", b"x", b"f(", b")", b"{", b"}", b"\n{\n", b"\n}\n", b";", b"=", b"&", b"*", b"->",
         b".", b"[", b"]", b",", b"\n", b"\r\n", b"\\\n", b"#define M(a) ", b"#if 0\n", b"#else\n",
         b"#endif\n", b"#undef M\n", b"/*", b"*/", b'"=a" (', b"'", b"atomic_store(&", b"(void *)",
         b"WRITE_ONCE(", b"return ", b"struct s ", b"typedef ", b"enum {", b"SYSINIT(", b"\nabc(a)",
         b"x_t ", b"__attribute__((", b"\0", b"\xff\xfe", b"\xc3\xa9", b"asm(", b"++", b"@", b"0x1"]
    ),
    max_size=60,
)  # fmt: skip


def read(data: bytes) -> Scan:
    return scan([(1, data)], Names())


@settings(max_examples=150)
@given(PIECES)
def test_anything_is_scanned(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found = read(data)
    lines = data.count(b"\n") + 1
    assert all(1 <= line <= lines for line in found.lines.tolist())
    assert all(1 <= one.start <= one.end <= lines for one in found.functions)


@pytest.mark.parametrize(
    ("piece", "counted"),
    [
        (b"{", True),
        (b"}", True),
        (b"\n{", True),
        (b"\n}", True),
        (b"(", True),
        (b"int a\0b;\n", True),
        (b"int \xe9t\xe9 = 1;\n", True),
        ("int x = f(y);\n".encode("utf-16-le"), False),
        (b"x\n", False),
        (b"int f(int a)\n", True),
        (b"\nSYSINIT(", True),
        (b"__aligned(", True),
        (b"struct {", True),
        (b"*", True),
        (b"int f(void)\r\n{\r\n\treturn g();\r\n}\r\n", False),
        (b"#if A\n", False),
        (b"\n{\n}", False),
        (b"/*", False),
        (b"\\\n", False),
    ],
)
def test_a_large_file_of_one_thing_is_read_to_its_end(piece: bytes, counted: bool) -> None:
    """Its time grows with its size, not with the square of that: else this takes minutes."""
    found = read(piece * (LARGE // len(piece)))
    assert bool(found.unparsed) or not counted


def test_a_line_of_a_megabyte_is_one_line() -> None:
    found = read(b"int x = " + b"a + " * LARGE + b"1;\nint y;\n")
    assert set(found.lines.tolist()) == {1, 2}


def test_a_comment_without_its_end_takes_the_rest() -> None:
    found = read(b"int x;\n/* " + b"int y;\n" * 1000)
    assert found.lines.tolist() == [1]


def test_lines_that_end_as_on_windows_count_as_one() -> None:
    found = read(b"int f(void)\r\n{\r\n\treturn g();\r\n}\r\nint y;\r\n")
    assert [(one.start, one.end) for one in found.functions] == [(1, 4)]
    assert max(found.lines.tolist()) == 5
