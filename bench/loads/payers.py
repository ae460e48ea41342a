"""Reads an export of Airflow's task_instance with whose tasks they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.loads.load import ENDED_AT, QUEUE, QUEUED_AT, STARTED_AT, LoadError, text_of, times_of
from fleet.attribution import Payer
from fleet.costs import payer_of

DAG, OWNERS = "dag_id", "owners"
NEEDED = (DAG, QUEUE, QUEUED_AT, STARTED_AT, ENDED_AT)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaidTask:
    """A task: when it was queued, in seconds since the epoch, and how many seconds it ran."""

    payer: Payer
    queue: str
    queued: float
    ran_s: float


def read_payers(path: Path) -> list[PaidTask]:
    """Return the tasks of a CSV file, gzipped or not, in the order in which they were queued.

    Those that have not ended are left out, and so are those of no queue, which no worker has run. Without a column
    `owners` no owner is known. Raises LoadError when the file cannot be read or has no such task.
    """
    rows = csv.DictReader(io.StringIO(text_of(path)))
    columns = set(rows.fieldnames or ())
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise LoadError(f"{path.name} lacks these columns of Airflow's task_instance: {', '.join(missing)}")
    tasks = []
    for row in rows:
        if not (row[DAG] and row[QUEUE] and row[QUEUED_AT] and row[STARTED_AT] and row[ENDED_AT]):
            continue
        queued, ran_s = times_of(row, where=f"{path.name}, line {rows.line_num}")
        payer = payer_of(str(row[DAG]), row.get(OWNERS) or "")
        tasks.append(PaidTask(payer=payer, queue=str(row[QUEUE]), queued=queued, ran_s=ran_s))
    if not tasks:
        raise LoadError(f"{path.name} has no task that ended")
    return sorted(tasks, key=lambda task: task.queued)


def unserved(tasks: Iterable[PaidTask], queues: Iterable[str]) -> list[str]:
    """Return the names of the tasks' other queues, sorted."""
    return sorted({task.queue for task in tasks} - set(queues))
