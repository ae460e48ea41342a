"""The scheduler's executor in the image's own environment, on a real database."""

from pathlib import Path

from tests.support.airflows_python import asked, needs_airflow

pytestmark = needs_airflow

PROGRAM = """
import uuid
from types import SimpleNamespace
from airflow import settings
from airflow._shared.timezones import timezone
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, TaskInstanceKey
from airflow.utils.session import create_session
from agent.executor import FleetExecutor

import_all_models()
Base.metadata.create_all(settings.engine)
tasks = {
    "runs": (1, "running"), "waits": (1, "queued"), "ended": (1, "success"), "deferred": (1, "deferred"),
    "another-try": (2, "running"), "gone": None,
}
executor = FleetExecutor(parallelism=8)
keys = {}
now = timezone.utcnow()
with create_session() as session:
    run = dict(dag_id="dag", run_id="run", run_type="manual", state="running", run_after=now, clear_number=0)
    session.execute(DagRun.__table__.insert().values(**run))
    for name, row in tasks.items():
        id_, key = uuid.uuid4(), TaskInstanceKey("dag", name, "run", 1, -1)
        keys[name] = key
        executor.workloads[key] = SimpleNamespace(task_id=name)
        executor.running.add(key)
        executor._ids[key] = id_
        if row is not None:
            values = dict(id=id_, task_id=name, dag_id="dag", run_id="run", map_index=-1, try_number=row[0],
                          state=row[1], pool="default_pool", pool_slots=1, queue="default")
            session.execute(TaskInstance.__table__.insert().values(**values))
executor._reconcile()
held = sorted(name for name, key in keys.items() if key in executor.running)
adopted = FleetExecutor(parallelism=8)
left = adopted.try_adopt_task_instances([
    SimpleNamespace(key=keys["runs"], id=executor._ids[keys["runs"]], external_executor_id="celery-id"),
    SimpleNamespace(key=keys["waits"], id=executor._ids[keys["waits"]], external_executor_id=None),
])
answer({"held": held, "consistent": set(executor._ids) == set(executor.workloads) == set(executor.running),
        "adopted": [key.task_id for key in adopted.running], "left": [ti.key.task_id for ti in left]})
"""


def test_slots_of_tasks_that_have_ended_are_freed_and_others_are_adopted(tmp_path: Path) -> None:
    answer = asked(
        PROGRAM,
        home=tmp_path,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db",
        AIRFLOW__CELERY__RESULT_BACKEND="agent.results:StateBackend+redis://127.0.0.1:1/0",
        AIRFLOW__CELERY__BROKER_URL="redis://127.0.0.1:1/0",
    )
    assert answer == {"held": ["runs", "waits"], "consistent": True, "adopted": ["runs"], "left": ["waits"]}
