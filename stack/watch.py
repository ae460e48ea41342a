"""Alarms, each of which tells the topic when it begins and when it ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Template
from troposphere.cloudwatch import Alarm, MetricDimension
from troposphere.sns import Topic

PERIOD_S = 60


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Alarm when `statistic` of the metric is beyond the threshold for so many minutes; no data counts as `missing`."""

    says: str
    namespace: str
    metric: Any
    dimensions: Mapping[str, Any]
    statistic: str
    comparison: str
    threshold: Any
    minutes: Any
    missing: str = "missing"


def add_alarm(t: Template, title: str, *, watch: Watch, topic: Topic) -> Alarm:
    actions = [Ref(topic)]
    return t.add_resource(
        Alarm(
            title,
            AlarmActions=actions,
            AlarmDescription=f"{watch.says} See docs/runbook/{title}.md.",
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
