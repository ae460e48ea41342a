"""The CloudWatch dashboard: whether the work is done, then the fleet, what everything depends on, and what it costs.

stack/grafana.py makes Grafana's dashboard of the same widgets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Output, Sub, Template
from troposphere.cloudwatch import Alarm, Dashboard

from fleet.work import (
    IMPORT_ERRORS,
    LATE_DAGS,
    PARSE_AGE,
    PARSE_TIME,
    RUN_FAILURES,
    RUN_SUCCESSES,
    SCHEDULING_DELAY,
    SILENT_COMPONENTS,
    TASK_FAILURES,
    TRIGGERER_LOAD,
)
from stack.lib.alarms import CLUSTER_DIMENSION, METRICS_NAMESPACE, POOL_DIMENSION
from stack.lib.listeners import Balancer
from stack.lib.parameters import placeholder
from stack.sections.airflow import Airflow
from stack.sections.foundation import Foundation
from stack.sections.functions import Functions
from stack.sections.pools import SizedPool

PERIOD_S = 60
DAY_S = 86_400
COLUMNS, WIDTH, HEIGHT = 3, 8, 6  # of CloudWatch's grid of 24
WHOLE_WIDTH, TITLE_HEIGHT, NUMBERS_HEIGHT, ALARMS_HEIGHT = 24, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """`lines` are (metric, statistic); all share the namespace and the dimensions, whose values may hold ${...}.

    `hours_a_day`: the lines show hours of a day, from the average of a count over it.
    """

    title: str
    namespace: str
    dimensions: Mapping[str, str]
    lines: Sequence[tuple[str, str]]
    hours_a_day: bool = False


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A heading with a sentence that says how to read the graphs below it."""

    title: str
    sentence: str
    graphs: Sequence[_Graph]


def add_dashboard(
    t: Template,
    *,
    base: Foundation,
    balancer: Balancer,
    airflow: Airflow,
    functions: Functions,
    pools: Sequence[SizedPool],
) -> None:
    """Add the dashboard, after all alarms: it shows the state of each."""
    rows = [
        _work_row(base),
        _Row(
            title="Fleet",
            sentence="Tasks that wait, and the workers for them.",
            graphs=[*(graph for sized in pools for graph in _pool_graphs(sized, base=base)), _fleet_graph(base)],
        ),
        _Row(
            title="Airflow and its data stores",
            sentence="What tasks and people reach Airflow through, and where it keeps its state.",
            graphs=[*_airflow_graphs(airflow, base=base, balancer=balancer), *_foundation_graphs(base)],
        ),
        _Row(
            title="Money",
            sentence="Hours of workers a day, which `make cost` prices, and the seconds that functions run.",
            graphs=[*(_hours_graph(sized, base=base) for sized in pools), _functions_graph(functions)],
        ),
    ]
    alarms = [each for each in t.resources.values() if isinstance(each, Alarm)]
    widgets = _laid_out(rows, numbers=_numbers(base), alarms=alarms)
    body = Sub(json.dumps({"widgets": widgets}, separators=(",", ":")))
    t.add_resource(Dashboard("Dashboard", DashboardName=Sub("${AWS::StackName}"), DashboardBody=body))
    url = "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards:name=${Dashboard}"
    t.add_output(Output("DashboardUrl", Description="CloudWatch dashboard of this stack.", Value=Sub(url)))


def _of_fleet(base: Foundation) -> dict[str, str]:
    return {CLUSTER_DIMENSION: placeholder(base.cluster.ecs)}


def _numbers(base: Foundation) -> _Graph:
    """Return the numbers at the top: with zeros in all but the first, the work is done."""
    return _Graph(
        title="The work: runs that succeeded lately, and what is wrong",
        namespace=METRICS_NAMESPACE,
        dimensions=_of_fleet(base),
        lines=[
            (RUN_SUCCESSES, "Maximum"),
            (RUN_FAILURES, "Maximum"),
            (LATE_DAGS, "Maximum"),
            (IMPORT_ERRORS, "Maximum"),
            (SILENT_COMPONENTS, "Maximum"),
        ],
    )


def _work_row(base: Foundation) -> _Row:
    common: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": _of_fleet(base)}
    return _Row(
        title="Work",
        sentence="Done: no failed run, no late DAG, no broken file, no silent component, and a delay of seconds.",
        graphs=[
            _Graph(
                title="Runs that ended lately", **common, lines=[(RUN_SUCCESSES, "Maximum"), (RUN_FAILURES, "Maximum")]
            ),
            _Graph(
                title="Failed tasks, late DAGs, broken files",
                **common,
                lines=[(TASK_FAILURES, "Maximum"), (LATE_DAGS, "Maximum"), (IMPORT_ERRORS, "Maximum")],
            ),
            _Graph(
                title="Delay of the scheduler, and parsing, in seconds",
                **common,
                lines=[(SCHEDULING_DELAY, "Maximum"), (PARSE_TIME, "Maximum"), (PARSE_AGE, "Maximum")],
            ),
            _Graph(title="Load of the triggerers, percent", **common, lines=[(TRIGGERER_LOAD, "Maximum")]),
        ],
    )


def _pool_graphs(sized: SizedPool, *, base: Foundation) -> Sequence[_Graph]:
    name = sized.pool.name
    common: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": {**_of_fleet(base), POOL_DIMENSION: name}}
    return [
        _Graph(title=f"{name}: tasks", **common, lines=[("Queued", "Maximum"), ("Active", "Maximum")]),
        _Graph(
            title=f"{name}: workers",
            **common,
            lines=[("Desired", "Maximum"), ("Consuming", "Maximum"), ("Draining", "Maximum"), ("Pending", "Maximum")],
        ),
        _Graph(title=f"{name}: oldest wait in seconds", **common, lines=[("OldestWait", "Maximum")]),
    ]


