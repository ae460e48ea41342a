"""Alarms: each notifies people, names its runbook page, and uses a metric that is published."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import version_check.report
import version_check.work
from agent.events import waiting
from agent.forecaster import overdue
from agent.web import latency
from autoscaler import report
from cfn.intrinsics import Scope, resolve
from fleet.work import DEFAULT_LIMITS, LIMIT_NAMES, LIMITS_PATTERN
from stack.grafana import render_grafana
from stack.lib.alarms import METRICS_NAMESPACE
from stack.sections.pools import DeclaredPool
from stack.sections.workers import REFUSED
from template_gen import POOLS, build
from tests.support import rendered

ROOT = Path(__file__).parents[3]
PROMISED = {
    "AlarmWorkerWaitLong", "AlarmWorkerAtMax", "AlarmWorkerUnprotected", "AlarmSchedulerSilent", "AlarmQueueUnconsumed",
    "AlarmDatabaseStorageLow", "AlarmDatabaseCpuHigh", "AlarmDatabaseConnectionsHigh", "AlarmBrokerMemoryHigh",
    "AlarmBrokerEvictions", "AlarmAutoscalerFails", "AlarmAutoscalerSilent", "AlarmVersionCheckFails",
    "AlarmVersionsSkewed", "AlarmWebserverErrors", "AlarmBalancerErrors", "AlarmWebserverDown",
    "AlarmExecutionApiSlow", "AlarmWorkerRolloutGivenUp", "AlarmWorkerLost", "AlarmDatabaseNotCleaned",
    "AlarmTaskFailures", "AlarmRunFailures", "AlarmDagLate", "AlarmImportErrors", "AlarmSchedulingDelay",
    "AlarmParseSlow", "AlarmTriggererFull", "AlarmComponentSilent", "AlarmWorkUnknown",
    "AlarmTelemetryUndelivered", "AlarmEventsWaiting",
}  # fmt: skip
ALARMS = rendered.resources("AWS::CloudWatch::Alarm")
COMPOSITE = rendered.resources("AWS::CloudWatch::CompositeAlarm")
FILTERS = rendered.resources("AWS::Logs::MetricFilter")
FROM_LOGS = [each["MetricTransformations"][0]["MetricName"] for each in FILTERS.values()]
PUBLISHED = {
    value
    for module in (report, version_check.report, version_check.work)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}


def test_every_promised_alarm_exists() -> None:
    assert ALARMS.keys() >= PROMISED


@pytest.mark.parametrize("title", sorted(ALARMS))
def test_an_alarm_notifies_the_topic_when_it_begins_and_when_it_ends(title: str) -> None:
    assert ALARMS[title]["AlarmActions"] == ALARMS[title]["OKActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize("title", sorted({**ALARMS, **COMPOSITE}))
def test_an_alarm_names_its_runbook_page_and_the_page_exists(title: str) -> None:
    page = f"docs/runbook/{title}.md"
    assert description({**ALARMS, **COMPOSITE}[title]).endswith(f"See {page}.")
    assert (ROOT / page).read_text().startswith(f"# {title}\n")


def test_every_runbook_page_belongs_to_an_alarm() -> None:
    assert {path.stem for path in (ROOT / "docs/runbook").glob("Alarm*.md")} == {*ALARMS, *COMPOSITE}


def test_the_operations_page_lists_every_page() -> None:
    text = (ROOT / "docs/runbook/README.md").read_text()
    assert re.findall(r"^- \[(Alarm\w+)\]\(\1\.md\)$", text, re.MULTILINE) == sorted({*ALARMS, *COMPOSITE})


@pytest.mark.parametrize(
    ("title", "path"),
    [
        ("AlarmRunFailures", "/dag_runs?state=failed"),
        ("AlarmTaskFailures", "/task_instances?task_state=failed"),
        ("AlarmDagLate", "/dags"),
        ("AlarmImportErrors", "/dags"),
        ("AlarmSchedulingDelay", "/dags"),
    ],
)
def test_an_alarm_on_the_work_links_to_airflows_ui(title: str, path: str) -> None:
    _, values = ALARMS[title]["AlarmDescription"]["Fn::Sub"]
    link, site = values["Link"]["Fn::Sub"]
    assert link == f"${{Site}}{path}"
    assert site["Site"] == rendered.template()["Outputs"]["WebserverUrl"]["Value"]


def test_the_limits_of_the_alarms_on_the_work_are_parts_of_one_parameter() -> None:
    parameter = rendered.template()["Parameters"]["WorkAlarmLimits"]
    assert (parameter["Default"], parameter["AllowedPattern"]) == (DEFAULT_LIMITS, f"^{LIMITS_PATTERN}$")
    thresholds = {
        title: resolved["Resources"][title]["Properties"]["Threshold"]
        for resolved in [rendered.in_environment("prd")]
        for title in ("AlarmTaskFailures", "AlarmRunFailures", "AlarmSchedulingDelay", "AlarmParseSlow")
    }
    scope = Scope(parameters={}, mappings={}, ref=str, attribute=lambda _name, _attribute: None)
    assert {title: int(resolve(number, scope)) for title, number in thresholds.items()} == {
        "AlarmTaskFailures": 10,
        "AlarmRunFailures": 0,
        "AlarmSchedulingDelay": 120,
        "AlarmParseSlow": 20,
    }
    numbers = (999, 999_999, 999_999, 10, 99_999, 9_999)
    longest = ",".join(f"{name}={number}" for name, number in zip(LIMIT_NAMES, numbers, strict=True))
    assert re.fullmatch(LIMITS_PATTERN, longest)
    assert len(longest) <= int(parameter["MaxLength"])


def test_one_alarm_is_on_while_any_is() -> None:
    ((title, composite),) = COMPOSITE.items()
    assert title == "AlarmEnvironment"
    assert composite["AlarmRule"]["Fn::Sub"].split(" OR ") == [f'ALARM("${{{each}}}")' for each in ALARMS]


def test_with_twelve_pools_the_composite_alarm_stays_within_cloudwatchs_quotas() -> None:
    pools = [DeclaredPool(name=f"pool-{letter}", queues=(letter,)) for letter in "abcdefghijk"]
    resources = build([*POOLS, *pools]).to_dict()["Resources"]
    rule = resources["AlarmEnvironment"]["Properties"]["AlarmRule"]["Fn::Sub"]
    alarms = re.findall(r"\$\{(\w+)\}", rule)
    # CloudFormation's names: of a stack with a name of 30 characters, and a random end.
    longest = sum(len(f'ALARM("{30 * "s"}-{each}-{12 * "x"}") OR ') for each in alarms)
    assert len(alarms) <= 100
    assert longest <= 10_240


def description(alarm: dict[str, Any]) -> str:
    """Return the alarm's description; one with a link is the text of an Fn::Sub."""
    found = alarm["AlarmDescription"]
    return str(found["Fn::Sub"][0] if isinstance(found, dict) else found)


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


