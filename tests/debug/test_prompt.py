from __future__ import annotations

import asyncio
import io

from timehands.debug.prompt import MAX_LINE, StreamLines, lines_of


def test_lines_of_a_stream_are_shown_as_they_are_read() -> None:
    shown = io.StringIO()
    lines = StreamLines(io.StringIO("break x\n\nquit"), shown)
    read = [asyncio.run(lines.line("> ")) for _ in range(4)]
    assert read == ["break x", "", "quit", None]
    assert shown.getvalue() == "> break x\n> \n> quit\n"


def test_a_line_has_an_end() -> None:
    lines = StreamLines(io.StringIO("x" * (MAX_LINE + 5)), io.StringIO())
    assert len(asyncio.run(lines.line("")) or "") == MAX_LINE


def test_what_is_no_terminal_is_a_stream() -> None:
    assert isinstance(lines_of(io.StringIO(), lambda _text: ([], 0)), StreamLines)
