"""Alarms that notify the topic when they begin and when they end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Template
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


@dataclass(frozen=True, kw_only=True)
class MetricAlarm:
    """Alarm when `statistic` is beyond the threshold in `periods` consecutive periods.

    `missing` says how CloudWatch treats missing data.
    """

    description: str
    namespace: str
    metric: Any
    dimensions: Mapping[str, Any]
    statistic: str
    comparison: str
    threshold: Any
    periods: Any
    period_s: int = MINUTE_S
    missing: str = "missing"


def add_alarm(t: Template, title: str, *, alarm: MetricAlarm, topic: Topic) -> Alarm:
    actions = [Ref(topic)]
    return t.add_resource(
        Alarm(
            title,
            AlarmActions=actions,
            AlarmDescription=f"{alarm.description} See docs/runbook/{title}.md.",
            ComparisonOperator=alarm.comparison,
            Dimensions=[MetricDimension(Name=name, Value=value) for name, value in alarm.dimensions.items()],
            EvaluationPeriods=alarm.periods,
            MetricName=alarm.metric,
            Namespace=alarm.namespace,
            OKActions=actions,
            Period=alarm.period_s,
            Statistic=alarm.statistic,
            Threshold=alarm.threshold,
            TreatMissingData=alarm.missing,
        )
    )