def test_the_wait_of_events_is_read_from_the_field_that_their_process_writes() -> None:
    found = FILTERS["EventsWaiting"]
    assert found["FilterPattern"] == f"{{ $.{waiting.FIELD} = * }}"
    assert found["MetricTransformations"][0]["MetricValue"] == f"$.{waiting.FIELD}"


def test_alarms_may_use_the_key_of_their_topic() -> None:
    (key,) = rendered.resources("AWS::KMS::Key").values()
    allowed = [s for s in key["KeyPolicy"]["Statement"] if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}]
    assert [set(statement["Action"]) for statement in allowed] == [{"kms:Decrypt", "kms:GenerateDataKey*"}]


def dashboard() -> list[dict[str, Any]]:
    (properties,) = rendered.resources("AWS::CloudWatch::Dashboard").values()
    widgets: list[dict[str, Any]] = json.loads(properties["DashboardBody"]["Fn::Sub"])["widgets"]
    return widgets


# Of the services that the dashboard shows, from AWS's documentation.
OF_AWS = {
    "AWS/ApplicationELB": {"RequestCount", "HTTPCode_Target_5XX_Count", "HealthyHostCount"},
    "AWS/ECS": {"CPUUtilization", "MemoryUtilization"},
    "AWS/RDS": {"CPUUtilization", "DatabaseConnections"},
    "AWS/ElastiCache": {"DatabaseMemoryUsagePercentage", "Evictions", "CurrConnections"},
    "AWS/Lambda": {"Invocations", "Errors", "Duration"},
}
OURS = PUBLISHED | {name["Fn::Sub"] for name in FROM_LOGS}


def graphs() -> list[dict[str, Any]]:
    return [widget["properties"] for widget in dashboard() if widget["type"] == "metric"]


def exists(namespace: str, metric: str) -> bool:
    return metric in (OURS if namespace == METRICS_NAMESPACE else OF_AWS[namespace])


def test_the_dashboard_shows_metrics_that_are_published() -> None:
    lines = [line for graph in graphs() for line in graph["metrics"] if isinstance(line[0], str)]
    assert {line[0] for line in lines} == {METRICS_NAMESPACE, *OF_AWS}
    assert [line for line in lines if not exists(line[0], line[1])] == []


def test_the_dashboard_begins_with_the_work_and_the_state_of_each_alarm() -> None:
    numbers, alarms, heading, *_ = dashboard()
    shown = {line[1] for line in numbers["properties"]["metrics"]}
    assert (numbers["y"], numbers["properties"]["view"]) == (0, "singleValue")
    assert shown == {"RunSuccesses", "RunFailures", "LateDags", "ImportErrors", "SilentComponents"}
    assert alarms["properties"]["alarms"] == [f"${{{title}.Arn}}" for title in ALARMS]
    assert heading["properties"]["markdown"].startswith("## Work\n")


def test_an_expression_names_lines_of_its_own_graph() -> None:
    expressions = 0
    for graph in graphs():
        ids = {line[-1].get("id") for line in graph["metrics"]}
        for line in graph["metrics"]:
            if isinstance(line[0], dict):
                expressions += 1
                assert set(re.findall(r"m\d+", line[0]["expression"])) <= ids
    assert expressions


def test_no_two_graphs_cover_each_other() -> None:
    covered = [
        (x, y)
        for widget in dashboard()
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < 24


def test_grafana_shows_the_same_graphs_with_a_variable_for_each_name_of_the_deployment() -> None:
    found = json.loads(render_grafana(build()))
    panels = [panel for panel in found["panels"] if panel["type"] != "text"]
    assert [panel["title"] for panel in panels] == [graph["title"] for graph in graphs()]
    targets = [target for panel in panels for target in panel["targets"]]
    plain = [target for target in targets if not target["expression"]]
    stack = "${AWS::StackName}"
    assert [t for t in plain if not exists(t["namespace"], t["metricName"].replace("${stack}", stack))] == []
    variables = {variable["name"] for variable in found["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(found["panels"])))
    assert used == variables
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])
    assert "AWS::" not in json.dumps(found)
