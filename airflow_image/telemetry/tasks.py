"""Lets the webserver count the tasks that end, in place of the tasks themselves.

A task's process lives for some 50 ms. Airflow lets each measure itself, which needs a connection to the receiver for
each task, and the secret of the receiver where DAG code runs. The webserver is told of every end of a task anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

SUCCESS, FAILED, RETRY = "success", "failed", "up_for_retry"


def install(*, is_counting: bool, note: Callable[[Any], None] | None = None) -> None:
    """Count in this process, and pass the row of each task that ends to `note`.

    Raises AttributeError if Airflow tells its webserver of ends in another way.
    """
    from airflow._shared.observability.metrics import stats
    from airflow.api_fastapi.execution_api.routes import task_instances

    emit: Callable[..., None] = task_instances._emit_task_span

    def count_and_emit(ti: Any, state: Any) -> None:
        # Airflow catches what this raises.
        if ti is not None and is_counting:
            count(stats, ti, state=str(getattr(state, "value", state)), now=datetime.now(UTC))
        if ti is not None and note is not None:
            note(ti)
        emit(ti, state)

    task_instances._emit_task_span = count_and_emit


def count(stats: Any, ti: Any, *, state: str, now: datetime) -> None:
    """Record what a task would of its own end. `stats`: Airflow's functions; `ti`: its row; `state`: the new one."""
    tags = ti.stats_tags
    stats.incr("ti.finish", tags={**tags, "state": state})
    if state == SUCCESS:
        stats.incr("operator_successes", tags={**tags, "operator_name": ti.operator or ""})
        stats.incr("ti_successes", tags=tags)
    elif state in (FAILED, RETRY):
        stats.incr("operator_failures", tags={**tags, "operator_name": ti.operator or ""})
        stats.incr("ti_failures", tags=tags)
    if ti.start_date is not None:
        stats.timing("task.duration", now - ti.start_date, tags=tags)
        if ti.queued_dttm is not None and ti.queued_dttm <= ti.start_date:
            stats.timing("task.queued_duration", ti.start_date - ti.queued_dttm, tags={**tags, "queue": ti.queue})
