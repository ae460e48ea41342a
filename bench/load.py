"""The tasks that a pool is given: when each arrives, how long it runs."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ARRIVAL, DURATION = "arrival_s", "duration_s"
# Columns of Airflow's table task_instance.
QUEUED_AT, STARTED_AT, ENDED_AT, QUEUE = "queued_dttm", "start_date", "end_date", "queue"


class UnknownFormat(ValueError):
    """A file whose columns are none of those that are understood."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tasks in the order of their arrival: seconds since the load's begin, and seconds of work each."""

    name: str
    arrivals: Sequence[float]
    durations: Sequence[float]

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def work_s(self) -> float:
        return sum(self.durations)


def load_of(name: str, tasks: Sequence[tuple[float, float]]) -> Load:
    """The load of (arrival, duration) pairs in any order; the first arrival becomes 0. Raises ValueError."""
    ordered = sorted(tasks)
    if not ordered:
        raise ValueError(f"{name} has no task")
    if any(duration < 0 for _, duration in ordered):
        raise ValueError(f"{name} has a negative duration")
    first = ordered[0][0]
    return Load(
        name=name,
        arrivals=[arrival - first for arrival, _ in ordered],
        durations=[duration for _, duration in ordered],
    )


def read_load(path: Path, *, queue: str | None = None) -> Load:
    """A CSV file, gzipped or not: `arrival_s,duration_s`, or an export of Airflow's task_instance.

    Of the latter, tasks that have not ended are left out, and those of other queues when `queue` is given. Raises
    UnknownFormat, or ValueError for a value that is no number or time.
    """
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    rows = csv.DictReader(io.StringIO(text))
    columns = set(rows.fieldnames or ())
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    if {ARRIVAL, DURATION} <= columns:
        return load_of(name, [(float(row[ARRIVAL]), float(row[DURATION])) for row in rows])
    if {QUEUED_AT, STARTED_AT, ENDED_AT} <= columns:
        ended = (row for row in rows if row[QUEUED_AT] and row[STARTED_AT] and row[ENDED_AT])
        return load_of(name, [_task(row) for row in ended if queue is None or row.get(QUEUE) == queue])
    raise UnknownFormat(f"{path.name} has the columns {sorted(columns)}")


def _task(row: dict[str, str]) -> tuple[float, float]:
    queued, started, ended = (datetime.fromisoformat(row[name]) for name in (QUEUED_AT, STARTED_AT, ENDED_AT))
    return queued.timestamp(), (ended - started).total_seconds()
