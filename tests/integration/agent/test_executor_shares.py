"""The scheduler's executor with two pools, one of which is flooded: on a real broker and a real database."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.shares import LEAST_AHEAD
from fleet.pools import pool_entry
from roles.compose import ROLES
from tests.support.airflows_python import asked, needs_airflow
from tests.support.servers import RedisServer

pytestmark = needs_airflow
SMALL, LARGE = 1, 4  # slots
SHARE = SMALL + LEAST_AHEAD
POOLS = json.dumps(
    [
        pool_entry(name="worker", queues=["default"], minimum=0, maximum=2, concurrency=2),
        pool_entry(name="heavy", queues=["heavy"], minimum=0, maximum=1, concurrency=1),
    ]
)
PREFACE = """
import base64, json, time, uuid
from datetime import timedelta
from types import SimpleNamespace
import jwt
from airflow import settings
from airflow._shared.timezones import timezone
from airflow.executors.workloads import ExecuteTask
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from agent.executor import FleetExecutor
from sqlalchemy import select, update

import_all_models()
Base.metadata.create_all(settings.engine)
executor = FleetExecutor(parallelism=100_000)
logged = []
for full in executor._full.values():
    full._log = SimpleNamespace(warning=lambda text, *values: logged.append(text % values))
began = time.time()

def job(state):
    with create_session() as session:
        made = Job(job_type="SchedulerJob", state=state)
        session.add(made)
        session.flush()
        return made.id

with create_session() as session:
    run = dict(dag_id="dag", run_id="run", run_type="manual", state="running", run_after=timezone.utcnow(),
               clear_number=0)
    session.execute(DagRun.__table__.insert().values(**run))
LOST_JOB = job("failed")

def queue(queue, *names, priority=1):
    rows = []
    for name in names:
        ti = TaskInstanceDTO(id=uuid.uuid4(), dag_version_id=uuid.uuid4(), task_id=str(name), dag_id="dag",
                             run_id="run", try_number=1, map_index=-1, pool_slots=1, queue=queue,
                             priority_weight=priority, external_executor_id=str(uuid.uuid4()))
        rows.append(dict(id=ti.id, task_id=ti.task_id, dag_id="dag", run_id="run", map_index=-1, try_number=1,
                         state="queued", pool="default_pool", pool_slots=1, queue=queue, priority_weight=priority,
                         external_executor_id=ti.external_executor_id, queued_by_job_id=LOST_JOB,
                         queued_dttm=timezone.utcnow()))
        executor.queue_workload(ExecuteTask(ti=ti, dag_rel_path="a.py", token="old", log_path=None,
                                            bundle_info={"name": "b", "version": None}), None)
    with create_session() as session:
        session.execute(TaskInstance.__table__.insert(), rows)

def sent(queue):
    "Return the workloads in the broker, the oldest first."
    messages = reversed(executor._client.lrange(queue, 0, -1))
    return [json.loads(json.loads(base64.b64decode(json.loads(message)["body"]))[0][0]) for message in messages]

def names(queue):
    return [workload["ti"]["task_id"] for workload in sent(queue)]

def end_one(queue):
    "Let a worker take the oldest message and end its task; return its name."
    message = json.loads(executor._client.rpop(queue))
    celery_id = message["headers"]["id"]
    executor.celery_app.backend.store_result(celery_id, None, "SUCCESS")
    with create_session() as session:
        (name,) = session.scalars(select(TaskInstance.task_id).where(TaskInstance.external_executor_id == celery_id))
        session.execute(update(TaskInstance).where(TaskInstance.task_id == name).values(state="success"))
    return name

def states():
    with create_session() as session:
        rows = session.execute(select(TaskInstance.task_id, TaskInstance.state, TaskInstance.try_number))
        return {row.task_id: [row.state and str(row.state), row.try_number] for row in rows}

def failed():
    return [str(key) for key, (state, _) in executor.event_buffer.items() if state == "failed"]
"""
FLOODED = """
queue("heavy", *range(2000))
executor.heartbeat()
queue("default", "light 1", "light 2", "light 3", "light 4")
executor.heartbeat()
answer({"heavy": len(sent("heavy")), "default": names("default"), "slots": executor.slots_available > 1000,
        "shown": executor._client.get("fleet:waiting:heavy").decode(),
        "logged": [line for line in logged if "heavy" in line], "failed": failed()})
