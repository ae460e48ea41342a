"""While a branch of git is followed, each run keeps the commit that it began with, whatever happens to the branch."""

from __future__ import annotations

import re
import shutil
import sys
from typing import Any

import pytest

from tests.support.staged import stage

TASKS = 3  # of a run
RUNS_IN_TROUBLE = 4
NUMBER = re.compile(r"\d+")
# Pushes, runs, seconds for which git is away, limit of the whole stage in seconds.
QUICK, FULL = (4, 8, 15, 700), (30, 67, 60, 1500)
pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.longest,  # what it adds to the stage of uploads is tested against git alone in integration/ops
    pytest.mark.timeout(FULL[-1] + 120),
    pytest.mark.skipif(shutil.which("git") is None, reason="the stage's server is git's own"),
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(QUICK, id="quick"), pytest.param(FULL, id="full")],
)
def load(request: pytest.FixtureRequest) -> tuple[int, int, int, int]:
    found: tuple[int, int, int, int] = request.param
    return found


@pytest.fixture(scope="module")
def results(load: tuple[int, int, int, int], tmp_path_factory: pytest.TempPathFactory) -> Any:
    *arguments, timeout_s = load
    found = stage(
        "tests.acceptance.dag_bundles.git_stage",
        tmp_path_factory.mktemp("git"),
        timeout_s=timeout_s,
        arguments=tuple(map(str, arguments)),
    )
    seconds = sorted(found["delivered"])
    sys.stdout.write(
        f"{len(seconds)} pushes were current after {seconds[len(seconds) // 2]:.1f} s (median), {seconds[-1]:.1f} s "
        f"at most; {len(found['parsed'])} were seen parsed; after git was away {found['after_away_s']:.1f} s, forced "
        f"{found['forced_s']:.1f} s, after the deletion {found['after_deletion_s']:.1f} s\n{found['said']}\n"
    )
    return found


def test_every_task_of_a_run_logs_and_runs_the_runs_own_commit(results: Any, load: tuple[int, int, int, int]) -> None:
    tasks = [(run, task) for run in results["runs"] for task in run["tasks"]]
    assert len(tasks) == (load[1] + RUNS_IN_TROUBLE) * TASKS
    for run, task in tasks:
        number = str(results["numbers"][run["version"].partition("-")[0]])
        assert (task["state"], task["tries"]) == ("success", 1), task["log"]
        assert task["logged"] == [run["version"]]
        assert task["said"] == [[number, number]]  # of the DAG file and of the module beside it


def test_no_half_version_was_seen(results: Any) -> None:
    assert [each for each in results["parsed"] if len(set(NUMBER.findall(each))) > 1] == []


def test_each_push_became_a_version(results: Any, load: tuple[int, int, int, int]) -> None:
    assert len(results["delivered"]) == load[0] + 1


def test_git_that_is_away_and_a_deleted_branch_change_nothing(results: Any) -> None:
    assert results["is_kept_while_away"]
    assert results["is_kept_while_deleted"]
    assert results["said"].count("tried again, the last version stays") == 2
    assert "has no branch or tag main" in results["said"]


def test_what_does_not_import_is_not_delivered_and_said_once(results: Any) -> None:
    assert results["is_kept_while_broken"]
    assert results["said"].count(f"{results['broken'][:12]} is not delivered: nothing was uploaded") == 1
    assert "chain.py:1: ModuleNotFoundError" in results["said"]


def test_nothing_was_refused_to_any_role(results: Any) -> None:
    assert results["refused"] == []
