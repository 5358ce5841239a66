"""What a stream can show."""

from __future__ import annotations

import io

import pytest

from timehands.reports.surface import Surface


class _Stream(io.StringIO):
    def __init__(self, tty: bool, encoding: str) -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    def isatty(self) -> bool:
        return self._tty

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.mark.parametrize(
    ("tty", "environ", "color"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colours_only_on_a_terminal_that_wants_them(
    tty: bool, environ: dict[str, str], color: bool
) -> None:
    assert Surface.of(_Stream(tty, "utf-8"), environ).color is color


@pytest.mark.parametrize(
    ("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False), ("x", False)]
)
def test_more_than_ascii_only_where_the_encoding_has_it(encoding: str, unicode: bool) -> None:
    assert Surface.of(_Stream(False, encoding), {}).unicode is unicode


def test_a_stream_that_is_no_terminal_gets_100_columns() -> None:
    assert Surface.of(_Stream(False, "utf-8"), {"COLUMNS": "37"}).width == 100
