"""Alarms on what would stop Airflow, or cost money, unnoticed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, Template

from stack.lib.alarms import (
    CLUSTER_DIMENSION,
    DESIRED,
    METRICS_NAMESPACE,
    OLDEST_WAIT,
    POOL_DIMENSION,
    SCHEDULERS,
    UNCONSUMED_QUEUES,
    VERSIONS_IN_SYNC,
    Watch,
    add_alarm,
)
from stack.lib.parameters import Between, add_parameter, hole
from stack.sections.broker import Broker
from stack.sections.cluster import Cluster
from stack.sections.database import Database
from stack.sections.foundation import Foundation
from stack.sections.functions import Functions
from stack.sections.pools import SizedPool
from stack.sections.topic import GROUP
from stack.sections.workers import Workers

GIB = 1024**3
LEAST_DATABASE_STORAGE_BYTES = 2 * GIB
MOST_DATABASE_CPU_PERCENT = 85
MOST_BROKER_MEMORY_PERCENT = 80
MOST_REFUSALS = 5
REFUSALS_PERIOD_S = 900
ABOVE, BELOW, AT_LEAST = "GreaterThanThreshold", "LessThanThreshold", "GreaterThanOrEqualToThreshold"


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """What an environment says of its alarms."""

    connections: Ref
    wait_s: Ref
    minutes_at_max: Ref
    minutes_skewed: Ref


def add_alarms(
    t: Template, *, base: Foundation, functions: Functions, workers: Workers, pools: Sequence[SizedPool]
) -> None:
    limits = _limits(t)
    watches = {
        **_of_database(base.database, limits=limits),
        **_of_broker(base.broker),
        **_of_functions(functions),
        **_of_fleet(base.cluster, limits=limits),
    }
    for sized in pools:
        watches |= _of_pool(sized, cluster=base.cluster, limits=limits, refused=workers.refused[sized.pool.name])
    for title, watch in watches.items():
        add_alarm(t, title, watch=watch, topic=base.topic)


def _limits(t: Template) -> _Limits:
    connections = add_parameter(
        t,
        "DatabaseConnectionsAlarm",
        group=GROUP,
        label="Most database connections",
        description="Connections to the database above which there is an alarm; a server takes 112 a GiB of memory.",
        constraint=Between(low=10, high=10000),
        default=150,
    )
    wait = add_parameter(
        t,
        "OldestWaitAlarmSeconds",
        group=GROUP,
        label="Longest wait in seconds",
        description="Seconds that a task may wait in a queue before there is an alarm; Airflow gives it up after 600.",
        constraint=Between(low=30, high=600),
        default=300,
    )
    minutes = add_parameter(
        t,
        "AtMaxAlarmMinutes",
        group=GROUP,
        label="Minutes at the most workers",
        description="Minutes that a pool may have all the workers it may have before there is an alarm.",
        constraint=Between(low=1, high=1440),
        default=30,
    )
    skew = add_parameter(
        t,
        "MaxSkewMinutes",
        group=GROUP,
        label="Longest skew in minutes",
        description="Minutes for which some may run other code than the webserver, or be silent, before an alarm.",
        constraint=Between(low=5, high=1440),
        default=60,
    )
    return _Limits(
        connections=Ref(connections), wait_s=Ref(wait), minutes_at_max=Ref(minutes), minutes_skewed=Ref(skew)
    )


def _of_database(database: Database, *, limits: _Limits) -> Mapping[str, Watch]:
    of: dict[str, Any] = {"namespace": "AWS/RDS", "dimensions": {"DBInstanceIdentifier": Ref(database.instance)}}
    return {
        "AlarmDatabaseStorageLow": Watch(
            says="The database's disk is nearly full; a full one stops Airflow.",
            **of,
            metric="FreeStorageSpace",
            statistic="Minimum",
            comparison=BELOW,
            threshold=LEAST_DATABASE_STORAGE_BYTES,
            periods=5,
        ),
        "AlarmDatabaseCpuHigh": Watch(
            says="The database's processors are busy.",
            **of,
            metric="CPUUtilization",
            statistic="Average",
            comparison=ABOVE,
            threshold=MOST_DATABASE_CPU_PERCENT,
            periods=15,
        ),
        "AlarmDatabaseConnectionsHigh": Watch(
            says="The database has nearly as many connections as it takes.",
            **of,
            metric="DatabaseConnections",
            statistic="Maximum",
            comparison=ABOVE,
            threshold=limits.connections,
            periods=5,
        ),
    }


def _of_broker(broker: Broker) -> Mapping[str, Watch]:
    # The first node; the replicas hold the same data.
    node = {"CacheClusterId": Sub(f"{hole(broker.replication_group)}-001")}
    of: dict[str, Any] = {"namespace": "AWS/ElastiCache", "dimensions": node, "comparison": ABOVE}
    return {
        "AlarmBrokerMemoryHigh": Watch(
            says="Celery's broker is nearly full; a full one refuses tasks.",
            **of,
            metric="DatabaseMemoryUsagePercentage",
            statistic="Maximum",
            threshold=MOST_BROKER_MEMORY_PERCENT,
            periods=5,
        ),
        "AlarmBrokerEvictions": Watch(
            says="Celery's broker has thrown messages away, which it is configured never to do.",
            **of,
            metric="Evictions",
            statistic="Sum",
            threshold=0,
            periods=1,
        ),
    }


def _of_functions(functions: Functions) -> Mapping[str, Watch]:
    of: dict[str, Any] = {"namespace": "AWS/Lambda", "statistic": "Sum"}
    autoscaler = {"FunctionName": Ref(functions.autoscaler)}
    return {
        # An autoscaler that fails keeps the size: nothing else would show it while the backlog grows.
        "AlarmAutoscalerFails": Watch(
            says="The autoscaler ends with an error each minute.",
            **of,
            metric="Errors",
            dimensions=autoscaler,
            comparison=ABOVE,
            threshold=0,
            periods=3,
        ),
        "AlarmAutoscalerSilent": Watch(
            says="Nobody starts the autoscaler.",
            **of,
            metric="Invocations",
            dimensions=autoscaler,
            comparison=BELOW,
            threshold=1,
            periods=5,
            missing="breaching",
        ),
        "AlarmVersionCheckFails": Watch(
            says="The version check ends with an error each minute.",
            **of,
            metric="Errors",
            dimensions={"FunctionName": Ref(functions.version_check)},
            comparison=ABOVE,
            threshold=0,
            periods=3,
        ),
    }


def _of_fleet(cluster: Cluster, *, limits: _Limits) -> Mapping[str, Watch]:
    of: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": {CLUSTER_DIMENSION: Ref(cluster.ecs)}}
    return {
        # A task sent to a queue of no pool waits for ever. A pool that starts from zero needs a few minutes.
        "AlarmQueueUnconsumed": Watch(
            says="Messages wait in a queue that no worker listens to.",
            **of,
            metric=UNCONSUMED_QUEUES,
            statistic="Minimum",
            comparison=ABOVE,
            threshold=0,
            periods=10,
        ),
        "AlarmVersionsSkewed": Watch(
            says="For long not all containers have been known to run the webserver's code.",
            **of,
            metric=VERSIONS_IN_SYNC,
            statistic="Maximum",
            comparison=BELOW,
            threshold=1,
            periods=limits.minutes_skewed,
        ),
        "AlarmSchedulerSilent": Watch(
            says="No scheduler reports that it lives.",
            **of,
            metric=SCHEDULERS,
            statistic="Maximum",
            comparison=BELOW,
            threshold=1,
            periods=5,
            missing="breaching",
        ),
    }


def _of_pool(sized: SizedPool, *, cluster: Cluster, limits: _Limits, refused: Any) -> Mapping[str, Watch]:
    pool = sized.pool
    dimensions = {CLUSTER_DIMENSION: Ref(cluster.ecs), POOL_DIMENSION: pool.name}
    of: dict[str, Any] = {"namespace": METRICS_NAMESPACE, "dimensions": dimensions}
    return {
        f"Alarm{pool.title}WaitLong": Watch(
            says=f"A task has waited long for a worker of the pool {pool.name}.",
            **of,
            metric=OLDEST_WAIT,
            statistic="Maximum",
            comparison=ABOVE,
            threshold=limits.wait_s,
            periods=3,
        ),
        f"Alarm{pool.title}AtMax": Watch(
            says=f"The pool {pool.name} has had all the workers it may have for long.",
            **of,
            metric=DESIRED,
            statistic="Minimum",
            comparison=AT_LEAST,
            threshold=Ref(sized.max),
            periods=limits.minutes_at_max,
        ),
        f"Alarm{pool.title}Unprotected": Watch(
            says=f"ECS refuses to protect workers of the pool {pool.name} from scale-in; they take no tasks without.",
            namespace=METRICS_NAMESPACE,
            metric=refused,
            dimensions={},
            statistic="Sum",
            comparison=ABOVE,
            # The agent logs the first of a row of refusals; a few belong to every deployment.
            threshold=MOST_REFUSALS,
            periods=1,
            period_s=REFUSALS_PERIOD_S,
            missing="notBreaching",
        ),
    }
