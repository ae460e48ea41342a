"""The scheduler's executor in the image's own environment, on a real database."""

import json
from pathlib import Path

import pytest

from agent.lost import GIVE_UP_AFTER_S
from tests.support.airflow_database import STORING
from tests.support.airflows_python import POOLS, asked, needs_airflow
from tests.support.servers import RedisServer

pytestmark = needs_airflow
NO_SERVER = "redis://127.0.0.1:1/0"

PREFACE = """
import time, uuid
from types import SimpleNamespace
from airflow import settings
from airflow._shared.timezones import timezone
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, TaskInstanceKey
from airflow.utils.session import create_session
from agent import lost
from agent.executor import FleetExecutor
from sqlalchemy import select

import_all_models()
Base.metadata.create_all(settings.engine)
executor = FleetExecutor(parallelism=8)
keys = {}
now = timezone.utcnow()

def know(tasks):
    with create_session() as session:
        run = dict(dag_id="dag", run_id="run", run_type="manual", state="running", run_after=now, clear_number=0)
        session.execute(DagRun.__table__.insert().values(**run))
        for name, row in tasks.items():
            id_, key = uuid.uuid4(), TaskInstanceKey("dag", name, "run", 1, -1)
            keys[name] = key
            executor.workloads[key] = SimpleNamespace(task_id=name)
            executor.running.add(key)
            executor._ids[key], executor._queues[key] = id_, "default"
            if row is not None:
                values = dict(id=id_, task_id=name, dag_id="dag", run_id="run", map_index=-1, try_number=row[0],
                              state=row[1], pool="default_pool", pool_slots=1, queue="default",
                              external_executor_id=row[2])
                session.execute(TaskInstance.__table__.insert().values(**values))

def held():
    return sorted(name for name, key in keys.items() if key in executor.running)

def states():
    with create_session() as session:
        return {task: state for task, state in session.execute(select(TaskInstance.task_id, TaskInstance.state))}
"""
ENDED = """
know({
    "runs": (1, "running", "runs"), "waits": (1, "queued", "waits"), "ended": (1, "success", "ended"),
    "deferred": (1, "deferred", "deferred"), "another-try": (2, "running", "another-try"), "gone": None,
})
executor._reconcile()
adopted = FleetExecutor(parallelism=8)
left = adopted.try_adopt_task_instances([
    SimpleNamespace(key=keys["runs"], id=executor._ids[keys["runs"]], queue="default", external_executor_id="id",
                    state="running"),
    SimpleNamespace(key=keys["waits"], id=executor._ids[keys["waits"]], queue="default", external_executor_id=None,
                    state="queued"),
])
answer({"held": held(), "consistent": set(executor._ids) == set(executor.workloads) == set(executor.running),
        "adopted": [key.task_id for key in adopted.running], "left": [ti.key.task_id for ti in left]})
"""
LOST = """
lost.LOST_AFTER_S = 0.0
know({
    "waits": (1, "queued", "waits"), "lost": (1, "queued", "lost"), "runs": (1, "running", "runs"),
    "sent again": (1, "queued", "another id"),
})
executor._reconcile()
answer({"held": held(), "states": states()})
"""
TOO_OFTEN = """
lost.LOST_AFTER_S = 0.0
know({"lost": (1, "queued", "lost")})
executor._queued_again[keys["lost"]] = lost.MOST_TIMES
executor._queued_again_at[keys["lost"]] = time.monotonic() - SINCE_S
executor._reconcile()
answer({"held": held(), "states": states(), "events": [info for _, info in executor.event_buffer.values()]})
"""
JUST_SENT = """
know({"lost": (1, "queued", "lost")})
executor._reconcile()
answer({"held": held(), "states": states()})
"""
UNSERVED = """
from airflow.executors.workloads import ExecuteCallback, ExecuteTask
from airflow.executors.workloads.task import TaskInstanceDTO

def task(name, queue):
    ti = TaskInstanceDTO(id=uuid.uuid4(), dag_version_id=uuid.uuid4(), task_id=name, dag_id="dag", run_id="run",
                         try_number=1, map_index=-1, pool_slots=1, queue=queue, priority_weight=1)
    return ExecuteTask(ti=ti, dag_rel_path="a.py", token="t", log_path=None, bundle_info={"name": "b", "version": None})

def callback(queue):
    data = {"path": "a.b", "kwargs": {}, "queue": queue}
    return ExecuteCallback(callback={"id": str(uuid.uuid4()), "fetch_method": "import_path", "data": data},
                           dag_rel_path="a.py", token="t", log_path=None, bundle_info={"name": "b", "version": None})

for workload in (task("misspelt", "defualt"), task("well", "default"), callback("defualt"), callback("default")):
    executor.queue_workload(workload, None)
answer({"queued": [key.task_id for key in executor.queued_tasks], "callbacks": len(executor.queued_callbacks),
        "events": sorted([str(state), info] for state, info in executor.event_buffer.values())})
"""
LATE = """
from airflow._shared.timezones import timezone
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.dagbag import DBDagBag
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.sdk import DAG, BaseOperator
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from agent.executor import FleetExecutor
from sqlalchemy import select

JOB, now = 7, timezone.utcnow()
executor = FleetExecutor(parallelism=8)
tasks = {tasks!r}
with DAG("dag", schedule=None) as dag:
    for name in tasks:
        BaseOperator(task_id=name)
stored = store(dag)
with create_session() as session:
    run = stored.create_dagrun(run_id="run", run_after=now, run_type=DagRunType.MANUAL, session=session,
                               triggered_by=DagRunTriggeredByType.REST_API, state=DagRunState.RUNNING)
    for ti in run.get_task_instances(session=session):
        ti.state, is_rescheduled, event = tasks[ti.task_id]
        ti.try_number, ti.queued_by_job_id = 1, JOB
        if is_rescheduled:
            session.add(TaskReschedule(ti.id, now, now, now))
        executor.event_buffer[ti.key] = (event, None)
with create_session() as session:
    SchedulerJobRunner.process_executor_events(executor, JOB, DBDagBag(), session)
with create_session() as session:
    answer({{task: state for task, state in session.execute(select(TaskInstance.task_id, TaskInstance.state))}})
"""
SILENT = """
executor.workloads["key"] = SimpleNamespace(task_id="id", backend=None)
executor.sync()
answer(list(executor.workloads))
"""


