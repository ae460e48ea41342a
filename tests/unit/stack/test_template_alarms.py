"""Alarms: each notifies people, names its runbook page, and uses a metric that is published."""

import json
from pathlib import Path
from typing import Any

import pytest

import version_check.report
from agent.forecaster import overdue
from agent.web import latency
from autoscaler import report
from stack.lib.alarms import METRICS_NAMESPACE
from stack.sections.workers import REFUSED
from tests.support import rendered

ROOT = Path(__file__).parents[3]
PROMISED = {
    "AlarmWorkerWaitLong", "AlarmWorkerAtMax", "AlarmWorkerUnprotected", "AlarmSchedulerSilent", "AlarmQueueUnconsumed",
    "AlarmDatabaseStorageLow", "AlarmDatabaseCpuHigh", "AlarmDatabaseConnectionsHigh", "AlarmBrokerMemoryHigh",
    "AlarmBrokerEvictions", "AlarmAutoscalerFails", "AlarmAutoscalerSilent", "AlarmVersionCheckFails",
    "AlarmVersionsSkewed", "AlarmWebserverErrors", "AlarmBalancerErrors", "AlarmWebserverDown",
    "AlarmExecutionApiSlow", "AlarmWorkerRolloutGivenUp", "AlarmWorkerLost", "AlarmDatabaseNotCleaned",
}  # fmt: skip
ALARMS = rendered.resources("AWS::CloudWatch::Alarm")
FILTERS = rendered.resources("AWS::Logs::MetricFilter")
FROM_LOGS = [each["MetricTransformations"][0]["MetricName"] for each in FILTERS.values()]
PUBLISHED = {
    value
    for module in (report, version_check.report)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}


def test_every_promised_alarm_exists() -> None:
    assert ALARMS.keys() >= PROMISED


@pytest.mark.parametrize("title", sorted(ALARMS))
def test_an_alarm_notifies_the_topic_when_it_begins_and_when_it_ends(title: str) -> None:
    assert ALARMS[title]["AlarmActions"] == ALARMS[title]["OKActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize("title", sorted(ALARMS))
def test_an_alarm_names_its_runbook_page_and_the_page_exists(title: str) -> None:
    page = f"docs/runbook/{title}.md"
    assert ALARMS[title]["AlarmDescription"].endswith(f"See {page}.")
    assert (ROOT / page).read_text().startswith(f"# {title}\n")


def test_every_runbook_page_belongs_to_an_alarm() -> None:
    assert {path.stem for path in (ROOT / "docs/runbook").glob("Alarm*.md")} == set(ALARMS)


@pytest.mark.parametrize("title", sorted(t for t, a in ALARMS.items() if a["Namespace"] == METRICS_NAMESPACE))
def test_an_alarm_on_a_metric_of_ours_uses_one_that_is_published(title: str) -> None:
    metric = ALARMS[title]["MetricName"]
    if isinstance(metric, str):
        assert metric in PUBLISHED
        dimensions = {dimension["Name"] for dimension in ALARMS[title]["Dimensions"]}
        assert dimensions in ({report.CLUSTER_DIMENSION}, {report.CLUSTER_DIMENSION, report.POOL_DIMENSION})
    else:
        assert metric in FROM_LOGS


def test_refused_protection_is_counted_by_the_message_that_the_agent_logs() -> None:
    assert FILTERS["WorkerProtectionRefused"]["FilterPattern"] == f'"{REFUSED}"'
    agent = (ROOT / "airflow_image/agent/fleet_agent.py").read_text()
    outage = (ROOT / "airflow_image/agent/broker.py").read_text()
    assert REFUSED.removeprefix("fleet: ") in agent
    assert '"fleet: %s: %s"' in outage


def test_the_latency_of_the_execution_api_is_read_from_the_field_that_the_webserver_writes() -> None:
    found = FILTERS["ExecutionApiLatency"]
    assert found["FilterPattern"] == f"{{ $.{latency.FIELD} = * }}"
    assert found["MetricTransformations"][0]["MetricValue"] == f"$.{latency.FIELD}"


def test_days_that_the_database_is_overdue_are_read_from_the_field_that_the_forecaster_writes() -> None:
    found = FILTERS["DatabaseOverdue"]
    assert found["FilterPattern"] == f"{{ $.{overdue.FIELD} = * }}"
    assert found["MetricTransformations"][0]["MetricValue"] == f"$.{overdue.FIELD}"
    assert found["LogGroupName"] == {"Ref": "AirflowLogGroup"}


def test_alarms_may_use_the_key_of_their_topic() -> None:
    (key,) = rendered.resources("AWS::KMS::Key").values()
    allowed = [s for s in key["KeyPolicy"]["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert [set(statement["Action"]) for statement in allowed] == [{"kms:Decrypt", "kms:GenerateDataKey*"}]


def dashboard() -> list[dict[str, Any]]:
    (properties,) = rendered.resources("AWS::CloudWatch::Dashboard").values()
    widgets: list[dict[str, Any]] = json.loads(properties["DashboardBody"]["Fn::Sub"])["widgets"]
    return widgets


def test_the_dashboard_shows_metrics_that_are_published() -> None:
    shown = {
        line[1] for widget in dashboard() for line in widget["properties"]["metrics"] if line[0] == METRICS_NAMESPACE
    }
    assert shown
    assert shown <= PUBLISHED | {name["Fn::Sub"] for name in FROM_LOGS}


def test_no_two_graphs_cover_each_other() -> None:
    places = [(widget["x"], widget["y"]) for widget in dashboard()]
    assert len(set(places)) == len(places)
