"""What the logs of worker and runner name of a workload."""

import json

import pytest

from agent.runner.protocol import name_of


def test_it_names_dag_and_task_and_nothing_else() -> None:
    workload = json.dumps({"token": "secret", "ti": {"dag_id": "dag", "task_id": "task", "run_id": "run"}})
    assert name_of(workload) == "'dag.task'"


def test_a_name_cannot_forge_a_line_of_the_log() -> None:
    workload = json.dumps({"ti": {"dag_id": "dag\nforged", "task_id": "x" * 10_000}})
    assert "\n" not in name_of(workload)
    assert len(name_of(workload)) < 600


@pytest.mark.parametrize("workload", ["", "[]", "{}", '{"ti": 1}', '{"ti": {"dag_id": "d"}}', '"token"'])
def test_a_workload_of_another_kind_has_no_name(workload: str) -> None:
    assert name_of(workload) == "of unknown name"
