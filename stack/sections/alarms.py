"""Alarms on faults that would otherwise stop Airflow, or cost money, unnoticed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from troposphere import Ref, Sub, Template

from stack.lib.alarms import (
    CLUSTER_DIMENSION,
    DESIRED,
    METRICS_NAMESPACE,
    OLDEST_WAIT,
    POOL_DIMENSION,
    ROLLOUT_GIVEN_UP,
    SCHEDULERS,
    UNCONSUMED_QUEUES,
    UNKNOWN_RECORDS,
    VERSIONS_IN_SYNC,
    Measure,
    MetricAlarm,
    above,
    add_alarm,
    at_least,
    below,
)
from stack.lib.parameters import Between, FormGroup, placeholder
from stack.sections.broker import Broker
from stack.sections.cluster import Cluster
from stack.sections.database import Database
from stack.sections.foundation import Foundation
from stack.sections.functions import Functions
from stack.sections.pools import SizedPool
from stack.sections.topic import GROUP
from stack.sections.workers import Workers

GIB = 1024**3
MIN_DATABASE_STORAGE_BYTES = 2 * GIB
MAX_DATABASE_CPU_PERCENT = 85
MAX_BROKER_MEMORY_PERCENT = 80
FAILING_MINUTES = 3
MAX_REFUSALS = 5
# A worker that ends without having drained leaves its record for half a minute: in one minute, or in two. One such end,
# a Spot interruption say, is no alarm; one after the other is.
LOST_WITHIN_MINUTES = 30
MOST_MINUTES_LOST = 4
REFUSALS_PERIOD_S = 900


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """The alarm limits that an environment sets."""

    connections: Ref
    wait_s: Ref
    minutes_at_max: Ref
    minutes_skewed: Ref


def add_alarms(
    t: Template, *, base: Foundation, functions: Functions, workers: Workers, pools: Sequence[SizedPool]
) -> None:
    limits = _add_limits(t)
    alarms = {
        **_database_alarms(base.database, limits=limits),
        **_broker_alarms(base.broker),
        **_function_alarms(functions),
        **_fleet_alarms(base.cluster, limits=limits),
    }
    for sized in pools:
        alarms |= _pool_alarms(sized, cluster=base.cluster, limits=limits, refused=workers.refused[sized.pool.name])
    for title, alarm in alarms.items():
        add_alarm(t, title, alarm=alarm, topic=base.topic)


def _add_limits(t: Template) -> _Limits:
    form = FormGroup(t, GROUP)
    connections = form.add(
        "DatabaseConnectionsAlarm",
        label="Maximum database connections",
        description="Connections to the database above which an alarm begins; a server accepts 112 per GiB of memory.",
        constraint=Between(low=10, high=10000),
        default=150,
    )
    wait = form.add(
        "OldestWaitAlarmSeconds",
        label="Maximum wait in seconds",
        description="Seconds that a task may wait in a queue before an alarm begins; Airflow itself waits up to 600.",
        constraint=Between(low=30, high=600),
        default=300,
    )
    minutes = form.add(
        "AtMaxAlarmMinutes",
        label="Minutes at maximum workers",
        description="Minutes that a pool may have its maximum of workers before an alarm begins.",
        constraint=Between(low=1, high=1440),
        default=30,
    )
    skew = form.add(
        "MaxSkewMinutes",
        label="Maximum version skew in minutes",
        description="Minutes before an alarm when containers run other code than the webserver, or do not report.",
        constraint=Between(low=5, high=1440),
        default=60,
    )
    return _Limits(
        connections=Ref(connections), wait_s=Ref(wait), minutes_at_max=Ref(minutes), minutes_skewed=Ref(skew)
    )


def _database_alarms(database: Database, *, limits: _Limits) -> Mapping[str, MetricAlarm]:
    of_database = partial(Measure, "AWS/RDS", {"DBInstanceIdentifier": Ref(database.instance)})
    return {
        "AlarmDatabaseStorageLow": MetricAlarm(
            description="The database's disk is nearly full; a full disk stops Airflow.",
            measure=of_database("FreeStorageSpace", "Minimum"),
            limit=below(MIN_DATABASE_STORAGE_BYTES),
            periods=5,
        ),
        "AlarmDatabaseCpuHigh": MetricAlarm(
            description=f"The database's CPU load stays above {MAX_DATABASE_CPU_PERCENT} %.",
            measure=of_database("CPUUtilization", "Average"),
            limit=above(MAX_DATABASE_CPU_PERCENT),
            periods=15,
        ),
        "AlarmDatabaseConnectionsHigh": MetricAlarm(
            description="The database's connections exceed DatabaseConnectionsAlarm; at its limit it refuses more.",
            measure=of_database("DatabaseConnections", "Maximum"),
            limit=above(limits.connections),
            periods=5,
        ),
    }


def _broker_alarms(broker: Broker) -> Mapping[str, MetricAlarm]:
    # The first node; the replicas hold the same data.
    node = {"CacheClusterId": Sub(f"{placeholder(broker.replication_group)}-001")}
    of_broker = partial(Measure, "AWS/ElastiCache", node)
    return {
        "AlarmBrokerMemoryHigh": MetricAlarm(
            description="Celery's broker is nearly full; a full broker refuses tasks.",
            measure=of_broker("DatabaseMemoryUsagePercentage", "Maximum"),
            limit=above(MAX_BROKER_MEMORY_PERCENT),
            periods=5,
        ),
        "AlarmBrokerEvictions": MetricAlarm(
            description="Celery's broker has evicted messages, although it is configured never to do so.",
            measure=of_broker("Evictions", "Sum"),
            limit=above(0),
            periods=1,
        ),
    }


def _function_alarms(functions: Functions) -> Mapping[str, MetricAlarm]:
    of_autoscaler = partial(Measure, "AWS/Lambda", {"FunctionName": Ref(functions.autoscaler)})
    of_version_check = partial(Measure, "AWS/Lambda", {"FunctionName": Ref(functions.version_check)})
    return {
        # A failing autoscaler keeps the desired counts: the backlog would grow, and nothing else would show why.
        "AlarmAutoscalerFails": MetricAlarm(
            description=f"The autoscaler fails {FAILING_MINUTES} minutes in a row.",
            measure=of_autoscaler("Errors", "Sum"),
            limit=above(0),
            periods=FAILING_MINUTES,
        ),
        "AlarmAutoscalerSilent": MetricAlarm(
            description="The autoscaler is not invoked.",
            measure=of_autoscaler("Invocations", "Sum"),
            limit=below(1),
            periods=5,
            missing="breaching",
        ),
        "AlarmVersionCheckFails": MetricAlarm(
            description=f"The version check fails {FAILING_MINUTES} minutes in a row.",
            measure=of_version_check("Errors", "Sum"),
            limit=above(0),
            periods=FAILING_MINUTES,
        ),
    }


def _fleet_alarms(cluster: Cluster, *, limits: _Limits) -> Mapping[str, MetricAlarm]:
    of_fleet = partial(Measure, METRICS_NAMESPACE, {CLUSTER_DIMENSION: Ref(cluster.ecs)})
    return {
        # A task in a queue of no pool waits without a limit. A pool that starts from zero needs a few minutes.
        "AlarmQueueUnconsumed": MetricAlarm(
            description="Messages wait in a queue that no worker consumes.",
            measure=of_fleet(UNCONSUMED_QUEUES, "Minimum"),
            limit=above(0),
            periods=10,
        ),
        "AlarmVersionsSkewed": MetricAlarm(
            description="Some containers have run other code than the webserver, or have not reported, for too long.",
            measure=of_fleet(VERSIONS_IN_SYNC, "Maximum"),
            limit=below(1),
            periods=limits.minutes_skewed,
        ),
        "AlarmSchedulerSilent": MetricAlarm(
            description="No scheduler reports that it is alive.",
            measure=of_fleet(SCHEDULERS, "Maximum"),
            limit=below(1),
            periods=5,
            missing="breaching",
        ),
    }


def _pool_alarms(sized: SizedPool, *, cluster: Cluster, limits: _Limits, refused: Any) -> Mapping[str, MetricAlarm]:
    pool = sized.pool
    of_pool = partial(Measure, METRICS_NAMESPACE, {CLUSTER_DIMENSION: Ref(cluster.ecs), POOL_DIMENSION: pool.name})
    return {
        f"Alarm{pool.title}WaitLong": MetricAlarm(
            description=f"A task has waited too long for a worker of the pool {pool.name}.",
            measure=of_pool(OLDEST_WAIT, "Maximum"),
            limit=above(limits.wait_s),
            periods=3,
        ),
        f"Alarm{pool.title}RolloutGivenUp": MetricAlarm(
            description=f"New workers of the pool {pool.name} did not work; "
            "it has gone back to the version before, if it could.",
            measure=of_pool(ROLLOUT_GIVEN_UP, "Maximum"),
            limit=above(0),
            periods=1,
        ),
        f"Alarm{pool.title}Lost": MetricAlarm(
            description=f"Workers of the pool {pool.name} end again and again without having drained.",
            measure=of_pool(UNKNOWN_RECORDS, "Maximum"),
            limit=above(0),
            periods=LOST_WITHIN_MINUTES,
            breaching=MOST_MINUTES_LOST + 1,
        ),
        f"Alarm{pool.title}AtMax": MetricAlarm(
            description=f"The pool {pool.name} has had its maximum of workers for too long.",
            measure=of_pool(DESIRED, "Minimum"),
            limit=at_least(Ref(sized.max)),
            periods=limits.minutes_at_max,
        ),
        f"Alarm{pool.title}Unprotected": MetricAlarm(
            description=f"ECS refuses scale-in protection to workers of the pool {pool.name}; without it they take no "
            "tasks.",
            measure=Measure(METRICS_NAMESPACE, {}, refused, "Sum"),
            # The agent logs only the first refusal in a row; every deployment has a few.
            limit=above(MAX_REFUSALS),
            periods=1,
            period_s=REFUSALS_PERIOD_S,
            missing="notBreaching",
        ),
    }
