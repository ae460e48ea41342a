"""A DAG that names a queue which no pool serves is refused where the DAG processor parses it, and nowhere else."""

import json
from pathlib import Path

import pytest

from fleet.pools import pool_entry
from tests.support.airflows_python import asked, needs_airflow

pytestmark = needs_airflow
POOLS = json.dumps(
    [pool_entry(name="worker", queues=["default", "heavy"], minimum=0, maximum=4, concurrency=2, service="")]
)
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def {name}():
    @task(queue={queue!r})
    def each(n):
        pass

    each.expand(n=[1, 2])

{name}()
"""
PARSE = """
from airflow.dag_processing.dagbag import DagBag
found = DagBag({folder!r})
answer([sorted(found.dags), {{path.rpartition("/")[2]: error for path, error in found.import_errors.items()}}])
"""


@pytest.mark.parametrize("role", ["dag-processor", pytest.param("runner", marks=pytest.mark.slow)])
def test_a_misspelt_queue_is_an_import_error_with_the_nearest_queue(role: str, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    for name, queue in (("misspelt", "defualt"), ("well", "heavy"), ("unlike", "x")):
        (dags / f"{name}.py").write_text(DAG.format(name=name, queue=queue))
    found, errors = asked(
        PARSE.format(folder=str(dags)),
        home=tmp_path,
        FLEET_ROLE=role,
        POOLS=POOLS,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db",
    )
    if role != "dag-processor":
        assert (found, errors) == (["misspelt", "unlike", "well"], {})
        return
    violation, queues = "AirflowClusterPolicyViolation: task each of DAG", "The queues are default, heavy"
    assert found == ["well"]
    assert errors == {
        "misspelt.py": f"{violation} misspelt: no pool serves the queue 'defualt'; did you mean 'default'? {queues}",
        "unlike.py": f"{violation} unlike: no pool serves the queue 'x'; {queues}",
    }
