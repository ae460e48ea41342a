"""Old rows of one table, counted and deleted in the order of their primary key, so that no row is looked at twice."""

from __future__ import annotations

from typing import Any

from agent.cleaning.connection import Steps
from agent.cleaning.tables import TABLES, Table

IS_OLD = "old.{age} < to_timestamp(:before) and {condition}"
COUNT = f"select count(*) from {{name}} old where {IS_OLD}"  # noqa: S608 - of constants only
# What became true of a row meanwhile counts: the second condition is read with the row locked.
DELETE = f"""
    with chosen as (
        select old.{{key}} as key from {{name}} old where {IS_OLD} {{after}} order by old.{{key}} limit :rows
    ), gone as (
        delete from {{name}} old using chosen where old.{{key}} = chosen.key and {IS_OLD} returning 1
    )
    select (array_agg(key order by key desc))[1], count(*), (select count(*) from gone) from chosen
"""  # noqa: S608 - of constants only
EXISTING = "select name from unnest(cast(:names as text[])) name where to_regclass(quote_ident(name)) is not null"
ROWS_A_STEP = 2000


def existing_tables(steps: Steps) -> tuple[Table, ...]:
    """Return the tables of TABLES that this database has, with all that their conditions read."""
    names = sorted({name for table in TABLES for name in (table.name, *table.needs)})
    found = {name for (name,) in steps.rows(EXISTING, names=names)}
    return tuple(table for table in TABLES if found.issuperset((table.name, *table.needs)))


def count_old(steps: Steps, table: Table) -> int:
    """Return how many rows would go now."""
    return steps.number(_filled(COUNT, table))


def delete_old(steps: Steps, table: Table) -> int:
    """Delete them step by step; return how many went."""
    deleted, after = 0, dict[str, Any]()
    while True:
        statement = _filled(DELETE, table, after=f"and old.{table.key} > :after" if after else "")
        with steps.step() as execute:
            ((last, chosen, gone),) = execute(statement, rows=ROWS_A_STEP, **after)
        deleted += int(gone)
        if chosen < ROWS_A_STEP:
            return deleted
        after = {"after": last}


def _filled(statement: str, table: Table, **more: Any) -> str:
    return statement.format(name=table.name, age=table.age, key=table.key, condition=table.condition, **more)
