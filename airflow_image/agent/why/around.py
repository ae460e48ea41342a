"""Reads what is around a task instance: Airflow's pool, the queue, the trigger, and what the audit log says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.jobs.job import Job
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger as TriggerModel
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, func, or_, select

from agent.why.facts import AirflowPool, Event, Place, Trigger

AT_WORK = (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING)
MOST_EVENTS = 40
HOLDERS = 4  # DAGs with the most slots of a pool, of which the reader may see some


@dataclass(frozen=True, kw_only=True)
class Key:
    """What names a task instance."""

    dag: str
    run: str
    task: str
    map_index: int


def read_pool(session: Any, row: Any, may_see: Callable[[str], bool]) -> AirflowPool | None:
    """Return the slots of the task's pool, taken as Airflow counts them."""
    if row.slots is None:
        return None
    states = (*AT_WORK, TaskInstanceState.DEFERRED) if row.include_deferred else AT_WORK
    ti = TaskInstance
    by_dag = session.execute(
        select(ti.dag_id, func.sum(ti.pool_slots), func.min(ti.start_date))
        .where(ti.pool == row.pool, ti.state.in_(states))
        .group_by(ti.dag_id)
    ).all()
    largest = sorted(by_dag, key=lambda each: -int(each[1]))[:HOLDERS]
    return AirflowPool(
        slots=row.slots,
        taken=sum(int(slots) for _, slots, _ in by_dag),
        holders={dag: int(slots) for dag, slots, _ in largest if may_see(dag)},
        since=min((t for t in (in_seconds(since) for *_, since in by_dag) if t is not None), default=None),
    )


def read_place(session: Any, row: Any) -> Place | None:
    """Return the task's place by the time at which each was queued: no message is read for it."""
    if row.queued_dttm is None:
        return None
    ti = TaskInstance
    is_before = or_(ti.queued_dttm < row.queued_dttm, and_(ti.queued_dttm == row.queued_dttm, ti.id < row.id))
    queued = (ti.state == TaskInstanceState.QUEUED, ti.queue == row.queue)
    before, all_of_them = session.execute(
        select(func.count().filter(is_before), func.count()).select_from(ti).where(*queued)
    ).one()
    return Place(ahead=before, queued=all_of_them)


def read_trigger(session: Any, row: Any) -> Trigger | None:
    trigger = session.execute(
        select(TriggerModel.classpath, TriggerModel.created_date, Job.latest_heartbeat)
        .outerjoin(Job, Job.id == TriggerModel.triggerer_id)
        .where(TriggerModel.id == row.trigger_id)
    ).one_or_none()
    if trigger is None:
        return None
    return Trigger(
        name=trigger.classpath,
        created_at=in_seconds(trigger.created_date),
        heartbeat_at=in_seconds(trigger.latest_heartbeat),
    )


def read_events(session: Any, key: Key) -> tuple[Event, ...]:
    """Return the last lines of the audit log about the task instance and about its run."""
    of_task = and_(Log.task_id == key.task, or_(Log.map_index == key.map_index, Log.map_index.is_(None)))
    found = session.execute(
        select(Log.dttm, Log.event, Log.extra, Log.try_number, Log.task_id)
        .where(Log.dag_id == key.dag, Log.run_id == key.run, or_(of_task, Log.task_id.is_(None)))
        .order_by((Log.id + 0).desc())  # a sum, or the whole log would be read backwards for a few lines
        .limit(MOST_EVENTS)
    ).all()
    return tuple(
        Event(
            t=in_seconds(each.dttm) or 0.0,
            name=each.event,
            text=each.extra or "",
            try_number=each.try_number,
            is_of_run=each.task_id is None,
        )
        for each in reversed(found)
    )


def in_seconds(at: datetime | None) -> float | None:
    """Return seconds since the epoch. Every column here has a time zone, but the trigger's timeout of a past try."""
    return None if at is None else at.timestamp()
