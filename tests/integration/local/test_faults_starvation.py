"""What the fault `starvation` does to Airflow, on Airflow itself: its DAGs, and its statements in the database."""

import json
from pathlib import Path

import psycopg
import pytest

from fleet.pools import pool_entry
from local.scenarios.faults.starvation import AUDITED, COUNT_REQUEUED, PARSED_EARLIER, REQUEUED, refusal_of
from local.scenarios.faults.ten_pools import LOADS, MISSPELT, MISTAKE, OUTDATED, POOLS, write_dags
from tests.support.airflow_database import STORING
from tests.support.airflows_python import asked, needs_airflow
from tests.support.servers import PostgresServer

pytestmark = needs_airflow
DECLARED = json.dumps(
    [
        pool_entry(
            name=pool.name, queues=list(pool.queues), minimum=pool.min, maximum=pool.max, concurrency=pool.concurrency
        )
        for pool in POOLS
    ]
)
PARSE = """
from airflow.dag_processing.dagbag import DagBag
found = DagBag({folder!r})
dags = {{name: next(iter(dag.tasks)) for name, dag in found.dags.items()}}
def numbers(task):
    return len(task.op_kwargs_expand_input.value["number"])
answer([
    {{name: [task.task_id, task.queue, numbers(task)] for name, task in dags.items()}},
    {{path.rpartition("/")[2]: error for path, error in found.import_errors.items()}},
])
"""
# A DAG as the DAG processor stores it, and a task in each of two states.
STORE = (
    STORING
    + """
from airflow._shared.timezones import timezone
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
import uuid

store(DagBag({folder!r}).dags[{name!r}])
with create_session() as session:
    session.execute(DagRun.__table__.insert().values(
        dag_id={name!r}, run_id="run", run_type="manual", state="running", run_after=timezone.utcnow(), clear_number=0))
    session.execute(TaskInstance.__table__.insert(), [
        dict(id=uuid.uuid4(), task_id="work", dag_id={name!r}, run_id="run", map_index=number, try_number=1,
             state=state, pool="default_pool", pool_slots=1, queue="default", priority_weight=1)
        for number, state in enumerate(["queued", "scheduled"])])
answer(None)
"""
)
READ = """
from airflow.models.serialized_dag import SerializedDagModel
(task,) = SerializedDagModel.get_dag({name!r}).tasks
answer(task.queue)
"""


def environment(tmp_path: Path, database: str) -> dict[str, str]:
    return {
        "FLEET_ROLE": "dag-processor",
        "POOLS": DECLARED,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the fault's DAGs."""
    folder = tmp_path / "dags"
    folder.mkdir()
    write_dags(folder)
    return folder


def test_each_dag_has_the_tasks_of_its_load_and_the_mistake_is_refused_with_the_nearest_queue(
    folder: Path, tmp_path: Path
) -> None:
    found, errors = asked(
        PARSE.format(folder=str(folder)), home=tmp_path, **environment(tmp_path, f"sqlite:///{tmp_path}/airflow.db")
    )
    assert found == {load.name: ["work", load.queue, load.tasks] for load in LOADS}
    assert list(errors) == ["mistake.py"]
    assert refusal_of(MISTAKE.queue, nearest=MISSPELT.queues[0]) in errors["mistake.py"]


def test_a_stored_dag_gets_another_queue_and_a_task_that_is_queued_again_is_counted(
    folder: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    server, name = postgres_server.server, "starvation"
    server.provision(postgres_server.user, postgres_server.password, name)
    url = postgres_server.url.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg2://")
    given = environment(tmp_path, f"{url}/{name}")
    asked(STORE.format(folder=str(folder), name=OUTDATED.name), home=tmp_path, **given)

    with server.superuser(name) as database:
        database.execute(PARSED_EARLIER, (f'"{OUTDATED.queue}"', '"gone"', OUTDATED.name))
        database.execute(COUNT_REQUEUED)
    assert asked(READ.format(name=OUTDATED.name), home=tmp_path, **given) == "gone"

    # As Airflow, which may not write to the table of the count.
    with psycopg.connect(f"{postgres_server.url.rpartition('/')[0]}/{name}", autocommit=True) as airflow:
        for state in ("running", "success"):  # the one that was scheduled ends
            airflow.execute("UPDATE task_instance SET state = %s WHERE map_index = 1", (state,))
        for state in ("scheduled", "queued"):
            airflow.execute("UPDATE task_instance SET state = %s WHERE map_index = 0", (state,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            airflow.execute(REQUEUED)
    with server.superuser(name) as database:
        assert database.execute(REQUEUED).fetchone() == (1,)
        database.execute(
            "INSERT INTO log (dttm, dag_id, map_index, event, extra) VALUES (now(), %s, 3, 'state mismatch', %s)",
            (OUTDATED.name, f"Extra info: {refusal_of('gone', nearest='moved')}"),
        )
        assert database.execute(AUDITED, (OUTDATED.name, "%no pool serves the queue%")).fetchone() == (1,)
