"""Reads what the run's version of the DAG says about a task, and how the tasks before it stand."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
from airflow.ti_deps.deps.task_concurrency_dep import TaskConcurrencyDep
from sqlalchemy import func, or_, select
from sqlalchemy.orm import defer

from agent.why.facts import Task, Upstream

# Airflow's own checks, of those that are cheap for a run of any size.
CHECKS = (PrevDagrunDep(), TaskConcurrencyDep())
NONE = "none"  # of a task instance without a state


def read(session: Any, dag_id: str, run_id: str, ti_id: Any, *, dag_bag: Any, with_upstream: bool) -> Task | None:
    """Return the task; None if the DAG's version is not stored any more, or has no such task.

    `with_upstream`: also the states of the tasks before it.
    """
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    # What is pickled, or large, is not read.
    large = (defer(TaskInstance.executor_config), defer(TaskInstance.next_kwargs))
    instance = session.scalar(select(TaskInstance).where(TaskInstance.id == ti_id).options(*large))
    dag = dag_bag.get_dag_for_run(run, session=session) if run is not None else None
    if dag is None or instance is None or not dag.has_task(instance.task_id):
        return None
    task = dag.get_task(instance.task_id)
    instance.task = task
    timeout = getattr(task, "execution_timeout", None)
    start = getattr(task, "start_date", None) or getattr(dag, "start_date", None)
    return Task(
        trigger_rule=str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        start_date=None if start is None else start.timestamp(),
        execution_timeout_s=None if timeout is None else timeout.total_seconds(),
        retry_at=_retry_at(instance),
        is_sensor=bool(getattr(task, "reschedule", False)) or "sensor" in str(task.task_type).lower(),
        upstream=_upstream(session, task, instance) if with_upstream else (),
        unmet=_unmet(session, instance) if instance.state in (None, "scheduled") else {},
    )


def _retry_at(instance: Any) -> float | None:
    if instance.state != "up_for_retry" or instance.end_date is None:
        return None
    return float(instance.next_retry_datetime().timestamp())


def _unmet(session: Any, instance: Any) -> dict[str, str]:
    found = {}
    for check in CHECKS:
        for status in check.get_dep_statuses(instance, DepContext(), session=session):
            if not status.passed:
                found[status.dep_name] = status.reason
    return found


def _upstream(session: Any, task: Any, instance: Any) -> tuple[Upstream, ...]:
    """Return the tasks right before this one. Of one in its own mapped task group, the instance of its index counts."""
    names = sorted(task.upstream_task_ids)
    if not names:
        return ()
    ti = TaskInstance
    beside = _in_the_same_group(task, names) if instance.map_index >= 0 else frozenset()
    states: dict[str, dict[str, int]] = defaultdict(dict)
    counted = (
        select(ti.task_id, ti.state, func.count())
        .where(ti.dag_id == instance.dag_id, ti.run_id == instance.run_id, ti.task_id.in_(names))
        .where(or_(ti.task_id.not_in(beside), ti.map_index == instance.map_index))
        .group_by(ti.task_id, ti.state)
    )
    for name, state, number in session.execute(counted):
        states[name][state or NONE] = number
    return tuple(Upstream(task=name, states=states[name]) for name in names)


def _in_the_same_group(task: Any, names: list[str]) -> frozenset[str]:
    group = task.get_closest_mapped_task_group()
    if group is None:
        return frozenset()
    before = {each.task_id: each for each in task.get_direct_relatives(upstream=True)}
    same = (name for name in names if name in before and before[name].get_closest_mapped_task_group() is group)
    return frozenset(same)
