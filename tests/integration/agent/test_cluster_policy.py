"""A DAG whose tasks could not run is refused where the DAG processor parses it, and nowhere else."""

from pathlib import Path

import pytest

from roles.log_paths import MAX_DAG_ID_BYTES, MAX_TASK_ID_BYTES
from tests.support.airflows_python import POOLS, asked, needs_airflow

pytestmark = needs_airflow
DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def {name}():
    @task(queue={queue!r}, task_id={task_id!r})
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
def test_an_unserved_queue_and_an_id_too_long_for_its_log_are_import_errors(role: str, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    longest = "d" * MAX_DAG_ID_BYTES
    for name, queue, task_id in (
        ("misspelt", "defualt", "each"),
        ("well", "heavy", "t" * MAX_TASK_ID_BYTES),
        ("unlike", "x", "each"),
        ("wide", "default", "\N{CJK UNIFIED IDEOGRAPH-4EFB}" * 83),
        (longest, "default", "each"),
        (f"{longest}d", "default", "each"),
    ):
        (dags / f"{name[:8]}{len(name)}.py").write_text(DAG.format(name=name, queue=queue, task_id=task_id))
    found, errors = asked(
        PARSE.format(folder=str(dags)),
        home=tmp_path,
        FLEET_ROLE=role,
        POOLS=POOLS,
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db",
    )
    if role != "dag-processor":
        assert (len(found), errors) == (6, {})
        return
    violation, queues = "AirflowClusterPolicyViolation: task each of DAG", "The queues are default, heavy"
    assert found == [longest, "well"]
    too_long = errors.pop("dddddddd249.py")
    assert too_long.endswith("its id has 249 bytes in UTF-8; its log needs at most 248")
    assert errors.pop("wide4.py").endswith("its id has 249 bytes in UTF-8; its log needs at most 247")
    assert errors == {
        "misspelt8.py": f"{violation} misspelt: no pool serves the queue 'defualt'; did you mean 'default'? {queues}",
        "unlike6.py": f"{violation} unlike: no pool serves the queue 'x'; {queues}",
    }