"""
BY_PRIORITY = """
queue("heavy", *range(10))
executor.heartbeat()
queue("heavy", "low", priority=0)
queue("heavy", "urgent", priority=9)
ends = []
while sent("heavy"):
    ends.append(end_one("heavy"))
    executor.heartbeat()
answer({"ends": ends, "left": len(executor.queued_tasks) + len(executor.running), "failed": failed(),
        "logged": [line for line in logged if "heavy" in line]})
"""
THROUGH_ONE_SLOT = """
queue("heavy", *range(COUNT))
ends = 0
most = 0
executor.heartbeat()
while workloads := sent("heavy"):
    most = max(most, len(workloads))
    for _ in range(min(20, len(workloads))):  # as in a slow loop of the scheduler
        workload = workloads.pop(0)
        claims = jwt.decode(workload["token"], "secret", algorithms=["HS512"], audience="urn:airflow.apache.org:task")
        assert claims["exp"] - claims["iat"] == 86_400
        assert claims["sub"] == workload["ti"]["id"]
        assert claims["iat"] >= began - 1
        assert claims["scope"] == "workload"
        end_one("heavy")
        ends += 1
    executor.heartbeat()  # ends by reading the results
    executor.heartbeat()
answer({"ends": ends, "most": most, "failed": failed(), "left": len(executor.queued_tasks) + len(executor.running)})
"""
CANCELLED = """
queue("heavy", *range(300))
executor.heartbeat()
with create_session() as session:
    session.execute(update(TaskInstance).where(TaskInstance.task_id.not_in(["0", "1", "2", "298", "299"]))
                    .values(state="skipped"))
end_one("heavy")
executor.heartbeat()  # reads the result
executor.heartbeat()
answer({"sent": names("heavy"), "waits": [key.task_id for key in executor.queued_tasks], "failed": failed()})
"""
ALL_CANCELLED = """
import agent.executor
agent.executor.RECONCILE_EVERY_S = 0.0
queue("heavy", *range(10))
executor.heartbeat()
with create_session() as session:
    session.execute(update(TaskInstance).where(TaskInstance.task_id.not_in(["0", "1", "2"])).values(state="skipped"))
executor.heartbeat()
answer({"waits": len(executor.queued_tasks), "logged": [line for line in logged if "pool heavy" in line]})
"""
ADOPTED = """
queue("heavy", *range(5))
executor.heartbeat()
BETWEEN
other = FleetExecutor(parallelism=100_000)
runner = SchedulerJobRunner(Job(id=job("running")), executors=[other])
with create_session() as session:
    runner.adopt_or_reset_orphaned_tasks(session=session)
answer({"states": states(), "runs": sorted(key.task_id for key in other.running), "sent": names("heavy")})
"""
ENDS = """
queue("heavy", *range(5))
executor.heartbeat()
executor.end()
answer({"states": states(), "sent": names("heavy")})
"""
STUCK = """
queue("heavy", "long")
with create_session() as session:
    session.execute(update(TaskInstance).values(queued_dttm=timezone.utcnow() - timedelta(days=60)))
