"""How many rows the tables have that an operator would miss, and what a copy lacks of them; pure but for `count`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import text

# By what people call them. A database of a release without users of its own has no table of them.
TABLES = {
    "DAGs": "dag",
    "runs": "dag_run",
    "task instances": "task_instance",
    "XComs": "xcom",
    "connections": "connection",
    "variables": "variable",
    "pools": "slot_pool",
    "users": "ab_user",
    "audit log": "log",
}
# A copy is hours old, and the cleaning may have run since: it may have more or fewer rows, but not so few.
LEAST_SHARE = 0.5
MISSING = None

Counts = Mapping[str, int | None]


def count(connection: Any) -> dict[str, int | None]:
    """Return the rows of each of TABLES by its name there, None for a missing table. Raises SQLAlchemyError."""
    counts: dict[str, int | None] = {}
    for what, table in TABLES.items():
        ((exists,),) = connection.execute(text("select to_regclass(:name) is not null"), {"name": table})
        # The names are those above.
        counts[what] = connection.scalar(text(f"select count(*) from {table}")) if exists else MISSING  # noqa: S608
    return counts


def lacks(expected: Counts, found: Counts) -> Iterator[str]:
    """Yield what a copy lacks of what the original has, in words."""
    for what, many in expected.items():
        have = found.get(what)
        if many is None:
            continue
        if have is None:
            yield f"{what}: the table {TABLES[what]} is missing, the original has {many} rows"
        elif have < LEAST_SHARE * many:
            yield f"{what}: {have} rows, the original has {many}"


def lost(before: Counts, after: Counts) -> Iterator[str]:
    """Yield what a migration has lost, in words."""
    for what, many in before.items():
        have = after.get(what)
        if many is not None and (have is None or have < many):
            yield f"{what}: the migration left {have or 0} of {many}"
