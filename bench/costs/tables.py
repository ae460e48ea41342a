"""Prints what the tasks of a history cost, in lines of 80 characters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from fleet.statement import Row, Statement, first_rows
from ops.cost.prices import AS_OF, REGION

HOUR_S = 3600
DAYS_A_MONTH = 365 / 12
MOST_ROWS = 25
NOTE = (
    "A worker's second is divided evenly among the tasks that run on it. Seconds without a task (boots, drains, free "
    f"workers) are divided like those of the same day. List prices of {REGION}, as of {AS_OF}: the workers only, which "
    "`make cost` without HISTORY puts beside everything else."
)


def show(statement: Statement, *, days: float, console: Console) -> None:
    """Print a table by DAG and one by owner. `days`: how long the history is."""
    for what, rows in (("DAG", statement.dags), ("owner", statement.owners)):
        table = _table(what, "tasks", "worker-h", "beside", "s a task", "US$ a day", "a month", "share")
        for row in first_rows(rows, most=MOST_ROWS):
            table.add_row(row.name, *_figures(row, statement.all, days=days))
        if statement.unborne.worker_s:
            table.add_row(statement.unborne.name, *_figures(statement.unborne, statement.all, days=days))
        table.add_section()
        table.add_row("all", *_figures(statement.all, statement.all, days=days), style="bold")
        console.print(table)
    console.print(NOTE, style="dim")


def show_difference(left: Statement, right: Statement, *, names: Sequence[str], days: float, console: Console) -> None:
    """Print what each DAG and owner costs a month with both settings, and the difference, the largest first."""
    for what, mine, theirs in (("DAG", left.dags, right.dags), ("owner", left.owners, right.owners)):
        table = _table(what, f"US$ a month, {names[0]}", names[1], "difference")
        pairs = _pairs(_usd_by_name(mine), _usd_by_name(theirs))
        if left.unborne.worker_s or right.unborne.worker_s:
            pairs.append((left.unborne.name, left.unborne.usd or 0.0, right.unborne.usd or 0.0))
        for name, *usd in pairs:
            table.add_row(name, *_difference(usd, days=days))
        table.add_section()
        table.add_row("all", *_difference([left.all.usd or 0.0, right.all.usd or 0.0], days=days), style="bold")
        console.print(table)
    console.print(NOTE, style="dim")


def _usd_by_name(rows: Sequence[Row]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for row in rows:
        found[row.name] += row.usd or 0.0
    return found


def _pairs(left: Mapping[str, float], right: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Return each name with both amounts; those beyond MOST_ROWS are summed up."""
    pairs = [(name, left.get(name, 0.0), right.get(name, 0.0)) for name in left.keys() | right.keys()]
    pairs.sort(key=lambda pair: (-abs(pair[2] - pair[1]), pair[0]))
    rest = pairs[MOST_ROWS - 1 :]
    if len(pairs) > MOST_ROWS:
        summed_up = (f"{len(rest):,} others", sum(pair[1] for pair in rest), sum(pair[2] for pair in rest))
        pairs[MOST_ROWS - 1 :] = [summed_up]
    return pairs


def _table(what: str, *figures: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(what, overflow="fold")
    for figure in figures:
        table.add_column(figure, justify="right")
    return table


def _figures(row: Row, whole: Row, *, days: float) -> tuple[str, ...]:
    usd_a_day = (row.usd or 0.0) / days
    return (
        f"{row.tasks:,}",
        f"{row.worker_s / HOUR_S:,.1f}",
        "" if row.beside is None else f"{row.beside:.1f}",
        "" if row.a_task_s is None else f"{row.a_task_s:,.0f}",
        f"{usd_a_day:,.2f}",
        f"{usd_a_day * DAYS_A_MONTH:,.2f}",
        f"{row.worker_s / whole.worker_s:.1%}" if whole.worker_s else "",
    )


def _difference(usd: Sequence[float], *, days: float) -> tuple[str, str, str]:
    left, right = (each / days * DAYS_A_MONTH for each in usd)
    return f"{left:,.2f}", f"{right:,.2f}", f"{right - left:+,.2f}"
