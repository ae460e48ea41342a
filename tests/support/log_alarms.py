"""The template's alarms on metrics from logs, evaluated over the lines that a real process has written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local.alarms.evaluate import OK, state_of
from local.alarms.filters import Filter
from tests.support import rendered


def state_after(title: str, lines: Iterable[tuple[float, str]], *, now: float) -> str:
    """Return the alarm's state at `now`. `lines` of the log of the service airflow, each with its time in seconds."""
    alarm = rendered.resources("AWS::CloudWatch::Alarm")[title]
    (found,) = (
        Filter.of(_described(each))
        for each in rendered.resources("AWS::Logs::MetricFilter").values()
        if each["LogGroupName"] == {"Ref": "AirflowLogGroup"}
        and each["MetricTransformations"][0]["MetricName"] == alarm["MetricName"]
    )
    points = [(at, value) for at, line in lines for value in found.values(line.splitlines())]
    return state_of({**alarm, "AlarmName": title, "StateValue": OK}, points, now=now, since=0.0)


def _described(given: dict[str, Any]) -> dict[str, Any]:
    (made,) = given["MetricTransformations"]
    return {
        "filterName": "",
        "filterPattern": given["FilterPattern"],
        "logGroupName": "",
        "metricTransformations": [
            {"metricName": "", "metricNamespace": made["MetricNamespace"], "metricValue": made["MetricValue"]}
        ],
    }
