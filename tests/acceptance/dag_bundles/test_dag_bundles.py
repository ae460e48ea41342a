"""While versions of a bundle are delivered, each run keeps the version that it began with, in all of its tasks."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.dag_bundles.pushes import HOLDING
from tests.acceptance.dag_bundles.stage import KEPT, RUNS_WHILE_AWAY
from tests.support.staged import stage

TASKS = 3  # of a run
NUMBER = re.compile(r"\d+")
KNOWN_WITHIN_S, PARSED_WITHIN_S = 60, 15


@dataclass(frozen=True, kw_only=True)
class Load:
    """How many versions are delivered while so many runs run, and the limit of the whole stage in seconds."""

    pushes: int
    runs: int
    timeout_s: int


QUICK = Load(pushes=10, runs=20, timeout_s=540)
FULL = Load(pushes=30, runs=67, timeout_s=1080)
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(FULL.timeout_s + 120)]


@pytest.fixture(
    scope="module",
    params=[pytest.param(QUICK, id="quick"), pytest.param(FULL, id="full", marks=pytest.mark.longest)],
)
def load(request: pytest.FixtureRequest) -> Load:
    found: Load = request.param
    return found


@pytest.fixture(scope="module")
def results(load: Load, tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = stage(
        "tests.acceptance.dag_bundles.stage",
        tmp_path_factory.mktemp("bundles"),
        timeout_s=load.timeout_s,
        arguments=(str(load.pushes), str(load.runs)),
    )
    mixed = [each for each in found["parsed"] if len(set(NUMBER.findall(each))) > 1]
    sys.stdout.write(
        f"{len(found['parsed'])} versions were seen parsed, of which mixed: {mixed}; an older version was named after "
        f"{found['older']['seconds']:.1f} s; parsed forward after {found['seconds_forward']:.1f} s, back after "
        f"{found['seconds_back']}; at once: {found['at_once']}; refused while away: {found['refused_while_away']}; "
        f"cleaned: {found['cleaned']}\n"
    )
    return found


def test_every_task_succeeds_at_its_first_try(results: Any, load: Load) -> None:
    tasks = [task for run in results["runs"] for task in run["tasks"]]
    assert len(tasks) == (load.runs + RUNS_WHILE_AWAY) * TASKS
    assert {(task["state"], task["tries"]) for task in tasks} == {("success", 1)}


def test_every_task_of_a_run_logs_and_runs_the_runs_own_version(results: Any) -> None:
    for run in [*results["runs"], results["held"]]:
        number = str(results["numbers"][run["version"]])
        for task in run["tasks"]:
            assert task["logged"] == [run["version"]]
            assert task["said"] == [[number, number]]  # of the DAG file and of the module beside it


def test_runs_of_many_versions_ran_side_by_side(results: Any, load: Load) -> None:
    assert len({run["version"] for run in results["runs"]}) >= load.pushes // 2


def test_a_version_is_parsed_soon_and_one_that_comes_back_as_soon(results: Any) -> None:
    assert results["seconds_forward"] < PARSED_WITHIN_S
    assert results["seconds_back"]["command"] < 5
    assert results["seconds_back"]["parsed"] < PARSED_WITHIN_S  # min_file_process_interval would be 30
    assert results["described"] == "number=1 helper=1"


def test_a_running_task_of_an_older_version_is_named_everywhere(results: Any) -> None:
    older = results["older"]
    assert older["seconds"] < KNOWN_WITHIN_S
    assert f"{HOLDING}.hold of " in older["versions"]
    assert f"runs version {results['first'][:12]}" in older["versions"]
    assert f'"dag": "{HOLDING}"' in older["page"]
    assert "the DAG processor has version" in older["gate"]
    # The task itself ran on to its end.
    assert (results["held"]["version"], results["held"]["state"]) == (results["first"], "success")


def test_a_bucket_that_is_away_for_a_while_fails_no_task(results: Any) -> None:
    """Two runs began meanwhile, of a version that no worker had: all tasks succeed, as the first test finds."""
    assert results["refused_while_away"] > 0


def test_of_two_uploads_at_once_one_is_current_and_whole(results: Any) -> None:
    assert "delivered" in results["at_once"]
    assert all(went == "delivered" or "came first" in went for went in results["at_once"])
    assert results["seconds_after_two"] < PARSED_WITHIN_S


def test_old_versions_are_removed_but_none_that_a_run_uses(results: Any) -> None:
    cleaned = results["cleaned"]
    assert cleaned["has_held"]
    assert cleaned["after"] <= KEPT + 1
    assert results["lost"]["removed"] > 0
    assert results["lost"]["is_spared"]


def test_a_task_whose_version_is_lost_fails_with_a_reason_that_people_understand(results: Any) -> None:
    lost = results["lost"]
    assert (lost["version"], lost["state"]) == (lost["expected"], "failed")
    (task,) = lost["tasks"]
    assert f"version {lost['expected']} of the DAG bundle dags, cannot be fetched" in task["log"]
    assert "upload its DAGs again" in task["log"]


def test_nothing_was_refused_to_any_role(results: Any) -> None:
    assert results["refused"] == []