def _fleet_graph(base: Foundation) -> _Graph:
    return _Graph(
        title="Fleet",
        namespace=METRICS_NAMESPACE,
        dimensions=_of_fleet(base),
        lines=[("Schedulers", "Minimum"), ("Phantoms", "Maximum"), ("UnconsumedQueues", "Maximum")],
    )


def _airflow_graphs(airflow: Airflow, *, base: Foundation, balancer: Balancer) -> Sequence[_Graph]:
    return [
        _Graph(
            title="Webserver",
            namespace="AWS/ApplicationELB",
            dimensions={
                "LoadBalancer": placeholder(balancer.resource, "LoadBalancerFullName"),
                "TargetGroup": placeholder(airflow.target.target_group, "TargetGroupFullName"),
            },
            lines=[("RequestCount", "Sum"), ("HTTPCode_Target_5XX_Count", "Sum"), ("HealthyHostCount", "Minimum")],
        ),
        _Graph(
            title="Service airflow, percent",
            namespace="AWS/ECS",
            dimensions={
                "ClusterName": placeholder(base.cluster.ecs),
                "ServiceName": placeholder(airflow.service, "Name"),
            },
            lines=[("CPUUtilization", "Average"), ("MemoryUtilization", "Maximum")],
        ),
        _Graph(
            title="Execution API, wait in ms",
            namespace=METRICS_NAMESPACE,
            dimensions={},
            lines=[(airflow.latency.data["Fn::Sub"], "Average"), (airflow.latency.data["Fn::Sub"], "Maximum")],
        ),
    ]


def _foundation_graphs(base: Foundation) -> Sequence[_Graph]:
    return [
        _Graph(
            title="Database",
            namespace="AWS/RDS",
            dimensions={"DBInstanceIdentifier": placeholder(base.database.instance)},
            lines=[("CPUUtilization", "Average"), ("DatabaseConnections", "Maximum")],
        ),
        _Graph(
            title="Broker",
            namespace="AWS/ElastiCache",
            dimensions={"CacheClusterId": f"{placeholder(base.broker.replication_group)}-001"},
            lines=[("DatabaseMemoryUsagePercentage", "Maximum"), ("Evictions", "Sum"), ("CurrConnections", "Maximum")],
        ),
    ]


def _hours_graph(sized: SizedPool, *, base: Foundation) -> _Graph:
    return _Graph(
        title=f"{sized.pool.name}: worker-hours a day",
        namespace=METRICS_NAMESPACE,
        dimensions={**_of_fleet(base), POOL_DIMENSION: sized.pool.name},
        lines=[("Running", "Average")],
        hours_a_day=True,
    )


def _functions_graph(functions: Functions) -> _Graph:
    return _Graph(
        title="Autoscaler",
        namespace="AWS/Lambda",
        dimensions={"FunctionName": placeholder(functions.autoscaler)},
        lines=[("Invocations", "Sum"), ("Errors", "Sum"), ("Duration", "Maximum")],
    )


def _laid_out(rows: Sequence[_Row], *, numbers: _Graph, alarms: Sequence[Alarm]) -> list[dict[str, Any]]:
    """Return the widgets from top to bottom: the numbers, the alarms, then each row with its heading."""
    widgets = [
        _widget(numbers, x=0, y=0, width=WHOLE_WIDTH, height=NUMBERS_HEIGHT, view="singleValue"),
        {
            "type": "alarm",
            **_place(x=0, y=NUMBERS_HEIGHT, width=WHOLE_WIDTH, height=ALARMS_HEIGHT),
            "properties": {"title": "Alarms", "alarms": [f"${{{alarm.title}.Arn}}" for alarm in alarms]},
        },
    ]
    y = NUMBERS_HEIGHT + ALARMS_HEIGHT
    for row in rows:
        heading = {"markdown": f"## {row.title}\n{row.sentence}"}
        widgets.append(
            {"type": "text", **_place(x=0, y=y, width=WHOLE_WIDTH, height=TITLE_HEIGHT), "properties": heading}
        )
        y += TITLE_HEIGHT
        for number, graph in enumerate(row.graphs):
            below = y + number // COLUMNS * HEIGHT
            widgets.append(_widget(graph, x=number % COLUMNS * WIDTH, y=below, width=WIDTH, height=HEIGHT))
        y += -(-len(row.graphs) // COLUMNS) * HEIGHT
    return widgets


def _place(*, x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "width": width, "height": height}


def _widget(graph: _Graph, *, x: int, y: int, width: int, height: int, view: str = "timeSeries") -> dict[str, Any]:
    where = [part for pair in graph.dimensions.items() for part in pair]
    metrics: list[Any] = [[graph.namespace, metric, *where, {"stat": statistic}] for metric, statistic in graph.lines]
    if graph.hours_a_day:
        for number, line in enumerate(metrics, start=1):
            line[-1] |= {"id": f"m{number}", "visible": False}
        metrics += [
            [{"expression": f"m{number} * 24", "label": graph.title, "id": f"e{number}"}]
            for number in range(1, len(metrics) + 1)
        ]
    return {
        "type": "metric",
        **_place(x=x, y=y, width=width, height=height),
        "properties": {
            "title": graph.title,
            "region": "${AWS::Region}",
            "period": DAY_S if graph.hours_a_day else PERIOD_S,
            "view": view,
            "metrics": metrics,
        },
    }
