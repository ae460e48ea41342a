"""Alarms that notify the topic when they begin and when they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, Template
from troposphere.cloudwatch import Alarm, MetricDimension
from troposphere.sns import Topic

MINUTE_S = 60
METRICS_NAMESPACE = "AirflowOnEcs"
# The functions' modules `report` define the same names. They cannot be imported here; tests compare the two.
CLUSTER_DIMENSION = "cluster"
POOL_DIMENSION = "pool"
UNCONSUMED_QUEUES = "UnconsumedQueues"
VERSIONS_IN_SYNC = "VersionsInSync"
SCHEDULERS = "Schedulers"
OLDEST_WAIT = "OldestWait"
DESIRED = "Desired"
ROLLOUT_GIVEN_UP = "RolloutGivenUp"
UNKNOWN_RECORDS = "Unknown"


@dataclass(frozen=True)
class Measure:
    """A statistic of a metric."""

    namespace: str
    dimensions: Mapping[str, Any]
    metric: Any
    statistic: str


@dataclass(frozen=True)
class Limit:
    """The values that begin an alarm, by CloudWatch's name of the comparison."""

    comparison: str
    threshold: Any


def above(threshold: Any) -> Limit:
    return Limit("GreaterThanThreshold", threshold)


def below(threshold: Any) -> Limit:
    return Limit("LessThanThreshold", threshold)


def at_least(threshold: Any) -> Limit:
    return Limit("GreaterThanOrEqualToThreshold", threshold)


@dataclass(frozen=True, kw_only=True)
class MetricAlarm:
    """Alarm when `measure` is beyond the limit in `periods` consecutive periods, or in `breaching` of them if given.

    `missing` says how CloudWatch treats missing data. `link`: where people see what it is about.
    """

    description: str
    measure: Measure
    limit: Limit
    periods: Any
    breaching: int | None = None
    period_s: int = MINUTE_S
    missing: str = "missing"
    link: Sub | None = None


def add_alarm(t: Template, title: str, *, alarm: MetricAlarm, topic: Topic) -> Alarm:
    actions, measure = [Ref(topic)], alarm.measure
    added = t.add_resource(
        Alarm(
            title,
            AlarmActions=actions,
            AlarmDescription=_description(title, alarm),
            ComparisonOperator=alarm.limit.comparison,
            Dimensions=[MetricDimension(Name=name, Value=value) for name, value in measure.dimensions.items()],
            EvaluationPeriods=alarm.periods,
            MetricName=measure.metric,
            Namespace=measure.namespace,
            OKActions=actions,
            Period=alarm.period_s,
            Statistic=measure.statistic,
            Threshold=alarm.limit.threshold,
            TreatMissingData=alarm.missing,
        )
    )
    if alarm.breaching is not None:
        added.DatapointsToAlarm = alarm.breaching
    return added


def _description(title: str, alarm: MetricAlarm) -> Any:
    page = f"See docs/runbook/{title}.md."
    if alarm.link is None:
        return f"{alarm.description} {page}"
    return Sub(f"{alarm.description} ${{Link}} {page}", Link=alarm.link)
