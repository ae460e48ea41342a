"""While versions of a bundle are delivered, each run keeps the version that it began with, in all of its tasks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.dag_bundles.stage import PUSHES, RUNS_A_PUSH
from tests.support.staged import stage

STAGE_TIMEOUT_S = 480
TASKS = 3
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.dag_bundles.stage", tmp_path_factory.mktemp("bundles"), timeout_s=STAGE_TIMEOUT_S)


def test_every_task_succeeds_at_its_first_try(results: Any) -> None:
    tasks = [task for run in results["runs"] for task in run["tasks"]]
    assert len(tasks) == PUSHES * RUNS_A_PUSH * TASKS
    assert {(task["state"], task["tries"]) for task in tasks} == {("success", 1)}


def test_every_task_of_a_run_logs_and_runs_the_runs_own_version(results: Any) -> None:
    for run in results["runs"]:
        number = str(results["numbers"][run["version"]])
        for task in run["tasks"]:
            assert task["logged"] == [run["version"]]
            assert task["said"] == [[number, number]]  # of the DAG file and of the module beside it


def test_runs_of_many_versions_ran_side_by_side(results: Any) -> None:
    assert len({run["version"] for run in results["runs"]}) >= PUSHES // 2


def test_a_version_is_parsed_soon_and_one_that_comes_back_as_soon(results: Any) -> None:
    assert results["seconds_forward"] < 15
    assert results["seconds_back"] < 15  # min_file_process_interval would be 30


def test_nothing_was_refused_to_any_role(results: Any) -> None:
    assert results["refused"] == []
