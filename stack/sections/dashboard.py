"""One page of graphs: what waits, who works, and how those that they stand on do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Output, Sub, Template
from troposphere.cloudwatch import Dashboard

from stack.lib.parameters import hole
from stack.sections.airflow import Airflow
from stack.sections.balancer import Balancer
from stack.sections.broker import Broker
from stack.sections.cluster import Cluster
from stack.sections.database import Database
from stack.sections.functions import CLUSTER_DIMENSION, POOL_DIMENSION, Functions
from stack.sections.pools import SizedPool
from stack.sections.workers import METRICS_NAMESPACE

PERIOD_S = 60
COLUMNS, WIDTH, HEIGHT = 3, 8, 6  # of CloudWatch's grid of 24


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """`lines` are (metric, statistic); all have the same namespace and dimensions, whose values may hold ${...}."""

    title: str
    namespace: str
    dimensions: Mapping[str, str]
    lines: Sequence[tuple[str, str]]


def add_dashboard(
    t: Template,
    *,
    database: Database,
    broker: Broker,
    balancer: Balancer,
    cluster: Cluster,
    airflow: Airflow,
    functions: Functions,
    pools: Sequence[SizedPool],
) -> None:
    fleet = {CLUSTER_DIMENSION: hole(cluster.ecs)}
    site = {
        "LoadBalancer": hole(balancer.resource, "LoadBalancerFullName"),
        "TargetGroup": hole(airflow.site.target_group, "TargetGroupFullName"),
    }
    service = {"ClusterName": hole(cluster.ecs), "ServiceName": hole(airflow.service, "Name")}
    graphs = [
        *(graph for sized in pools for graph in _of_pool(sized, fleet=fleet)),
        _fleet(fleet),
        _Graph(
            title="Webserver",
            namespace="AWS/ApplicationELB",
            dimensions=site,
            lines=[("RequestCount", "Sum"), ("HTTPCode_Target_5XX_Count", "Sum"), ("HealthyHostCount", "Minimum")],
        ),
        _Graph(
            title="Service airflow, percent",
            namespace="AWS/ECS",
            dimensions=service,
            lines=[("CPUUtilization", "Average"), ("MemoryUtilization", "Maximum")],
        ),
        _Graph(
            title="Database",
            namespace="AWS/RDS",
            dimensions={"DBInstanceIdentifier": hole(database.instance)},
            lines=[("CPUUtilization", "Average"), ("DatabaseConnections", "Maximum")],
        ),
        _Graph(
            title="Broker",
            namespace="AWS/ElastiCache",
            dimensions={"CacheClusterId": f"{hole(broker.replication_group)}-001"},
            lines=[("DatabaseMemoryUsagePercentage", "Maximum"), ("Evictions", "Sum"), ("CurrConnections", "Maximum")],
        ),
        _Graph(
            title="Autoscaler",
            namespace="AWS/Lambda",
            dimensions={"FunctionName": hole(functions.autoscaler)},
            lines=[("Invocations", "Sum"), ("Errors", "Sum"), ("Duration", "Maximum")],
        ),
    ]
    widgets = [_widget(graph, place=place) for place, graph in enumerate(graphs)]
    body = Sub(json.dumps({"widgets": widgets}, separators=(",", ":")))
    t.add_resource(Dashboard("Dashboard", DashboardName=Sub("${AWS::StackName}"), DashboardBody=body))
    url = "https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards:name=${Dashboard}"
    t.add_output(Output("DashboardUrl", Description="CloudWatch dashboard of this stack.", Value=Sub(url)))


def _of_pool(sized: SizedPool, *, fleet: Mapping[str, str]) -> Sequence[_Graph]:
    name = sized.pool.name
    of: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": {**fleet, POOL_DIMENSION: name}}
    return [
        _Graph(title=f"{name}: tasks", **of, lines=[("Queued", "Maximum"), ("Active", "Maximum")]),
        _Graph(
            title=f"{name}: workers",
            **of,
            lines=[("Desired", "Maximum"), ("Consuming", "Maximum"), ("Draining", "Maximum"), ("Pending", "Maximum")],
        ),
        _Graph(title=f"{name}: oldest wait in seconds", **of, lines=[("OldestWait", "Maximum")]),
    ]


def _fleet(fleet: Mapping[str, str]) -> _Graph:
    lines = [("Schedulers", "Minimum"), ("Phantoms", "Maximum"), ("UnconsumedQueues", "Maximum")]
    return _Graph(title="Fleet", namespace=METRICS_NAMESPACE, dimensions=fleet, lines=lines)


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
