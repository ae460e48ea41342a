"""Reads in Airflow's database which version each DAG bundle has, and which versions unfinished runs use."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import and_, distinct, func, select
from sqlalchemy.exc import SQLAlchemyError

from agent.bundle_report import CannotRead
from fleet.bundles import MOST_TASKS_NAMED, Bundle, Bundles, OlderTask, VersionInUse

UNFINISHED = (DagRunState.QUEUED, DagRunState.RUNNING)
AT_WORK = (TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING)
# More could be removed from the bucket by mistake if they were left out, so there is no limit on the versions in use.
_OF_A_RUN = and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id)


def read_bundles() -> Bundles:
    """Return the bundles that have a version, sorted by name; `since` is 0. Raises CannotRead."""
    try:
        with create_session() as session:
            return _read(session)
    except SQLAlchemyError as error:
        raise CannotRead(type(error).__name__) from None


def _read(session: Any) -> Bundles:
    current = select(DagBundleModel.name, DagBundleModel.version).where(
        DagBundleModel.active.is_(True), DagBundleModel.version.is_not(None)
    )
    versions = {row.name: row.version for row in session.execute(current)}
    if not versions:
        return ()
    in_use: dict[str, list[VersionInUse]] = defaultdict(list)
    for name, version, runs, tasks in session.execute(_used()):
        in_use[name].append(VersionInUse(version=version, runs=runs, tasks=tasks))
    for name, version in session.execute(_next()):
        if version != versions.get(name) and all(version != each.version for each in in_use[name]):
            in_use[name].append(VersionInUse(version=version, runs=0, tasks=0))
    return tuple(
        Bundle(name=name, version=version, since=0.0, in_use=tuple(in_use[name]), older=_older(session, name, version))
        for name, version in sorted(versions.items())
    )


def _used() -> Any:
    return (
        select(
            DagModel.bundle_name,
            DagRun.bundle_version,
            func.count(distinct(DagRun.id)),
            func.count(TaskInstance.id),
        )
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .outerjoin(TaskInstance, and_(_OF_A_RUN, TaskInstance.state.in_(AT_WORK)))
        .where(DagRun.state.in_(UNFINISHED), DagRun.bundle_version.is_not(None))
        .group_by(DagModel.bundle_name, DagRun.bundle_version)
        .order_by(DagModel.bundle_name, DagRun.bundle_version)
    )


def _next() -> Any:
    """Select the versions that new runs would have. A file that no longer imports leaves its DAGs at an older one."""
    return (
        select(DagModel.bundle_name, DagModel.bundle_version)
        .where(DagModel.is_stale.is_(False), DagModel.bundle_version.is_not(None))
        .distinct()
        .order_by(DagModel.bundle_name, DagModel.bundle_version)
    )


def _older(session: Any, name: str, version: str) -> tuple[OlderTask, ...]:
    query = (
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            TaskInstance.map_index,
            DagRun.bundle_version,
        )
        .join(DagRun, _OF_A_RUN)
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .where(
            DagModel.bundle_name == name,
            DagRun.state.in_(UNFINISHED),
            DagRun.bundle_version != version,
            TaskInstance.state.in_(AT_WORK),
        )
        .order_by(TaskInstance.start_date, TaskInstance.id)
        .limit(MOST_TASKS_NAMED)
    )
    return tuple(
        OlderTask(dag=dag, run=run, task=task, map_index=map_index, version=of_run)
        for dag, run, task, map_index, of_run in session.execute(query)
    )
