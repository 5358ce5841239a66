"""A page of text for a terminal: words that wrap, rows, tables, and nothing wider than it is.

Everything that is written passes through `Page.styled`, which makes a guest's words harmless.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from timehands.reports.plain import ascii_only, harmless

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

WIDTH = 100
LEAST_WIDTH = 40


class Page:
    """A page of ``width`` columns that is written from top to bottom."""

    def __init__(self, width: int, color: bool, unicode: bool) -> None:
        from rich.console import Console

        self.width = width
        self.unicode = unicode
        self.out = io.StringIO()
        self.console = Console(
            file=self.out,
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )

    def text(self) -> str:
        """What was written, without spaces at line ends."""
        lines = [line.rstrip() for line in self.out.getvalue().splitlines()]
        return "\n".join(lines).strip("\n") + "\n"

    # What a page is made of

    def styled(self, words: str, style: str = "", cut: int = 4000) -> Text:
        """Words that may come from a guest, made fit for this page."""
        from rich.text import Text

        clean = harmless(words, cut)
        return Text(clean if self.unicode else ascii_only(clean), style=style, overflow="fold")

    def print(self, *what: RenderableType) -> None:
        """Writes lines."""
        for one in what:
            self.console.print(one, soft_wrap=False)

    def heading(self, words: str, more: str = "") -> None:
        """An empty line, then the name of a section and a few words on it."""
        self.gap()
        self.print(self.styled(words, "bold") + (self.styled(f"  {more}", "dim") if more else ""))

    def gap(self) -> None:
        """An empty line between sections."""
        self.console.print()

    def ends(self, left: Text, right: Text) -> None:
        """One line with two ends; the right one goes on a line of its own where both do not fit."""
        room = self.width - left.cell_len - right.cell_len
        if room >= 2:
            self.print(left + " " * room + right)
        else:
            self.print(left, self.indented(right, 2))

    def indented(self, what: RenderableType, columns: int) -> RenderableType:
        """The same, further to the right."""
        from rich.padding import Padding

        return Padding(what, (0, 0, 0, columns))

    def rows(
        self, rows: Iterable[tuple[str, str]], label: int, indent: int = 0, style: str = "bold"
    ) -> None:
        """Labels, and beside them words that wrap within their own column."""
        grid = self.grid(2)
        grid.columns[0].width = label
        for name, value in rows:
            grid.add_row(self.styled(name, style), self.styled(value))
        if grid.row_count:
            self.print(self.indented(grid, indent))

    def grid(self, columns: int) -> Table:
        """An empty table without lines."""
        from rich.table import Table

        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(columns):
            table.add_column(overflow="fold")
        return table

    def table(self, heads: Sequence[str]) -> Table:
        """An empty table with a head; the last column takes the room that is left."""
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
        for head in heads:
            table.add_column(head, overflow="fold")
        return table
