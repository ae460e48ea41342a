"""Reads from Airflow's database which scheduled runs are due soon, and which are under way."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.timetables.base import TimeRestriction
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import false, select
from sqlalchemy.exc import SQLAlchemyError

from agent.forecaster.forecast import DueRun

log = logging.getLogger(__name__)

# Of one DAG; further runs are not forecast.
MOST_RUNS = 1_000
# A timetable takes a few kB. Above this number all are dropped and read again.
MOST_TIMETABLES = 10_000


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The schedule of one version of a DAG. `timetable` is None when it cannot be read, or has failed."""

    dag_hash: str
    timetable: Any
    end_date: Any


class Schedule:
    """Reads due runs. It keeps each timetable until its DAG changes, because reading one means reading a whole DAG."""

    def __init__(self) -> None:
        self._plans: dict[str, _Plan] = {}

    def due_runs(self, session: Any, *, since: float, until: float) -> list[DueRun]:
        """Return the runs that Airflow's scheduler will create between two times, in seconds since the epoch.

        As in the scheduler, DAGs that are paused, gone, broken, or at their limit of active runs are left out.
        `session`: a SQLAlchemy session on Airflow's database. Raises SQLAlchemyError.
        """
        models = _due(session, since=since, until=until)
        hashes = _hashes(session, [model.dag_id for model in models])
        if len(self._plans) > MOST_TIMETABLES:
            self._plans.clear()
        due = []
        for model in models:
            plan = self._plans.get(model.dag_id)
            if plan is None or plan.dag_hash != hashes.get(model.dag_id):
                plan = _read_plan(session, model.dag_id, hashes.get(model.dag_id, ""))
            try:
                times = _times(model, plan, until=until)
            except Exception:
                # An operator's own timetable may raise anything, see _read_plan. It is not called again.
                log.exception("forecast: the timetable of %s failed: only its next run is known", model.dag_id)
                plan = replace(plan, timetable=None)
                times = _times(model, plan, until=until)
            self._plans[model.dag_id] = plan
            due += [DueRun(dag_id=model.dag_id, at=at) for at in times]
        return due


def runs_under_way(session: Any, *, since: float, until: float) -> list[DueRun]:
    """Return the queued or running scheduled runs that were due between two times, in seconds since the epoch.

    DAGs that are paused or gone are left out: the scheduler starts none of their tasks.
    `session`: a SQLAlchemy session on Airflow's database. Raises SQLAlchemyError.
    """
    begin, end = (datetime.fromtimestamp(time, tz=UTC) for time in (since, until))
    query = (
        select(DagRun.dag_id, DagRun.run_after)
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .where(
            DagRun.run_after.between(begin, end),
            DagRun.state.in_((DagRunState.QUEUED, DagRunState.RUNNING)),
            DagRun.run_type == DagRunType.SCHEDULED,
            DagModel.is_paused == false(),
            DagModel.is_stale == false(),
        )
        .order_by(DagRun.run_after, DagRun.dag_id)
    )
    return [DueRun(dag_id=row.dag_id, at=row.run_after.timestamp()) for row in session.execute(query)]


def _due(session: Any, *, since: float, until: float) -> list[Any]:
    """Return the DAGs whose next run is between the two times."""
    begin, end = (datetime.fromtimestamp(time, tz=UTC) for time in (since, until))
    query = select(DagModel).where(
        DagModel.is_paused == false(),
        DagModel.is_stale == false(),
        DagModel.has_import_errors == false(),
        DagModel.exceeds_max_non_backfill == false(),
        DagModel.next_dagrun_create_after.between(begin, end),
    )
    allowed = (model for model in session.scalars(query) if _may_be_scheduled(model))
    return sorted(allowed, key=lambda model: str(model.dag_id))


def _may_be_scheduled(model: Any) -> bool:
    return model.allowed_run_types is None or DagRunType.SCHEDULED in model.allowed_run_types


def _hashes(session: Any, dag_ids: list[str]) -> dict[str, str]:
    """Return the hash of each DAG's latest version."""
    query = (
        select(SerializedDagModel.dag_id, SerializedDagModel.dag_hash)
        .join(DagVersion, SerializedDagModel.dag_version_id == DagVersion.id)
        .where(SerializedDagModel.dag_id.in_(dag_ids))
        .order_by(SerializedDagModel.dag_id, DagVersion.version_number.desc())
        .distinct(SerializedDagModel.dag_id)
    )
    return {row.dag_id: row.dag_hash for row in session.execute(query)}


def _read_plan(session: Any, dag_id: str, dag_hash: str) -> _Plan:
    try:
        dag = SerializedDagModel.get_dag(dag_id, session=session)
    except SQLAlchemyError:
        raise
    except Exception:
        # Airflow runs the code of an operator's own timetable here, which may raise anything.
        log.exception("forecast: the timetable of %s cannot be read: only its next run is known", dag_id)
        dag = None
    if dag is None:
        return _Plan(dag_hash=dag_hash, timetable=None, end_date=None)
    return _Plan(dag_hash=dag_hash, timetable=dag.timetable, end_date=dag.end_date)


def _times(model: Any, plan: _Plan, *, until: float) -> list[float]:
    """Return the times of the DAG's next run, from the database, and of later runs, from its timetable.

    As in the scheduler, each run follows from the one before it. Raises what an operator's own timetable raises.
    """
    times = [model.next_dagrun_create_after.timestamp()]
    if plan.timetable is None:
        return times
    info = plan.timetable.next_run_info_from_dag_model(dag_model=model)
    # With catchup, because the runs lie ahead: without it, a timetable would begin at the present.
    restriction = TimeRestriction(earliest=None, latest=plan.end_date, catchup=True)
    while len(times) < MOST_RUNS:
        info = plan.timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        # A continuous timetable gives no later run before a run has ended.
        if info is None or not times[-1] < info.run_after.timestamp() <= until:
            break
        times.append(info.run_after.timestamp())
    return times
