"""The CloudWatch dashboard: backlog and workers per pool, and the state of everything that they depend on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Output, Sub, Template
from troposphere.cloudwatch import Dashboard

from stack.lib.alarms import CLUSTER_DIMENSION, METRICS_NAMESPACE, POOL_DIMENSION
from stack.lib.listeners import Balancer
from stack.lib.parameters import placeholder
from stack.sections.airflow import Airflow
from stack.sections.foundation import Foundation
from stack.sections.functions import Functions
from stack.sections.pools import SizedPool

PERIOD_S = 60
COLUMNS, WIDTH, HEIGHT = 3, 8, 6  # of CloudWatch's grid of 24


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """`lines` are (metric, statistic); all share the namespace and the dimensions, whose values may hold ${...}."""

    title: str
    namespace: str
    dimensions: Mapping[str, str]
    lines: Sequence[tuple[str, str]]


def add_dashboard(
    t: Template,
    *,
    base: Foundation,
    balancer: Balancer,
    airflow: Airflow,
    functions: Functions,
    pools: Sequence[SizedPool],
) -> None:
    graphs = [
        *(graph for sized in pools for graph in _pool_graphs(sized, base=base)),
        _fleet_graph(base),
        *_airflow_graphs(airflow, base=base, balancer=balancer),
        *_foundation_graphs(base),
        _Graph(
            title="Autoscaler",
            namespace="AWS/Lambda",
            dimensions={"FunctionName": placeholder(functions.autoscaler)},
            lines=[("Invocations", "Sum"), ("Errors", "Sum"), ("Duration", "Maximum")],
        ),
    ]
    widgets = [_widget(graph, place=place) for place, graph in enumerate(graphs)]
    body = Sub(json.dumps({"widgets": widgets}, separators=(",", ":")))
    t.add_resource(Dashboard("Dashboard", DashboardName=Sub("${AWS::StackName}"), DashboardBody=body))
    url = "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards:name=${Dashboard}"
    t.add_output(Output("DashboardUrl", Description="CloudWatch dashboard of this stack.", Value=Sub(url)))


def _pool_graphs(sized: SizedPool, *, base: Foundation) -> Sequence[_Graph]:
    name = sized.pool.name
    dimensions = {CLUSTER_DIMENSION: placeholder(base.cluster.ecs), POOL_DIMENSION: name}
    common: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": dimensions}
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
        dimensions={CLUSTER_DIMENSION: placeholder(base.cluster.ecs)},
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


def _widget(graph: _Graph, *, place: int) -> dict[str, Any]:
    where = [part for pair in graph.dimensions.items() for part in pair]
    return {
        "type": "metric",
        "x": place % COLUMNS * WIDTH,
        "y": place // COLUMNS * HEIGHT,
        "width": WIDTH,
        "height": HEIGHT,
        "properties": {
            "title": graph.title,
            "region": "${AWS::Region}",
            "period": PERIOD_S,
            "metrics": [[graph.namespace, metric, *where, {"stat": statistic}] for metric, statistic in graph.lines],
        },
    }
