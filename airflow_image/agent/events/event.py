"""What an event says of a state change. docs/events.schema.json describes it; a test compares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from agent.events.rows import Run, Try

SOURCE = "airflow-on-ecs"  # the stack's policy allows no other; a test compares
RUN_CHANGED, TASK_CHANGED = "Airflow DAG Run State Change", "Airflow Task State Change"
VERSION = 1
MICROSECONDS = 1_000_000
ID_LENGTH = 32  # hexadecimal digits: 128 bits


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the events come from: the stack's name, and the URL at which people open Airflow."""

    environment: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """`subject`: the run, or the try, whose state it tells; `since`: since when it has it."""

    subject: tuple[str, ...]
    run: tuple[str, str]
    state: str
    since: datetime
    type: str
    detail: Mapping[str, Any]

    def text(self) -> str:
        """Return the detail as it is sent."""
        return json.dumps(self.detail, separators=(",", ":"))


def of_run(run: Run, site: Site) -> Event:
    """Return the event of the run's present state."""
    subject = (run.dag_id, run.run_id)
    detail = {
        **_head(site, subject, state=run.state, since=run.since),
        **_of_run(run),
        "queued_at": _text(run.queued_at),
        "start_date": _text(run.start_date),
        "end_date": _text(run.end_date),
        "url": _run_url(run, site),
    }
    return Event(
        subject=subject, run=subject, state=run.state, since=run.since, type=RUN_CHANGED, detail=_without_none(detail)
    )


def of_try(given: Try, site: Site) -> Event:
    """Return the event of a try's state."""
    run, state = given.run, given.told_state
    subject = (run.dag_id, run.run_id, given.task_id, str(given.map_index), str(given.try_number))
    mapped = f"/mapped/{given.map_index}" if given.map_index >= 0 else ""
    detail = {
        **_head(site, subject, state=state, since=given.since),
        **_of_run(run),
        "task_id": given.task_id,
        "map_index": given.map_index,
        "try_number": given.try_number,
        "max_tries": given.max_tries,
        "operator": given.operator,
        "queue": given.queue,
        "pool": given.pool,
        "hostname": given.hostname or None,
        "queued_at": _text(given.queued_at),
        "start_date": _text(given.start_date),
        "end_date": _text(given.end_date),
        "url": f"{_run_url(run, site)}/tasks/{quote(given.task_id, safe='')}{mapped}",
    }
    return Event(
        subject=subject,
        run=(run.dag_id, run.run_id),
        state=state,
        since=given.since,
        type=TASK_CHANGED,
        detail=_without_none(detail),
    )


def _head(site: Site, subject: tuple[str, ...], *, state: str, since: datetime) -> dict[str, Any]:
    sequence = _microseconds(since)
    # As JSON, in which no two subjects are the same, whatever characters a run's id has.
    named = json.dumps([site.environment, *subject, state, sequence])
    return {
        "version": VERSION,
        "id": hashlib.sha256(named.encode()).hexdigest()[:ID_LENGTH],
        "sequence": sequence,
        "environment": site.environment,
        "state": state,
    }


def _of_run(run: Run) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_type": run.run_type,
        "logical_date": _text(run.logical_date),
    }


def _run_url(run: Run, site: Site) -> str:
    return f"{site.url.rstrip('/')}/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"


def _microseconds(at: datetime) -> int:
    """Return whole microseconds since the epoch; a float would round them."""
    return int(at.replace(microsecond=0).timestamp()) * MICROSECONDS + at.microsecond


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def _without_none(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if value is not None}
