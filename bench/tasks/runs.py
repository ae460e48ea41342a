"""Starts runs of a system and reads from its database when they and their tasks began and ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from local.stack.rest_api import Airflow
from project.errors import CommandError
from project.waiting import wait_until

ENDS_WITHIN_S = 600.0
ASK_EVERY_S = 0.1
SUCCESS, FAILED = "success", "failed"
STATE = "select state from dag_run where dag_id = %s and run_id = %s"
RUNNING = "select count(*) from task_instance where dag_id = %s and run_id = %s and state = 'running'"
ENDED = "select extract(epoch from end_date) from dag_run where dag_id = %s and run_id = %s"
TASKS = """
select extract(epoch from start_date), extract(epoch from end_date), external_executor_id, try_number
from task_instance where dag_id = %s and run_id = %s
"""
PARSED = "select count(*) from dag where dag_id = any(%s) and last_parsed_time >= to_timestamp(%s)"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run, and when it was asked for, in seconds of the epoch, as all times here."""

    dag_id: str
    run_id: str
    at: float

    @property
    def key(self) -> tuple[str, str]:
        return (self.dag_id, self.run_id)


@dataclass(frozen=True, kw_only=True)
class TaskTimes:
    """When a task's last try ran. `message_id`: Celery's id of its message. `retries` before that."""

    started_at: float
    ended_at: float
    message_id: str
    retries: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that succeeded."""

    asked_at: float
    ended_at: float
    tasks: Sequence[TaskTimes]


class Runs:
    """The runs of one system. Raises CommandError for a run that fails or does not end in time."""

    def __init__(self, airflow: Airflow, database: psycopg.Connection[Any]) -> None:
        self._airflow, self._database = airflow, database

    def close(self) -> None:
        self._airflow.close()
        self._database.close()

    def start(self, dag_id: str, **conf: str) -> Started:
        """Start a run."""
        at = time.time()
        return Started(dag_id=dag_id, run_id=self._airflow.start_run(dag_id, conf), at=at)

    def running(self, run: Started) -> int:
        """Count the run's tasks that run now."""
        return int(self._rows(RUNNING, *run.key)[0][0])

    def finish(self, run: Started) -> Finished:
        """Wait for the end of a run."""
        what = f"the end of a run of {run.dag_id}"
        wait_until(lambda: self._has_ended(run), what=what, timeout_s=ENDS_WITHIN_S, every_s=ASK_EVERY_S)
        ((ended_at,),) = self._rows(ENDED, *run.key)
        tasks = [
            TaskTimes(started_at=float(start), ended_at=float(end), message_id=str(message), retries=tries - 1)
            for start, end, message, tries in self._rows(TASKS, *run.key)
        ]
        return Finished(asked_at=run.at, ended_at=float(ended_at), tasks=tasks)

    def are_parsed(self, dag_ids: Sequence[str], *, since: float) -> bool:
        """Return whether the DAG processor has parsed these DAGs since then."""
        return int(self._rows(PARSED, list(dag_ids), since)[0][0]) == len(dag_ids)

    def _has_ended(self, run: Started) -> bool:
        ((state,),) = self._rows(STATE, *run.key)
        if state == FAILED:
            raise CommandError(f"a run of {run.dag_id} failed: its tasks are measured only if all succeed")
        return bool(state == SUCCESS)

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(query.encode(), values).fetchall()
