"""What the scheduler reports of DAG bundles that have versions: the current one of each, and which ones runs still use.

The truth about a run is `dag_run.bundle_version` in Airflow's database: all of its tasks run that version.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fleet.validation import is_count, is_name, is_text, is_time, loads

BUNDLES_TTL_S = 60  # the scheduler reports every few seconds
MOST_TASKS_NAMED = 20  # of each bundle


@dataclass(frozen=True, kw_only=True)
class VersionInUse:
    """A version with its unfinished runs, and how many tasks of them are running.

    Without a run, it is the version that new runs of a DAG would have: that of the DAG's last parsing.
    """

    version: str
    runs: int
    tasks: int


@dataclass(frozen=True, kw_only=True)
class OlderTask:
    """A running task whose run has another version than the current one. `map_index`: -1 for one that is not mapped."""

    dag: str
    run: str
    task: str
    map_index: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """`version`: the one that the DAG processor has, empty if none; `since`: seconds since the epoch, Redis's clock.

    `since` is when the scheduler first saw it. `older`: the first MOST_TASKS_NAMED of the tasks that run another one.
    """

    name: str
    version: str
    since: float
    in_use: tuple[VersionInUse, ...] = ()
    older: tuple[OlderTask, ...] = ()

    @property
    def older_tasks(self) -> int:
        """How many running tasks have another version."""
        return sum(each.tasks for each in self.in_use if each.version != self.version)

    def to_record(self) -> dict[str, Any]:
        return {**asdict(self), "older_tasks": self.older_tasks}


Bundles = tuple[Bundle, ...]


def to_json(bundles: Bundles) -> str:
    return json.dumps([asdict(each) for each in bundles], separators=(",", ":"))


def parse_bundles(raw: bytes | str | None) -> Bundles | None:
    """Return what was reported; None if nothing was, or not lately. Raises ValueError for anything else."""
    if raw is None:
        return None
    record = loads(raw)
    if not isinstance(record, list):
        raise ValueError("the report on DAG bundles is no list")
    return tuple(map(_bundle, record))


def _bundle(record: Any) -> Bundle:
    if not isinstance(record, dict) or not (
        is_name(record.get("name")) and is_text(record.get("version")) and is_time(record.get("since"))
    ):
        raise ValueError("the report on DAG bundles is malformed")
    return Bundle(
        name=record["name"],
        version=record["version"],
        since=record["since"],
        in_use=_each(record, "in_use", VersionInUse, {"version": is_name, "runs": is_count, "tasks": is_count}),
        older=_each(
            record,
            "older",
            OlderTask,
            {"dag": is_name, "run": is_name, "task": is_name, "map_index": _is_map_index, "version": is_name},
        ),
    )


def _each(
    record: dict[str, Any], name: str, kind: Callable[..., Any], fields: dict[str, Callable[[Any], bool]]
) -> tuple[Any, ...]:
    entries = record.get(name)
    if not isinstance(entries, list):
        raise ValueError(f"the report on DAG bundles has no list {name}")
    found = []
    for each in entries:
        values = {field: each.get(field) for field in fields} if isinstance(each, dict) else {}
        if not values or not all(fields[field](value) for field, value in values.items()):
            raise ValueError(f"the report on DAG bundles has a malformed entry of {name}")
        found.append(kind(**values))
    return tuple(found)


def _is_map_index(value: Any) -> bool:
    return value == -1 or is_count(value)
