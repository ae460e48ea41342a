"""Render the template's dashboard for Grafana, with its data source for CloudWatch.

Names that only a deployment knows become variables, which Grafana fills with what it finds in CloudWatch.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from troposphere import Template

TITLE, UID = "Airflow on ECS", "airflow-on-ecs"
SCHEMA_VERSION = 39
DATA_SOURCE, REGION, STACK = "datasource", "region", "stack"
_NAME = re.compile(r"\$\{[A-Za-z0-9.]+\}")
_PSEUDO = {"${AWS::Region}": f"${REGION}", "${AWS::StackName}": f"${{{STACK}}}"}


def render_grafana(t: Template) -> str:
    """Return Grafana's dashboard as JSON; the same template always gives the same text."""
    widgets = json.loads(t.resources["Dashboard"].DashboardBody.data["Fn::Sub"])["widgets"]
    variables: dict[str, dict[str, Any]] = {}
    panels = [
        {"id": number, "gridPos": _place(widget), **_panel(widget, variables)}
        for number, widget in enumerate((each for each in widgets if each["type"] != "alarm"), start=1)
    ]
    dashboard = {
        "title": TITLE,
        "uid": UID,
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-12h", "to": "now"},
        "templating": {"list": [*_first_variables(), *variables.values()]},
        "panels": panels,
    }
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def _place(widget: Mapping[str, Any]) -> dict[str, int]:
    return {"x": widget["x"], "y": widget["y"], "w": widget["width"], "h": widget["height"]}


def _panel(widget: Mapping[str, Any], variables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a panel for the widget; add the variables that it needs."""
    given = widget["properties"]
    if widget["type"] == "text":
        return {"type": "text", "title": "", "options": {"mode": "markdown", "content": given["markdown"]}}
    return {
        "type": "stat" if given["view"] == "singleValue" else "timeseries",
        "title": given["title"],
        "datasource": _source(),
        "targets": list(_targets(given, variables)),
    }


def _targets(given: Mapping[str, Any], variables: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(given["metrics"]):
        options = line[-1]
        target: dict[str, Any] = {
            "refId": chr(ord("A") + number),
            "datasource": _source(),
            "queryMode": "Metrics",
            "metricQueryType": 0,
            "region": f"${REGION}",
            "period": str(given["period"]),
            "id": options.get("id", ""),
            "hide": not options.get("visible", True),
        }
        if "expression" in options:
            # The code editor's mode; the name of a line is a field of every query.
            yield {**target, "metricEditorMode": 1, "expression": options["expression"], "label": options["label"]}
            continue
        namespace, metric, *where = line[:-1]
        names = dict(zip(where[::2], where[1::2], strict=True))
        yield {
            **target,
            "metricEditorMode": 0,
            "expression": "",
            "namespace": namespace,
            "metricName": _with_variables(metric),
            "dimensions": {
                name: [_value(name, value, namespace=namespace, metric=metric, variables=variables)]
                for name, value in names.items()
            },
            "statistic": options["stat"],
            "matchExact": True,
        }


def _with_variables(text: str) -> str:
    for name, variable in _PSEUDO.items():
        text = text.replace(name, variable)
    return text


def _value(name: str, value: str, *, namespace: str, metric: str, variables: dict[str, dict[str, Any]]) -> str:
    """Return the dimension's value; a variable, which is added, for one that a deployment makes."""
    if not _NAME.search(value):
        return value
    query = f"dimension_values(${REGION}, {namespace}, {metric}, {name})"
    variables.setdefault(
        name,
        {
            "name": name,
            "label": name,
            "type": "query",
            "datasource": _source(),
            "query": query,
            "refresh": 1,
            "sort": 1,
        },
    )
    return f"${name}"


def _source() -> dict[str, str]:
    return {"type": "cloudwatch", "uid": f"${{{DATA_SOURCE}}}"}


def _first_variables() -> list[dict[str, Any]]:
    return [
        {"name": DATA_SOURCE, "label": "Data source", "type": "datasource", "query": "cloudwatch"},
        {
            "name": REGION,
            "label": "Region",
            "type": "query",
            "datasource": _source(),
            "query": "regions()",
            "refresh": 1,
        },
        {"name": STACK, "label": "Stack", "type": "textbox", "query": "airflow-prd"},
    ]
