"""The tasks of a pool: when each arrives and how long it runs."""

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
# Columns of Airflow's table task_instance
QUEUED_AT, STARTED_AT, ENDED_AT, QUEUE = "queued_dttm", "start_date", "end_date", "queue"
GZIP = b"\x1f\x8b"  # how a gzipped file begins
Row = Mapping[str, str | None]  # None for a column that a short line lacks


class LoadError(ValueError):
    """A file cannot be read as a load. The message is one line that says what is wrong, and where."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tasks by arrival."""

    name: str
    # Seconds since the load's start, by task. With `stages`, a task that follows others arrives when they have ended;
    # its arrival here is the earliest possible one, when none of them waits.
    arrivals: Sequence[float]
    durations: Sequence[float]  # seconds of work, by task
    stages: Stages | None = None  # which tasks follow which; None if all tasks arrive by themselves
    calendar: Calendar | None = None  # the schedule that is known in advance; None if there is none

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def work_s(self) -> float:
        return sum(self.durations)

    def halves(self) -> tuple[Load, Load]:
        """Split the load in the middle of its arrivals' time. The first arrival of each half becomes 0.

        Raises LoadError when a half would be empty, or when tasks follow others: these belong together.
        """
        if self.stages is not None:
            raise LoadError(f"{self.name} has stages: it cannot be split")
        pairs = list(zip(self.arrivals, self.durations, strict=True))
        middle = (self.arrivals[0] + self.arrivals[-1]) / 2
        first = [pair for pair in pairs if pair[0] <= middle]
        second = [pair for pair in pairs if pair[0] > middle]
        return load_of(f"{self.name}, first half", first), load_of(f"{self.name}, second half", second)


def load_of(name: str, tasks: Sequence[tuple[float, float]]) -> Load:
    """Return the load of (arrival, duration) pairs in any order; the first arrival becomes 0.

    Raises LoadError when there is no task, or a negative duration.
    """
    ordered = sorted(tasks)
    if not ordered:
        raise LoadError(f"{name} has no tasks")
    if any(duration < 0 for _, duration in ordered):
        raise LoadError(f"{name} has a negative duration")
    first = ordered[0][0]
    return Load(
        name=name,
        arrivals=[arrival - first for arrival, _ in ordered],
        durations=[duration for _, duration in ordered],
    )


def read_load(path: Path, *, queue: str | None = None) -> Load:
    """Read a CSV file, gzipped or not: `arrival_s,duration_s`, or an export of Airflow's task_instance.

    Tasks of an export that have not ended are left out, and so are those of other queues if `queue` is given.

    Raises LoadError when the file cannot be read or is no load.
    """
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    rows = csv.DictReader(io.StringIO(text_of(path)))
    columns = set(rows.fieldnames or ())
    if not columns:
        raise LoadError(f"{path.name} is empty")
    if {ARRIVAL, DURATION} <= columns:
        return load_of(name, [_numbers(row, where=f"{path.name}, line {rows.line_num}") for row in rows])
    missing = [column for column in (QUEUED_AT, STARTED_AT, ENDED_AT) if column not in columns]
    if missing:
        raise LoadError(
            f"{path.name} has neither the columns {ARRIVAL} and {DURATION} nor these of Airflow's task_instance: "
            + ", ".join(missing)
        )
    if queue is not None and QUEUE not in columns:
        raise LoadError(f"{path.name} has no column {QUEUE}: cannot select the tasks of queue {queue}")
    tasks = []
    for row in rows:
        if row[QUEUED_AT] and row[STARTED_AT] and row[ENDED_AT] and queue in (None, row.get(QUEUE)):
            tasks.append(times_of(row, where=f"{path.name}, line {rows.line_num}"))
    return load_of(name if queue is None else f"{name} (queue {queue})", tasks)


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises LoadError when the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror}") from None


def text_of(path: Path) -> str:
    """Return a file's text, gzipped or not. Raises LoadError."""
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


def times_of(row: Row, *, where: str) -> tuple[float, float]:
    """Return when a task of task_instance was queued, in seconds since the epoch, and how long it ran.

    `where`: its place in the file. Raises LoadError.
    """
    queued, started, ended = (_time(row, column, where) for column in (QUEUED_AT, STARTED_AT, ENDED_AT))
    if ended < started:
        raise LoadError(f"{where}: {ENDED_AT} is before {STARTED_AT}")
    return queued, ended - started


def _time(row: Row, column: str, where: str) -> float:
    """Return seconds since the epoch. A time without a zone is UTC, as in Airflow."""
    try:
        time = datetime.fromisoformat(row[column] or "")
    except ValueError:
        raise LoadError(f"{where}: {column} is {row[column]!r}, not a time") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
