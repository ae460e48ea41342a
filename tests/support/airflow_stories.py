"""Task instances in a webserver's database, in the states in which a scheduler would have left them at this moment."""

from __future__ import annotations

from bench.micro.page.webserver import Webserver
from tests.support.airflows_python import asked

RUN = "manual__2026-12-01T05:00:00+00:00"
PROGRAM = """
from datetime import timedelta
from airflow import settings
from airflow._shared.timezones import timezone
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.pool import Pool
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select, update

RUN = RUN_ID
NOW = timezone.utcnow()
ago = lambda seconds: NOW - timedelta(seconds=seconds)

def dag_of(name, **options):
    with DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), **options) as dag:
        first = EmptyOperator(task_id="first", retries=2, retry_delay=timedelta(seconds=300))
        second = EmptyOperator(task_id="second", pool="etl", queue="default", depends_on_past=name == "past")
        mapped = EmptyOperator(task_id="third", trigger_rule="all_done")
        first >> second >> mapped
    dag.fileloc = settings.__file__
    return dag

dags = [dag_of("report", max_active_tasks=1), dag_of("secret"), dag_of("past"), dag_of("many", max_active_runs=1)]
with create_session() as session:
    session.add(DagBundleModel(name="stories"))
    session.add(Pool(pool="etl", slots=2, include_deferred=False))
    session.flush()
    for dag in dags:
        written = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("stories", None, [written], session=session)
        session.flush()
        SerializedDagModel.write_dag(written, bundle_name="stories", session=session)

ids = {}

def run_of(session, dag, run=RUN, state="running", **instances):
    at = ago(7200 - 60 * len(ids))
    version = session.scalar(select(DagVersion).where(DagVersion.dag_id == dag))
    session.add(DagRun(dag_id=dag, run_id=run, run_type=DagRunType.MANUAL, state=state, run_after=at, queued_at=ago(60),
                       logical_date=at, start_date=None if state == "queued" else ago(60),
                       triggered_by=DagRunTriggeredByType.TEST))
    session.flush()
    record = session.scalar(select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run))
    record.last_scheduling_decision = NOW
    record.created_dag_version_id = version.id
    serialized = SerializedDagModel.get_dag(dag, session=session)
    for name, values in instances.items():
        instance = TaskInstance(serialized.get_task(name), run_id=run, dag_version_id=version.id)
        instance.try_number = 1
        for field, value in values.items():
            setattr(instance, field, value)
        session.add(instance)
        session.flush()
        ids[f"{dag}.{run}.{name}"] = str(instance.id)
    return record

with create_session() as session:
    session.execute(update(DagModel).values(is_paused=False))
    trigger = Trigger("a.module.WaitForTheFile", {})
    session.add(trigger)
    session.flush()
    run_of(session, "report", first=dict(state="running", start_date=ago(50), queued_dttm=ago(55), hostname="10.0.1.9",
                                         last_heartbeat_at=NOW),
           second=dict(state=None), third=dict(state="deferred", trigger_id=trigger.id))
    run_of(session, "secret", first=dict(state="success", start_date=ago(50), end_date=ago(40)),
           second=dict(state="running", pool_slots=2, start_date=ago(40), hostname="10.0.1.9", last_heartbeat_at=NOW),
           third=dict(state="queued", queued_dttm=ago(20)))
    run_of(session, "report", "died", first=dict(state="failed", queued_dttm=ago(30), start_date=ago(25),
                                                 end_date=ago(5), hostname="10.0.1.9"),
           second=dict(state="upstream_failed"), third=dict(state="queued", queued_dttm=ago(10)))
    run_of(session, "report", "pool", first=dict(state="success", start_date=ago(9), end_date=ago(8)),
           second=dict(state="scheduled", scheduled_dttm=ago(5)))
    run_of(session, "report", "retry", first=dict(state="running", start_date=ago(9), end_date=ago(5), max_tries=2))
    again = session.scalar(select(TaskInstance).where(TaskInstance.run_id == "retry"))
    again.prepare_db_for_next_try(session)
    again.state = "up_for_retry"
    run_of(session, "past", "before", state="failed", first=dict(state="success"), second=dict(state="failed"))
    run_of(session, "past", first=dict(state="success"), second=dict(state=None))
    run_of(session, "many", "before", first=dict(state="running", start_date=ago(9), last_heartbeat_at=NOW))
    run_of(session, "many", state="queued", first=dict(state=None))
    key = session.scalar(select(TaskInstance).where(TaskInstance.run_id == "died", TaskInstance.task_id == "first")).key
    session.add(Log(event="running", task_instance=key))
answer(ids)
"""


def write_stories(webserver: Webserver) -> dict[str, str]:
    """Write them, once for a database; return the ids of the task instances as DAG.RUN.TASK."""
    program = PROGRAM.replace("RUN_ID", repr(RUN))
    found: dict[str, str] = asked(program, home=webserver.log.parent, AIRFLOW__CORE__LOAD_EXAMPLES="False")
    return found