def ask(program: str, home: Path, url: str, *, preface: str = PREFACE) -> object:
    return asked(
        preface + program,
        home=home,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__CELERY__RESULT_BACKEND=f"agent.results:StateBackend+{url}",
        AIRFLOW__CELERY__BROKER_URL=url,
        POOLS=POOLS,
    )


def test_a_task_of_a_queue_that_no_pool_serves_fails_at_once_with_the_reason(tmp_path: Path) -> None:
    answer = ask(UNSERVED, tmp_path, NO_SERVER)
    reason = "no pool serves the queue 'defualt'; did you mean 'default'? The queues are default, heavy"
    assert answer == {"queued": ["well"], "callbacks": 1, "events": [["failed", reason]] * 2}


def test_slots_of_tasks_that_have_ended_are_freed_and_others_are_adopted(tmp_path: Path) -> None:
    answer = ask(ENDED, tmp_path, NO_SERVER)
    assert answer == {"held": ["runs", "waits"], "consistent": True, "adopted": ["runs"], "left": ["waits"]}


def message(task: str) -> str:
    return json.dumps({"body": "secret", "headers": {"id": task}, "properties": {}})


def test_a_task_whose_message_is_nowhere_is_queued_again(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.client.flushall()
    redis_server.client.lpush("default", "garbage", *(message(str(number)) for number in range(600)), message("waits"))
    answer = ask(LOST, tmp_path, redis_server.url)
    states = {"waits": "queued", "lost": "scheduled", "runs": "running", "sent again": "queued"}
    assert answer == {"held": ["runs", "sent again", "waits"], "states": states}


@pytest.mark.slow
def test_a_task_is_not_queued_again_at_once(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.client.flushall()
    assert ask(JUST_SENT, tmp_path, redis_server.url) == {"held": ["lost"], "states": {"lost": "queued"}}


@pytest.mark.parametrize(
    ("since_s", "held", "events"),
    [
        (GIVE_UP_AFTER_S + 1, [], ["its message was lost 6 times"]),
        pytest.param(GIVE_UP_AFTER_S - 60, ["lost"], [], marks=pytest.mark.slow),
    ],
)
def test_a_task_whose_message_is_lost_again_and_again_fails_in_the_end(
    since_s: float, held: list[str], events: list[str], redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.client.flushall()
    answer = ask(f"SINCE_S = {since_s}\n{TOO_OFTEN}", tmp_path, redis_server.url)
    assert answer == {"held": held, "states": {"lost": "queued"}, "events": events}


@pytest.mark.slow
def test_without_the_broker_no_message_is_taken_for_lost(tmp_path: Path) -> None:
    answer = ask(LOST, tmp_path, NO_SERVER)
    assert isinstance(answer, dict)
    assert answer["states"]["lost"] == "queued"


def test_a_sensor_whose_next_poke_is_scheduled_before_the_end_of_the_last_is_read_goes_on(tmp_path: Path) -> None:
    tasks = {
        # name: state, whether its try has been rescheduled, event; what becomes of it
        "next_poke_scheduled": ("scheduled", True, "success", "scheduled"),
        "next_poke_scheduled_and_upload_failed": ("scheduled", True, "failed", "scheduled"),
        "waits_for_next_poke": ("up_for_reschedule", True, "success", "up_for_reschedule"),
        "killed": ("scheduled", False, "success", "failed"),
        "killed_in_a_later_poke": ("running", True, "failed", "failed"),
        "ended_without_a_later_poke": ("queued", True, "success", "failed"),
        "succeeded": ("success", True, "success", "success"),
    }
    given = {name: task[:3] for name, task in tasks.items()}
    found = ask(LATE.format(tasks=given), tmp_path, NO_SERVER, preface=STORING)
    assert found == {name: task[3] for name, task in tasks.items()}


@pytest.mark.slow
def test_the_scheduler_goes_on_without_results(tmp_path: Path) -> None:
    assert ask(SILENT, tmp_path, NO_SERVER) == ["key"]
