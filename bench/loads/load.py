"""The tasks that a pool is given: when each arrives, how long it runs."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.loads.schedule import Calendar
from bench.loads.stages import Stages

ARRIVAL, DURATION = "arrival_s", "duration_s"
# Columns of Airflow's table task_instance.
QUEUED_AT, STARTED_AT, ENDED_AT, QUEUE = "queued_dttm", "start_date", "end_date", "queue"
GZIP = b"\x1f\x8b"  # how a gzipped file begins
Row = Mapping[str, str | None]  # None where a line is too short


class LoadError(ValueError):
    """A file that is no load; the message is one line that says what is wrong with it, and where."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tasks in the order of their arrival: seconds since the load's begin, and seconds of work each.

    With an `order`, a task that follows others arrives when they have ended: its arrival here is the earliest one, when
    none of them waits. `calendar`: what was known beforehand.
    """

    name: str
    arrivals: Sequence[float]
    durations: Sequence[float]
    stages: Stages | None = None
    calendar: Calendar | None = None

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def work_s(self) -> float:
        return sum(self.durations)


def load_of(name: str, tasks: Sequence[tuple[float, float]]) -> Load:
    """The load of (arrival, duration) pairs in any order; the first arrival becomes 0. Raises LoadError."""
    ordered = sorted(tasks)
    if not ordered:
        raise LoadError(f"{name} has no task")
    if any(duration < 0 for _, duration in ordered):
        raise LoadError(f"{name} has a negative duration")
    first = ordered[0][0]
    return Load(
        name=name,
        arrivals=[arrival - first for arrival, _ in ordered],
        durations=[duration for _, duration in ordered],
    )


def read_load(path: Path, *, queue: str | None = None) -> Load:
    """A CSV file, gzipped or not: `arrival_s,duration_s`, or an export of Airflow's task_instance.

    Of the latter, tasks that have not ended are left out, and those of other queues when `queue` is given. Raises
    LoadError.
    """
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    rows = csv.DictReader(io.StringIO(_text(path)))
    columns = set(rows.fieldnames or ())
    if not columns:
        raise LoadError(f"{path.name} is empty")
    if {ARRIVAL, DURATION} <= columns:
        return load_of(name, [_numbers(row, where=f"{path.name}, line {rows.line_num}") for row in rows])
    missing = [column for column in (QUEUED_AT, STARTED_AT, ENDED_AT) if column not in columns]
    if missing:
        raise LoadError(
            f"{path.name} has neither the columns {ARRIVAL} and {DURATION}, nor, of Airflow's task_instance, "
            + " and ".join(missing)
        )
    if queue is not None and QUEUE not in columns:
        raise LoadError(f"{path.name} has no column {QUEUE}, so the tasks of {queue} cannot be told apart")
    tasks = []
    for row in rows:
        if row[QUEUED_AT] and row[STARTED_AT] and row[ENDED_AT] and queue in (None, row.get(QUEUE)):
            tasks.append(_task(row, where=f"{path.name}, line {rows.line_num}"))
    return load_of(name if queue is None else f"{name} (queue {queue})", tasks)


def read_bytes(path: Path) -> bytes:
    """Raises LoadError for a file that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror}") from None


def _text(path: Path) -> str:
    raw = read_bytes(path)
    try:
        return (gzip.decompress(raw) if raw[:2] == GZIP else raw).decode()
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile):
        raise LoadError(f"{path.name} is neither text nor gzipped text") from None


def _numbers(row: Row, *, where: str) -> tuple[float, float]:
    return _number(row, ARRIVAL, where), _number(row, DURATION, where)


def _number(row: Row, column: str, where: str) -> float:
    try:
        value = float(row[column] or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LoadError(f"{where}: {column} is {row[column]!r}, not a number")
    return value


def _task(row: Row, *, where: str) -> tuple[float, float]:
    queued, started, ended = (_time(row, column, where) for column in (QUEUED_AT, STARTED_AT, ENDED_AT))
    if ended < started:
        raise LoadError(f"{where}: {ENDED_AT} is before {STARTED_AT}")
    return queued, ended - started


def _time(row: Row, column: str, where: str) -> float:
    """Seconds since the epoch; a time without a zone is UTC, as Airflow's are."""
    try:
        time = datetime.fromisoformat(row[column] or "")
    except ValueError:
        raise LoadError(f"{where}: {column} is {row[column]!r}, not a time") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
