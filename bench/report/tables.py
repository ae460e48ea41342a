"""Text tables for the terminal and for the documentation, and measured figures with their limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

BEGIN, END = "<!-- make bench writes the figures from here -->", "<!-- to here -->"
COLUMNS = ("what", "measured", "limit", "holds")


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table. The first column is aligned to the left, the others to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_rich(self) -> Table:
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for number, name in enumerate(self.columns):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def to_markdown(self) -> str:
        rule = ["---", *["--:"] * (len(self.columns) - 1)]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.columns, rule, *self.rows)]
        return "\n".join([f"{self.title}:", "", *lines])


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A measured figure and its limit."""

    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.limit

    def to_row(self) -> tuple[str, str, str, str]:
        """Return the cells of COLUMNS."""
        return (
            self.what,
            f"{self.measured:.3g} {self.unit}".strip(),
            f"{self.limit:g} {self.unit}".strip(),
            "yes" if self.holds else "NO",
        )


def replace_figures(path: Path, text: str) -> None:
    """Replace the text between the two marks in a document. Raises ValueError when the document lacks the marks."""
    before, begun, rest = path.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{path} lacks the marks for the figures: {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
