"""A comparison in a terminal: two columns beside the subjects, never wider than asked for."""

from __future__ import annotations

from timehands.reports.compare import Comparison, Row, Section
from timehands.reports.compare_values import Cell
from timehands.reports.page import LEAST_WIDTH, WIDTH, Page

_SUBJECT = 19
_NARROW = 70


def render(comparison: Comparison, *, width: int = WIDTH, color: bool, unicode: bool = True) -> str:
    """The comparison as text that ends in a line break; no line is wider than ``width`` columns.

    Where there is no room for two columns, the sides stand below each other.
    """
    page = _Compared(max(width, LEAST_WIDTH), color, unicode)
    page.head(comparison)
    for section in comparison.sections:
        page.section(comparison, section)
    return page.text()


class _Compared(Page):
    """The sections of a comparison."""

    def head(self, comparison: Comparison) -> None:
        """Who is compared, and in how many subjects they differ."""
        differ = sum(row.differs for section in comparison.sections for row in section.rows)
        many = f"{differ} subjects differ (*)" if differ != 1 else "1 subject differs (*)"
        title = self.styled(f"{comparison.a} beside {comparison.b}", "bold")
        self.ends(title, self.styled(many if differ else "nothing differs"))

    def section(self, comparison: Comparison, section: Section) -> None:
        """The rows of a section."""
        self.heading(section.title)
        if self.width < _NARROW:
            for row in section.rows:
                self.stacked(comparison, row)
            return
        first = section is comparison.sections[0]
        table = self.table(("", comparison.a, "", comparison.b))
        table.show_header = first
        column = (self.width - _SUBJECT - 7) // 2
        widths = (_SUBJECT, column, 1, column)
        for place, size in enumerate(widths):
            table.columns[place].width = size
        for row in section.rows:
            table.add_row(
                self.styled(row.subject),
                self.styled(_text(row.a)),
                self.styled("*" if row.differs else "", "bold yellow"),
                self.styled(right(row), "dim" if row.same else ""),
            )
        self.print(table)

    def stacked(self, comparison: Comparison, row: Row) -> None:
        """A row as lines below each other."""
        self.print(self.styled(row.subject + (" *" if row.differs else "")))
        label = min(16, max(len(comparison.a), len(comparison.b)))
        self.rows([(comparison.a, _text(row.a)), (comparison.b, right(row))], label, 2, "dim")


def right(row: Row) -> str:
    """B's words: that they are the same as A's, or with the difference behind them."""
    if row.same:
        return "the same"
    text = _text(row.b)
    return f"{text} ({row.difference})" if row.difference else text


def _text(cell: Cell | None) -> str:
    return "-" if cell is None else cell.text
