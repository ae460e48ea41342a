"""Put two estimates side by side, resource by resource, and print them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ops.cost import prices
from ops.cost.estimate import Line


@dataclass(frozen=True, kw_only=True)
class Row:
    """Dollars a month of one resource on the left and on the right; 0 where it is missing."""

    resource: str
    what: str
    left_usd: float
    right_usd: float


def compare(left: Sequence[Line], right: Sequence[Line]) -> list[Row]:
    """Return a row for every resource of either side, the dearest first; descriptions that differ are both shown."""
    rows = []
    for resource in sorted({line.resource for line in (*left, *right)}):
        mine, theirs = ([line for line in lines if line.resource == resource] for lines in (left, right))
        said = [", ".join(line.what for line in lines) for lines in (mine, theirs) if lines]
        rows.append(
            Row(
                resource=resource,
                what=" | ".join(dict.fromkeys(said)),
                left_usd=sum(line.usd for line in mine),
                right_usd=sum(line.usd for line in theirs),
            )
        )
    return sorted(rows, key=lambda row: (-max(row.left_usd, row.right_usd), row.resource))


SMALL_USD = 2.0  # resources that cost less share a line
NOTE = (
    f"List prices of {prices.REGION}, on demand, as of {prices.AS_OF}; ops/cost/prices.py says which were checked, and "
    "how. Not counted: traffic, requests, container logs, snapshots, free tiers, discounts and taxes. "
    "Services that scale by CPU are counted at their minimum."
)


def show(rows: Sequence[Row], *, left: str, right: str, with_difference: bool, console: Console) -> None:
    """Print a line for each resource, and the sum of all."""
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
