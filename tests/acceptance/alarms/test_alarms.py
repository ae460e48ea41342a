"""Each alarm on Airflow's work begins and ends on the running stack; a message says which run, DAG and file it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.alarms.evaluate import ALARM, OK
from tests.acceptance.alarms.stage import ANY, BY_A_STOPPED_FORECASTER, BY_A_STOPPED_SCHEDULER, BY_DAGS
from tests.support import rendered
from tests.support.staged import stage

STAGE_TIMEOUT_S = 720
PROVOKED = (*BY_DAGS, *BY_A_STOPPED_SCHEDULER, *BY_A_STOPPED_FORECASTER)
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.alarms.stage", tmp_path_factory.mktemp("alarms"), timeout_s=STAGE_TIMEOUT_S)


def notifications(results: Any, title: str) -> list[str]:
    """Return the states of which the topic was told, in their order."""
    told = [json.loads(each["Message"]) for each in results["messages"] if each["Message"].startswith("{")]
    return [each["NewStateValue"] for each in told if title in each["AlarmName"].split("-")]


def said(results: Any) -> list[dict[str, str]]:
    """Return the messages of the version check about the work."""
    return [each for each in results["messages"] if "What to do: docs/runbook/" in each["Message"]]


def test_every_alarm_on_the_work_is_provoked() -> None:
    of_work = {
        title
        for title, resource in rendered.resources("AWS::CloudWatch::Alarm").items()
        if resource["MetricName"] in ("WorkReports", *FIGURES)
    }
    assert of_work <= set(PROVOKED)


FIGURES = (
    *("TaskFailures", "RunFailures", "LateDags", "ImportErrors", "SchedulingDelay"),
    *("ParseTime", "TriggererLoad", "SilentComponents"),
)


@pytest.mark.parametrize("title", PROVOKED)
def test_an_alarm_begins_and_ends_and_the_topic_is_told_of_both(results: Any, title: str) -> None:
    states = results["states"][title]
    assert ALARM in states
    assert states[-1] == OK
    told = notifications(results, title)
    assert ALARM in told
    assert OK in told[told.index(ALARM) :]


def test_one_alarm_is_on_while_any_is_and_notifies_no_one(results: Any) -> None:
    assert results["states"][ANY][-2:] == [ALARM, OK]
    assert notifications(results, ANY) == []


def test_a_message_names_run_dag_and_file_with_links_to_this_airflow(results: Any) -> None:
    bodies = "\n".join(each["Message"] for each in said(results))
    assert f"failing, run {results['failed']}, first task fail" in bodies
    assert "stumbling: no success in its last " in bodies
    assert "live/broken.py: ModuleNotFoundError" in bodies
    assert "a_module_that_does_not_exist" not in bodies
    assert "no data" not in bodies


def test_an_alarms_description_has_its_page_and_its_link(results: Any) -> None:
    description = results["descriptions"]["AlarmRunFailures"]
    assert "/dag_runs?state=failed See docs/runbook/AlarmRunFailures.md." in description
    assert description.count("http") == 1


def test_no_part_of_the_stack_was_refused_a_call(results: Any) -> None:
    assert results["refused"] == []
