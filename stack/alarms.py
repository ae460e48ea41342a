"""Alarms on what would stop Airflow unnoticed."""

from dataclasses import dataclass
from typing import Any

from troposphere import Parameter, Ref, Sub, Template
from troposphere.cloudwatch import Alarm, Metric, MetricDataQuery, MetricDimension, MetricStat
from troposphere.sns import Topic

from stack.airflow import Airflow
from stack.balancer import Balancer
from stack.broker import Broker
from stack.cluster import Cluster
from stack.database import Database
from stack.declare import Between, add_parameter, hole
from stack.function import METRICS_NAMESPACE
from stack.functions import CLUSTER_DIMENSION, SECONDS_OUT_OF_SYNC, UNCONSUMED_QUEUES, Functions
from stack.topic import GROUP

PERIOD_S = 60
GIB = 1024**3
LEAST_DATABASE_STORAGE_BYTES = 2 * GIB
MOST_BROKER_MEMORY_PERCENT = 80


@dataclass(frozen=True, kw_only=True)
class _Watch:
    """Alarm when `statistic` of the metric is beyond the threshold for so many minutes; no data counts as `missing`."""

    namespace: str
    metric: str
    dimensions: dict[str, Any]
    statistic: str
    comparison: str
    threshold: int
    minutes: int
    missing: str


def add_alarms(
    t: Template,
    *,
    database: Database,
    broker: Broker,
    balancer: Balancer,
    cluster: Cluster,
    airflow: Airflow,
    functions: Functions,
    topic: Topic,
) -> None:
    skew = add_parameter(
        t,
        "MaxSkewMinutes",
        group=GROUP,
        label="Longest skew in minutes",
        description="Minutes for which some may run other code than the webserver, or be silent, before an alarm.",
        constraint=Between(low=5, high=1440),
        default=60,
    )
    watches = {
        "AlarmDatabaseStorageLow": _Watch(
            namespace="AWS/RDS",
            metric="FreeStorageSpace",
            dimensions={"DBInstanceIdentifier": Ref(database.instance)},
            statistic="Minimum",
            comparison="LessThanThreshold",
            threshold=LEAST_DATABASE_STORAGE_BYTES,
            minutes=5,
            missing="missing",
        ),
        "AlarmBrokerMemoryHigh": _Watch(
            namespace="AWS/ElastiCache",
            metric="DatabaseMemoryUsagePercentage",
            # The first node; the replicas hold the same data.
            dimensions={"CacheClusterId": Sub(f"{hole(broker.replication_group)}-001")},
            statistic="Maximum",
            comparison="GreaterThanThreshold",
            threshold=MOST_BROKER_MEMORY_PERCENT,
            minutes=5,
            missing="missing",
        ),
        "AlarmWebserverDown": _Watch(
            namespace="AWS/ApplicationELB",
            metric="HealthyHostCount",
            dimensions={
                "LoadBalancer": balancer.resource.get_att("LoadBalancerFullName"),
                "TargetGroup": airflow.site.target_group.get_att("TargetGroupFullName"),
            },
            statistic="Maximum",
            comparison="LessThanThreshold",
            threshold=1,
            minutes=5,
            missing="breaching",
        ),
        # An autoscaler that fails keeps the size: nothing else would show it while the backlog grows.
        "AlarmAutoscalerFails": _Watch(
            namespace="AWS/Lambda",
            metric="Errors",
            dimensions={"FunctionName": Ref(functions.autoscaler)},
            statistic="Sum",
            comparison="GreaterThanThreshold",
            threshold=0,
            minutes=3,
            missing="missing",
        ),
        # A task sent to a queue of no pool waits for ever. A pool that starts from zero needs a few minutes.
        "AlarmQueueUnconsumed": _Watch(
            namespace=METRICS_NAMESPACE,
            metric=UNCONSUMED_QUEUES,
            dimensions={CLUSTER_DIMENSION: Ref(cluster.ecs)},
            statistic="Minimum",
            comparison="GreaterThanThreshold",
            threshold=0,
            minutes=10,
            missing="missing",
        ),
    }
    for title, watch in watches.items():
        _add_alarm(t, title, watch=watch, topic=topic)
    _add_skew_alarm(t, minutes=skew, cluster=cluster, topic=topic)


def _add_skew_alarm(t: Template, *, minutes: Parameter, cluster: Cluster, topic: Topic) -> None:
    """CloudFormation cannot multiply: the metric is turned into the parameter's unit."""
    metric = Metric(
        Namespace=METRICS_NAMESPACE,
        MetricName=SECONDS_OUT_OF_SYNC,
        Dimensions=[MetricDimension(Name=CLUSTER_DIMENSION, Value=Ref(cluster.ecs))],
    )
    t.add_resource(
        Alarm(
            "AlarmVersionsSkewed",
            AlarmActions=[Ref(topic)],
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Metrics=[
                MetricDataQuery(
                    Id="seconds",
                    MetricStat=MetricStat(Metric=metric, Period=PERIOD_S, Stat="Minimum"),
                    ReturnData=False,
                ),
                MetricDataQuery(Id="minutes", Expression="seconds / 60", ReturnData=True),
            ],
            OKActions=[Ref(topic)],
            Threshold=Ref(minutes),
            TreatMissingData="missing",
        )
    )


def _add_alarm(t: Template, title: str, *, watch: _Watch, topic: Topic) -> None:
    t.add_resource(
        Alarm(
            title,
            AlarmActions=[Ref(topic)],
            ComparisonOperator=watch.comparison,
            Dimensions=[MetricDimension(Name=name, Value=value) for name, value in watch.dimensions.items()],
            EvaluationPeriods=watch.minutes,
            MetricName=watch.metric,
            Namespace=watch.namespace,
            OKActions=[Ref(topic)],
            Period=PERIOD_S,
            Statistic=watch.statistic,
            Threshold=watch.threshold,
            TreatMissingData=watch.missing,
        )
    )
