"""Reads from Airflow's database what has changed, in the order in which it was written.

A row says when it was written by the clock of the process that wrote it, and appears when its transaction ends. What
was written before the oldest transaction began that still writes, by some seconds, has appeared: `settled_until`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from agent.events.rows import Run, Try

# By which the clocks of hosts may differ, and the time from when a row's time is taken until it is written.
TOLERANCE = timedelta(seconds=10)
# A transaction that lasts longer is not waited for: what it changed before is told only if it changes again.
LONGEST_TRANSACTION = timedelta(minutes=15)
# The end of a try may be much older than its row: a task that cannot reach the webserver reports it later, within ten
# minutes (roles.parts.EXECUTION_API_ATTEMPTS).
PAST_TRIES = timedelta(minutes=30)
NO_RUN, NO_TASK = 0, "00000000-0000-0000-0000-000000000000"

SETTLED_UNTIL = """
    SELECT greatest(clock_timestamp() - cast(:longest AS interval),
                    coalesce(min(xact_start), clock_timestamp())) - cast(:tolerance AS interval)
    FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL
"""
_RUN = """
    r.dag_id, r.run_id, r.run_type, r.state AS run_state, r.logical_date, r.queued_at AS run_queued_at,
    r.start_date AS run_start_date, r.end_date AS run_end_date, r.updated_at AS run_changed_at
"""
_TRY = """
    t.task_id, t.map_index, t.try_number, coalesce(t.max_tries, -1) AS max_tries, t.state, t.operator, t.queue, t.pool,
    t.hostname, t.scheduled_dttm, t.queued_dttm, t.start_date, t.end_date, t.updated_at
"""
RUNS = f"""
    SELECT r.id, {_RUN} FROM dag_run r
    WHERE (r.updated_at, r.id) > (:after, :after_id) AND r.state IS NOT NULL
    ORDER BY r.updated_at, r.id LIMIT :most
"""  # noqa: S608 - of this module's own words, as those below
TRIES = f"""
    SELECT CAST(t.id AS text) AS id, {_TRY}, {_RUN} FROM task_instance t
    JOIN dag_run r ON r.dag_id = t.dag_id AND r.run_id = t.run_id
    WHERE (t.updated_at, t.id) > (:after, CAST(:after_id AS uuid)) AND t.updated_at <= :until
    ORDER BY t.updated_at, t.id LIMIT :most
"""  # noqa: S608
PAST = f"""
    SELECT CAST(t.task_instance_id AS text) AS id, {_TRY}, {_RUN} FROM task_instance n
    JOIN task_instance_history t
        ON t.dag_id = n.dag_id AND t.task_id = n.task_id AND t.run_id = n.run_id AND t.map_index = n.map_index
    JOIN dag_run r ON r.dag_id = n.dag_id AND r.run_id = n.run_id
    WHERE n.updated_at BETWEEN :first AND :last AND t.state IS NOT NULL
        AND (t.end_date, t.task_instance_id) > (:after, CAST(:after_id AS uuid))
    ORDER BY t.end_date, t.task_instance_id LIMIT :most
"""  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The place behind a row in the order of changes."""

    at: datetime
    id: Any


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Some runs that changed, and the mark behind them. `is_all`: there were no more."""

    runs: Sequence[Run]
    mark: Mark
    is_all: bool


@dataclass(frozen=True, kw_only=True)
class Tries:
    """As Runs: the present tries of tasks that changed, without those that have no state.

    `first` and `last`: when the first and the last of the tasks' rows were written; None without any.
    """

    present: Sequence[Try]
    mark: Mark
    is_all: bool
    first: datetime | None = None
    last: datetime | None = None


class Changes:
    """What changed, read over one connection. Every method may raise SQLAlchemyError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def settled_until(self) -> datetime:
        """Return the time until which all that was written has appeared."""
        given = {"longest": LONGEST_TRANSACTION, "tolerance": TOLERANCE}
        settled: datetime = self._connection.scalar(text(SETTLED_UNTIL), given)
        return settled

    def runs(self, after: Mark, *, most: int) -> Runs:
        """Return up to `most` runs that were written after the mark."""
        rows = self._all(RUNS, after=after.at, after_id=after.id, most=most)
        mark = Mark(at=rows[-1]["run_changed_at"], id=rows[-1]["id"]) if rows else after
        return Runs(runs=[_run(row) for row in rows], mark=mark, is_all=len(rows) < most)

    def tries(self, after: Mark, *, until: datetime, most: int) -> Tries:
        """Return the tries of up to `most` tasks that were written after the mark and until then."""
        rows = self._all(TRIES, after=after.at, after_id=after.id, until=until, most=most)
        if not rows:
            return Tries(present=(), mark=after, is_all=True)
        return Tries(
            present=[_try(row) for row in rows if row["state"] is not None],
            mark=Mark(at=rows[-1]["updated_at"], id=rows[-1]["id"]),
            is_all=len(rows) < most,
            first=rows[0]["updated_at"],
            last=rows[-1]["updated_at"],
        )

    def past(self, tasks: Tries, *, since: datetime, most: int) -> Iterator[list[Try]]:
        """Yield the past tries of the tasks, as they ended, up to `most` at once: those that `since` may not tell.

        To be read after the tasks: a try that ends in between is then told before the next one, which the next tick
        reads.
        """
        after, after_id = since - PAST_TRIES, NO_TASK
        while tasks.first is not None:
            rows = self._all(PAST, first=tasks.first, last=tasks.last, after=after, after_id=after_id, most=most)
            if rows:
                yield [_try(row, is_past=True) for row in rows]
                after, after_id = rows[-1]["end_date"], rows[-1]["id"]
            if len(rows) < most:
                return

    def _all(self, statement: str, **values: Any) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = self._connection.execute(text(statement), values).mappings().all()
        return rows


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        dag_id=row["dag_id"],
        run_id=row["run_id"],
        run_type=row["run_type"],
        state=row["run_state"] or "queued",
        logical_date=row["logical_date"],
        queued_at=row["run_queued_at"],
        start_date=row["run_start_date"],
        end_date=row["run_end_date"],
        changed_at=row["run_changed_at"] or row["updated_at"],
    )


def _try(row: Mapping[str, Any], *, is_past: bool = False) -> Try:
    return Try(
        run=_run(row),
        task_id=row["task_id"],
        map_index=row["map_index"],
        try_number=row["try_number"],
        max_tries=row["max_tries"],
        state=row["state"],
        operator=row["operator"],
        queue=row["queue"],
        pool=row["pool"],
        hostname=row["hostname"],
        scheduled_at=row["scheduled_dttm"],
        queued_at=row["queued_dttm"],
        start_date=row["start_date"],
        end_date=row["end_date"],
        changed_at=row["updated_at"] or row["run_changed_at"],
        is_past=is_past,
    )
