"""Alarms on what would stop Airflow unnoticed, sent to a topic if one is given."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, NoValue, Ref, Sub, Template
from troposphere.cloudwatch import Alarm, MetricDimension

from stack.airflow import Airflow
from stack.balancer import Balancer
from stack.broker import Broker
from stack.cluster import Cluster
from stack.database import Database
from stack.declare import Matching, add_condition, add_parameter, hole
from stack.functions import CLUSTER_DIMENSION, METRICS_NAMESPACE, UNCONSUMED_QUEUES, Functions

GROUP = "Alarms"
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
) -> None:
    topic = add_parameter(
        t,
        "AlarmTopicArn",
        group=GROUP,
        label="Topic for alarms",
        description="ARN of an SNS topic that is told of alarms; leave empty to see them in CloudWatch only.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$", says="the ARN of an SNS topic, or empty"
        ),
        default="",
    )
    has_topic = add_condition(t, "HasAlarmTopic", Not(Equals(Ref(topic), "")))
    actions = If(has_topic, [Ref(topic)], NoValue)
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
        _add_alarm(t, title, watch=watch, actions=actions)


def _add_alarm(t: Template, title: str, *, watch: _Watch, actions: If) -> None:
    t.add_resource(
        Alarm(
            title,
            AlarmActions=actions,
            ComparisonOperator=watch.comparison,
            Dimensions=[MetricDimension(Name=name, Value=value) for name, value in watch.dimensions.items()],
            EvaluationPeriods=watch.minutes,
            MetricName=watch.metric,
            Namespace=watch.namespace,
            OKActions=actions,
            Period=PERIOD_S,
            Statistic=watch.statistic,
            Threshold=watch.threshold,
            TreatMissingData=watch.missing,
        )
    )
