"""Prints two estimates side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ops.cost import prices
from ops.cost.compare import Row

SMALL_USD = 2.0  # what costs less shares a line
NOTE = (
    f"List prices of {prices.REGION}, on demand, as of {prices.AS_OF}; ops/cost/prices.py says which were checked, and "
    "how. Without traffic, requests, container logs, snapshots, free tiers, discounts and taxes. "
    "What scales by its processors is at its fewest."
)


def show(rows: Sequence[Row], *, left: str, right: str, with_difference: bool, console: Console) -> None:
    """A line for each resource, and the sum of all."""
    table = Table("resource", "what")
    for name in (left, right, *(("difference",) if with_difference else ())):
        table.add_column(name, justify="right")

    def add(resource: str, what: str, amounts: tuple[float, float], style: str | None = None) -> None:
        texts = [f"{usd:,.2f}" for usd in amounts]
        if with_difference:
            texts.append(f"{amounts[1] - amounts[0]:+,.2f}")
        table.add_row(resource, what, *texts, style=style)

    small = [row for row in rows if max(row.left_usd, row.right_usd) < SMALL_USD]
    for row in rows:
        if row not in small:
            add(row.resource, row.what, (row.left_usd, row.right_usd))
    if small:
        add(f"{len(small)} others", f"below {SMALL_USD:.0f} each", _sums(small))
    table.add_section()
    add("all", "US dollars a month", _sums(rows), style="bold")
    console.print(table)
    console.print(NOTE, style="dim")


def _sums(rows: Sequence[Row]) -> tuple[float, float]:
    return sum(row.left_usd for row in rows), sum(row.right_usd for row in rows)
