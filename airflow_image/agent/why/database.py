"""Reads from Airflow's database what is known of one task instance. The statements are few, and each uses an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import and_, func, select

from agent.why import around, structure
from agent.why.around import AT_WORK, Key, in_seconds
from agent.why.facts import Attempt, Dag, Instance, Recorded, Run

MOST_TRIES = 10  # of the earlier ones, the last are told
NOT_BEGUN = frozenset({None, "scheduled", "up_for_retry", "up_for_reschedule"})
OF_UPSTREAM = frozenset({None, "up_for_retry", "upstream_failed", "skipped"})


def read(session: Any, key: Key, *, dag_bag: Any, may_see: Callable[[str], bool]) -> Recorded | None:
    """Return what is known; None if there is no such task instance. Raises SQLAlchemyError.

    `dag_bag`: Airflow's DBDagBag. `may_see`: whether the reader may see the task instances of a DAG.
    """
    row = session.execute(_instance(key)).one_or_none()
    if row is None:
        return None
    instance, state = _to_instance(session, key, row), row.state
    task = None
    if state in NOT_BEGUN or state in OF_UPSTREAM or state == TaskInstanceState.FAILED:
        task = structure.read(session, key.dag, key.run, row.id, dag_bag=dag_bag, with_upstream=state in OF_UPSTREAM)
    is_to_begin = state in NOT_BEGUN
    return Recorded(
        instance=instance,
        run=_to_run(session, key, row, is_to_begin=is_to_begin),
        dag=_to_dag(session, row),
        task=task,
        pool=around.read_pool(session, row, may_see) if state == TaskInstanceState.SCHEDULED else None,
        place=around.read_place(session, row) if state == TaskInstanceState.QUEUED else None,
        trigger=around.read_trigger(session, row) if state == TaskInstanceState.DEFERRED else None,
        events=around.read_events(session, key),
    )


def _instance(key: Key) -> Any:
    ti = TaskInstance
    columns = (
        *(ti.id, ti.state, ti.try_number, ti.max_tries, ti.hostname, ti.pool, ti.pool_slots, ti.queue, ti.queued_dttm),
        *(ti.scheduled_dttm, ti.start_date, ti.end_date, ti.last_heartbeat_at, ti.next_method, ti.trigger_id),
        *(ti.trigger_timeout, ti.retry_reason, DagRun.run_after, DagRun.queued_at, DagRun.last_scheduling_decision),
        *(DagRun.state.label("run_state"), DagRun.start_date.label("run_start"), DagRun.end_date.label("run_end")),
        *(DagModel.is_paused, DagModel.is_stale, DagModel.max_active_tasks, DagModel.max_active_runs),
        *(DagModel.has_import_errors, DagModel.bundle_name, DagModel.relative_fileloc),
        *(Pool.slots.label("slots"), Pool.include_deferred),
    )
    return (
        select(*columns)
        .join(DagRun, and_(DagRun.dag_id == ti.dag_id, DagRun.run_id == ti.run_id))
        .join(DagModel, DagModel.dag_id == ti.dag_id)
        .outerjoin(Pool, Pool.pool == ti.pool)
        .where(ti.dag_id == key.dag, ti.run_id == key.run, ti.task_id == key.task, ti.map_index == key.map_index)
    )


def _to_instance(session: Any, key: Key, row: Any) -> Instance:
    pokes = next_poke = None
    if row.state != TaskInstanceState.SUCCESS:
        of_try = select(func.count(), func.max(TaskReschedule.reschedule_date)).where(TaskReschedule.ti_id == row.id)
        pokes, next_poke = session.execute(of_try).one()
    return Instance(
        dag=key.dag,
        run=key.run,
        task=key.task,
        map_index=key.map_index,
        attempt=Attempt(
            instance=str(row.id),
            number=row.try_number,
            state=row.state,
            queued_at=in_seconds(row.queued_dttm),
            started_at=in_seconds(row.start_date),
            ended_at=in_seconds(row.end_date),
            host=row.hostname or "",
        ),
        earlier=_earlier(session, key, row),
        max_tries=row.max_tries,
        pool=row.pool,
        pool_slots=row.pool_slots,
        queue=row.queue or "",
        scheduled_at=in_seconds(row.scheduled_dttm),
        heartbeat_at=in_seconds(row.last_heartbeat_at),
        next_method=row.next_method or "",
        trigger_timeout_at=in_seconds(row.trigger_timeout),
        retry_reason=row.retry_reason or "",
        pokes=pokes or 0,
        next_poke_at=in_seconds(next_poke),
    )


def _earlier(session: Any, key: Key, row: Any) -> tuple[Attempt, ...]:
    """Return the tries before the present one, oldest first; of one that waits for its retry, all so far."""
    past = TaskInstanceHistory
    columns = (past.task_instance_id, past.try_number, past.state, past.queued_dttm, past.start_date, past.end_date)
    found = session.execute(
        select(*columns, past.hostname)
        .where(past.dag_id == key.dag, past.task_id == key.task, past.run_id == key.run)
        .where(past.map_index == key.map_index, past.task_instance_id != row.id)
        .order_by(past.try_number.desc())
        .limit(MOST_TRIES)
    )
    return tuple(
        Attempt(
            instance=str(each.task_instance_id),
            number=each.try_number,
            state=each.state,
            queued_at=in_seconds(each.queued_dttm),
            started_at=in_seconds(each.start_date),
            ended_at=in_seconds(each.end_date),
            host=each.hostname or "",
        )
        for each in reversed(found.all())
    )


def _to_run(session: Any, key: Key, row: Any, *, is_to_begin: bool) -> Run:
    of_dag = of_run = 0
    if is_to_begin and row.run_state == DagRunState.QUEUED:
        active = select(func.count()).where(DagRun.dag_id == key.dag, DagRun.state == DagRunState.RUNNING)
        of_dag = session.scalar(active)
    if row.state == TaskInstanceState.SCHEDULED:
        ti = TaskInstance
        at_work = select(func.count()).where(ti.dag_id == key.dag, ti.run_id == key.run, ti.state.in_(AT_WORK))
        of_run = session.scalar(at_work)
    return Run(
        state=str(row.run_state),
        run_after=in_seconds(row.run_after),
        queued_at=in_seconds(row.queued_at),
        started_at=in_seconds(row.run_start),
        ended_at=in_seconds(row.run_end),
        decided_at=in_seconds(row.last_scheduling_decision),
        active_of_dag=of_dag,
        tasks_active=of_run,
    )


def _to_dag(session: Any, row: Any) -> Dag:
    error_at = None
    if row.has_import_errors:
        error = ParseImportError
        of_file = (error.bundle_name == row.bundle_name, error.filename == row.relative_fileloc)
        error_at = session.scalar(select(func.max(error.timestamp)).where(*of_file))
    return Dag(
        is_paused=row.is_paused,
        is_stale=row.is_stale,
        max_active_tasks=row.max_active_tasks,
        max_active_runs=row.max_active_runs,
        import_error_at=in_seconds(error_at),
    )
