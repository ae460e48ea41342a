"""A local stack whose roles are whole is refused nothing; of an action that one lacks, it tells in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.granted_actions import IMAGE_PULL, NOT_IN_A_DEMO
from tests.support.staged import stage

STAGE_TIMEOUT_S = 600
LOSSES = 3
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.iam.stage", tmp_path_factory.mktemp("iam"), timeout_s=STAGE_TIMEOUT_S)


def test_a_task_that_defers_and_a_rotated_password_are_refused_nothing(results: Any) -> None:
    assert results["refused"] == []
    assert "back from the triggerer" in results["log"]


def test_the_schedule_cleans_the_database(results: Any) -> None:
    assert results["cleaned"]["exit_code"] == 0, results["cleaned"]["log"]
    assert "old: 0 runs with 0 task instances" in results["cleaned"]["log"]
    assert "clean after" in results["cleaned"]["log"]


def test_a_backup_is_tried_out(results: Any) -> None:
    found = results["drill"]
    assert found["exit_code"] == 0, found["lines"]
    assert found["lines"][-1] == "the copy is whole, and this release runs on it"
    assert re.match(r"the copy has [1-9]\d* DAGs, 2 runs, 2 task instances, ", found["lines"][-2])
    assert len(found["left"]) == 1


@pytest.mark.parametrize("role", ["AirflowTaskRole", "WorkerTaskRole", "CleanScheduleRole", "CleanExecutionRole"])
def test_what_a_demonstration_leaves_unused_is_used(results: Any, role: str) -> None:
    assert NOT_IN_A_DEMO[role] - IMAGE_PULL - set(results["used"][role]) == set()


def test_each_lost_action_is_told_in_words(results: Any) -> None:
    assert len(results["told"]) == LOSSES
    assert [loss for loss, line in results["told"].items() if not line] == []
