"""Alarms on the web pages; a deployment that makes the webserver answer with errors is rolled back."""

from typing import Any

from troposphere import Template
from troposphere.cloudwatch import Alarm
from troposphere.sns import Topic

from stack.lib.alarms import MetricAlarm, add_alarm
from stack.lib.listeners import Balancer, WebTarget

NAMESPACE = "AWS/ApplicationELB"
MAX_ERRORS_PER_MINUTE = 10


def add_webserver_alarms(t: Template, *, topic: Topic, balancer: Balancer, target: WebTarget) -> list[Alarm]:
    """Add the alarms; return those that roll back a deployment of the webserver."""
    whole = {"LoadBalancer": balancer.resource.get_att("LoadBalancerFullName")}
    common: dict[str, Any] = {
        "namespace": NAMESPACE,
        "dimensions": {**whole, "TargetGroup": target.target_group.get_att("TargetGroupFullName")},
    }
    errors: dict[str, Any] = {
        "statistic": "Sum",
        "comparison": "GreaterThanThreshold",
        "threshold": MAX_ERRORS_PER_MINUTE,
        "periods": 3,
        "missing": "notBreaching",
    }
    add_alarm(
        t,
        "AlarmWebserverDown",
        topic=topic,
        alarm=MetricAlarm(
            description="No webserver is healthy: no page opens, and no task can start or end.",
            **common,
            metric="HealthyHostCount",
            statistic="Maximum",
            comparison="LessThanThreshold",
            threshold=1,
            periods=5,
            missing="breaching",
        ),
    )
    failing = add_alarm(
        t,
        "AlarmWebserverErrors",
        topic=topic,
        alarm=MetricAlarm(
            description="The webserver answers with errors.", **common, metric="HTTPCode_Target_5XX_Count", **errors
        ),
    )
    add_alarm(
        t,
        "AlarmBalancerErrors",
        topic=topic,
        alarm=MetricAlarm(
            description="The load balancer finds no target that answers.",
            namespace=NAMESPACE,
            dimensions=whole,
            metric="HTTPCode_ELB_5XX_Count",
            **errors,
        ),
    )
    return [failing]
