"""Airflow's real scheduler on real servers: how soon it starts a run when it is idle, and whether it reports itself."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from fleet.member import RUNNING
from tests.support.airflow_database import STORING
from tests.support.airflows_python import POOLS, asked, needs_airflow
from tests.support.fake_ecs import TASK_ARN
from tests.support.servers import PostgresServer, RedisServer

pytestmark = needs_airflow
PAUSE_S = 8  # of Airflow's own: far longer than a busy machine needs for what is measured
# Several runs, because a pause may end just when a run is created. A task of an EmptyOperator needs no worker.
MEASURE = """
import os, signal, threading, time
from airflow._shared.timezones import timezone
from airflow.jobs.job import Job, run_job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dagrun import DagRun
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from agent.broker import registry_of
from sqlalchemy import select

with DAG("dag", schedule=None, is_paused_upon_creation=False) as dag:
    EmptyOperator(task_id="task")
stored = store(dag)
registry = registry_of(os.environ)
waits_s, members = [], []

def created(number):
    with create_session() as session:
        stored.create_dagrun(run_id=f"run_{number}", run_after=timezone.utcnow(), run_type=DagRunType.MANUAL,
                             triggered_by=DagRunTriggeredByType.REST_API, state=DagRunState.QUEUED, session=session)

def ended():
    with create_session() as session:
        return not session.scalars(select(DagRun.id).where(DagRun.state != "success")).all()

def reported():
    return [[member.id, member.role, member.state] for member in registry.members().members]

def watch():
    try:
        time.sleep(3)
        for number in range(3):
            created(number)
            began = time.monotonic()
            while not ended():
                time.sleep(0.02)
            waits_s.append(time.monotonic() - began)
            time.sleep(1.5)
        members.extend(reported())
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

runner = SchedulerJobRunner(job=Job())
threading.Thread(target=watch).start()
run_job(job=runner.job, execute_callable=runner._execute)
answer({"waits_s": waits_s, "members": members, "left": reported()})
"""


def measure(home: Path, *, executor: str, postgres: PostgresServer, redis: RedisServer) -> Any:
    """Return the seconds from each run's creation to its end; the fleet's members meanwhile, and afterwards."""
    redis.client.flushall()
    name = f"idle_{uuid.uuid4().hex}"
    postgres.server.provision(postgres.user, postgres.password, name)
    return asked(
        STORING + MEASURE,
        home=home,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"{postgres.url.rpartition('/')[0]}/{name}",
        AIRFLOW__CORE__EXECUTOR=executor,
        AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME=str(PAUSE_S),
        AIRFLOW__CELERY__BROKER_URL=redis.url,
        AIRFLOW__CELERY__RESULT_BACKEND=f"agent.results:StateBackend+{redis.url}",
        FLEET_ROLE="scheduler",
        FLEET_TASK_ARN=TASK_ARN,
        IMAGE_VERSION="1.2.3",
        POOLS=POOLS,
    )


def test_an_idle_scheduler_starts_and_ends_a_run_at_once_and_reports_itself(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    executor = "agent.executor.FleetExecutor"
    found = measure(tmp_path, executor=executor, postgres=postgres_server, redis=redis_server)
    assert sorted(found["waits_s"])[1] < PAUSE_S / 3, found
    assert found["members"] == [["0123456789abcdef/scheduler", "scheduler", RUNNING]]
    assert not found["left"]


@pytest.mark.slow
def test_airflows_own_scheduler_sleeps_meanwhile(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    """When this fails, Airflow's scheduler wakes by itself, and `agent.idle` is not needed."""
    found = measure(tmp_path, executor="CeleryExecutor", postgres=postgres_server, redis=redis_server)
    assert sum(found["waits_s"]) > PAUSE_S, found