runner = SchedulerJobRunner(Job(id=LOST_JOB), executors=[executor])
runner._handle_tasks_stuck_in_queued()
answer([states()["long"][0], len(executor.queued_tasks)])
"""


def ask(program: str, home: Path, url: str, **settings: str) -> Any:
    return asked(
        PREFACE + program,
        home=home,
        AIRFLOW__API_AUTH__JWT_SECRET="secret",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__CELERY__RESULT_BACKEND=f"agent.results:StateBackend+{url}",
        AIRFLOW__CELERY__BROKER_URL=url,
        POOLS=POOLS,
        **settings,
    )


@pytest.fixture
def broker(redis_server: RedisServer) -> str:
    redis_server.client.flushall()
    return redis_server.url


FULL = "fleet: more tasks of pool heavy are queued than it can run at once; they wait"


def test_a_flooded_pool_keeps_no_other_pool_waiting(broker: str, tmp_path: Path) -> None:
    answer = ask(FLOODED, tmp_path, broker)
    assert answer == {
        "heavy": SHARE,
        "default": ["light 1", "light 2", "light 3", "light 4"],
        "slots": True,
        "shown": str(2000 - SHARE),
        "logged": [f"{FULL}: {2000 - SHARE} at first, for its {SMALL} slots"],
        "failed": [],
    }


@pytest.mark.slow
def test_what_waits_goes_out_by_priority_and_a_line_says_when_no_more_waits(broker: str, tmp_path: Path) -> None:
    answer = ask(BY_PRIORITY, tmp_path, broker)
    ends = [*map(str, range(SHARE)), "urgent", *map(str, range(SHARE, 10)), "low"]
    lines = [line.partition(": resolved")[0] for line in answer.pop("logged")]
    assert answer == {"ends": ends, "left": 0, "failed": []}
    assert lines == [f"{FULL}: {10 - SHARE} at first, for its {SMALL} slots", "fleet"]


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_tasks_pass_through_one_slot_each_with_a_new_token_that_starts_it_only(
    count: int, broker: str, tmp_path: Path
) -> None:
    answer = ask(f"COUNT = {count}\n{THROUGH_ONE_SLOT}", tmp_path, broker)
    assert answer.pop("most") < count
    assert answer == {"ends": count, "failed": [], "left": 0}


@pytest.mark.slow
def test_tasks_of_a_run_that_was_ended_do_not_go_out_nor_before_others(broker: str, tmp_path: Path) -> None:
    answer = ask(CANCELLED, tmp_path, broker)
    assert answer == {"sent": ["1", "2", "298"], "waits": ["299"], "failed": []}


@pytest.mark.slow
def test_tasks_that_were_ended_are_forgotten_while_their_pool_is_full(broker: str, tmp_path: Path) -> None:
    answer = ask(ALL_CANCELLED, tmp_path, broker)
    assert answer["waits"] == 0
    assert answer["logged"][1:] == [f"fleet: resolved: {FULL.removeprefix('fleet: ')}"]


QUEUED, SCHEDULED = ["queued", 1], ["scheduled", 1]


def test_after_a_schedulers_death_its_waiting_tasks_are_scheduled_again_in_the_same_try(
    broker: str, tmp_path: Path
) -> None:
    answer = ask(ADOPTED.replace("BETWEEN", ""), tmp_path, broker)
    assert answer == {
        "states": {"0": QUEUED, "1": QUEUED, "2": QUEUED, "3": SCHEDULED, "4": SCHEDULED},
        "runs": ["0", "1", "2"],
        "sent": ["0", "1", "2"],
    }


@pytest.mark.slow
def test_running_tasks_are_adopted_and_none_is_taken_for_unsent_without_the_broker(broker: str, tmp_path: Path) -> None:
    between = """
with create_session() as session:
    session.execute(update(TaskInstance).where(TaskInstance.task_id == "3").values(state="running"))
"""
    answer = ask(ADOPTED.replace("BETWEEN", between), tmp_path, broker)
    assert answer["states"]["3"] == ["running", 1]
    assert answer["runs"] == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_scheduler_that_stops_leaves_its_waiting_tasks_to_the_next(broker: str, tmp_path: Path) -> None:
    answer = ask(ENDS, tmp_path, broker)
    assert answer == {
        "states": {"0": QUEUED, "1": QUEUED, "2": QUEUED, "3": SCHEDULED, "4": SCHEDULED},
        "sent": ["0", "1", "2"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "expected"), [("0", ["queued", 1]), ("1", ["failed", 0])])
def test_a_task_waits_as_long_as_it_must_unless_a_limit_is_set(
    minutes: str, expected: list[object], broker: str, tmp_path: Path
) -> None:
    settings = scheduler_settings(minutes)
    assert ask(STUCK, tmp_path, broker, **settings) == expected


def scheduler_settings(minutes: str) -> dict[str, str]:
    """Return those of the scheduler's settings that limit how long a task waits."""
    (scheduling,) = [part for part in ROLES["scheduler"].parts if "POOLS" in part.needs]
    given = scheduling.settings({"POOLS": POOLS, "PORT": "1", "MAX_TASK_WAIT_MINUTES": minutes})
    names = ("AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES")
    return {name: given[name] for name in names}
