"""How the local stack evaluates alarms: CloudWatch's rules for limits, several periods and missing data."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.alarms.evaluate import ALARM, OK, UNSETTLED, UnsupportedAlarm, composite_state, state_of
from local.alarms.filters import Filter, UnsupportedFilter
from local.alarms.readings import Readings
from tests.support import rendered

NOW = 6_000.0  # the end of a period of 60 s
LONG_AGO = 0.0


def alarm(**changes: Any) -> dict[str, Any]:
    return {
        "AlarmName": "a",
        "Namespace": "AirflowOnEcs",
        "MetricName": "RunFailures",
        "Dimensions": [{"Name": "cluster", "Value": "c"}],
        "Period": 60,
        "EvaluationPeriods": 1,
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 2.0,
        "TreatMissingData": "missing",
        "StateValue": OK,
        **changes,
    }


def points(*values: float | None) -> list[tuple[float, float]]:
    """Return one point in the middle of each period, the newest last."""
    begin = NOW - 60 * len(values)
    return [(begin + 60 * number + 30, value) for number, value in enumerate(values) if value is not None]


def state(given: dict[str, Any], *values: float | None, since: float = LONG_AGO, later_s: float = 0.0) -> str:
    return state_of(given, points(*values), now=NOW + later_s, since=since)


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        ({}, (3,), ALARM),
        ({}, (2,), OK),
        ({}, (3, 2), OK),  # only the last period counts
        ({"ComparisonOperator": "GreaterThanOrEqualToThreshold"}, (2,), ALARM),
        ({"ComparisonOperator": "LessThanThreshold"}, (1,), ALARM),
        ({"ComparisonOperator": "LessThanOrEqualToThreshold"}, (3,), OK),
        ({"EvaluationPeriods": 3}, (3, 3, 3), ALARM),
        ({"EvaluationPeriods": 3}, (3, 1, 3), OK),
        ({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, (3, 1, 3), ALARM),
        ({"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, (3, 1, 1), OK),
        ({"Period": 120}, (3, 1), ALARM),
        ({"Period": 120, "Statistic": "Minimum"}, (3, 1), OK),
        ({"Period": 120, "Statistic": "Sum"}, (1, 2), ALARM),
        ({"Period": 120, "Statistic": "Average"}, (3, 1), OK),
        # Missing data.
        ({"EvaluationPeriods": 3}, (None, None, None), UNSETTLED),
        ({"EvaluationPeriods": 3}, (None, None, 3), ALARM),
        ({"EvaluationPeriods": 3}, (None, 1, 3), OK),
        ({"TreatMissingData": "breaching", "EvaluationPeriods": 3}, (None, None, None), ALARM),
        ({"TreatMissingData": "breaching", "EvaluationPeriods": 3}, (None, 1, None), OK),
        ({"TreatMissingData": "notBreaching", "EvaluationPeriods": 3}, (None, None, None), OK),
        ({"TreatMissingData": "ignore", "StateValue": ALARM}, (None,), ALARM),
        ({"TreatMissingData": "ignore", "StateValue": ALARM}, (1,), OK),
    ],
)
def test_an_alarm_follows_its_last_periods(
    changes: dict[str, Any], values: tuple[float | None, ...], expected: str
) -> None:
    assert state(alarm(**changes), *values) == expected


def test_a_period_counts_when_it_is_complete() -> None:
    begun = [*points(1), (NOW + 1, 3.0)]
    assert state_of(alarm(), begun, now=NOW + 59, since=LONG_AGO) == OK
    assert state_of(alarm(), begun, now=NOW + 60, since=LONG_AGO) == ALARM


def test_before_the_stack_began_nothing_is_missing() -> None:
    breaching = alarm(TreatMissingData="breaching", EvaluationPeriods=3)
    assert state(breaching, since=NOW - 60) == ALARM  # one period was watched, and is missing
    assert state(breaching, since=NOW - 30) == UNSETTLED


def test_a_minute_can_be_shorter_for_a_test() -> None:
    found = [(NOW - 2.5, 3.0)]
    assert state_of(alarm(), found, now=NOW, since=LONG_AGO, minute_s=5) == ALARM
    assert state_of(alarm(), found, now=NOW + 5, since=LONG_AGO, minute_s=5) == UNSETTLED


@pytest.mark.parametrize("changes", [{"Statistic": "p99"}, {"ComparisonOperator": "GreaterThanUpperThreshold"}])
def test_what_is_not_known_is_named(changes: dict[str, str]) -> None:
    with pytest.raises(UnsupportedAlarm, match=next(iter(changes.values()))):
        state(alarm(**changes), 3)


def test_a_composite_alarm_is_on_while_one_of_its_alarms_is() -> None:
    rule = {"AlarmName": "any", "AlarmRule": 'ALARM("a") OR ALARM("b")'}
    assert composite_state(rule, {"a": OK, "b": ALARM}) == ALARM
    assert composite_state(rule, {"a": OK, "b": UNSETTLED}) == OK


@pytest.mark.parametrize("rule", ['ALARM("a") AND ALARM("b")', 'NOT ALARM("a")', "", 'ALARM("a") OR ALARM("gone")'])
def test_another_rule_or_an_alarm_that_does_not_exist_is_refused(rule: str) -> None:
    with pytest.raises(UnsupportedAlarm):
        composite_state({"AlarmName": "any", "AlarmRule": rule}, {"a": OK, "b": OK})


def line(value: float, *, at: float = NOW) -> str:
    where = {"Namespace": "AirflowOnEcs", "Dimensions": [["cluster"]], "Metrics": [{"Name": "RunFailures"}]}
    record = {"_aws": {"Timestamp": at * 1000, "CloudWatchMetrics": [where]}, "cluster": "c", "RunFailures": [value]}
    return json.dumps(record) + "\n"


def test_metrics_are_read_from_the_functions_logs_as_they_grow(tmp_path: Path) -> None:
    readings, log = Readings(), tmp_path / "function.log"
    log.write_text("started\n" + line(1) + '{"_aws": 7}\n{"_aws" broken\n' + line(2)[:-9])
    readings.read(tmp_path)
    assert [value for _, value in readings.of(alarm())] == [1]
    log.write_text(log.read_text() + line(2)[-9:])
    readings.read(tmp_path)
    readings.read(tmp_path)
    assert readings.of(alarm()) == ((NOW, 1.0), (NOW, 2.0))
    assert readings.of(alarm(Dimensions=[{"Name": "cluster", "Value": "other"}])) == ()


def metric_filter(pattern: str, value: str, *, group: str = "airflow") -> Filter:
    made = {"metricName": "RunFailures", "metricNamespace": "AirflowOnEcs", "metricValue": value}
    return Filter.of(
        {"filterName": "f", "filterPattern": pattern, "logGroupName": group, "metricTransformations": [made]}
    )


def test_metrics_are_made_of_containers_logs_by_their_groups_filters(tmp_path: Path) -> None:
    readings, own, other = Readings(), tmp_path / "own.log", tmp_path / "other.log"
    lines = ['{"n": 3}', "refused: why", '{"n": "x"}', "[1]", '{"m": 3}', '{"n": 4.5}']
    for path in (own, other):
        path.write_text("\n".join(lines) + "\n" + '{"n": 9}')
    groups = {own: "airflow", other: "worker", tmp_path / "none.log": "airflow"}
    filters = [metric_filter("{ $.n = * }", "$.n"), metric_filter('"refused: "', "1")]
    for at in (NOW, NOW + 1):
        readings.read_containers(groups, filters, at=at)
    assert readings.of(alarm(Dimensions=[])) == ((NOW, 3.0), (NOW, 4.5), (NOW, 1.0))


@pytest.mark.parametrize(("pattern", "value"), [("{ $.n > 1 }", "$.n"), ("{ $.n = * }", "1"), ("refused", "1")])
def test_another_metric_filter_is_refused(pattern: str, value: str) -> None:
    with pytest.raises(UnsupportedFilter, match="metric filter f"):
        metric_filter(pattern, value)


def test_the_filters_of_the_template_are_known() -> None:
    for title, found in rendered.resources("AWS::Logs::MetricFilter").items():
        (made,) = found["MetricTransformations"]
        told = {"filterName": title, "filterPattern": found["FilterPattern"], "logGroupName": "group"}
        named = {"metricName": title, "metricNamespace": "n", "metricValue": made["MetricValue"]}
        assert Filter.of({**told, "metricTransformations": [named]}).group == "group"
