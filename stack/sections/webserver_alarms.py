"""Alarms on what people see in a browser; a deployment that sets one off is rolled back."""

from typing import Any

from troposphere import Template
from troposphere.cloudwatch import Alarm
from troposphere.sns import Topic

from stack.lib.alarms import Watch, add_alarm
from stack.lib.listeners import Balancer, Site

NAMESPACE = "AWS/ApplicationELB"
MOST_ERRORS_A_MINUTE = 10


def add_webserver_alarms(t: Template, *, topic: Topic, balancer: Balancer, site: Site) -> list[Alarm]:
    """The alarms that a deployment of the webserver must not set off."""
    whole = {"LoadBalancer": balancer.resource.get_att("LoadBalancerFullName")}
    of: dict[str, Any] = {
        "namespace": NAMESPACE,
        "dimensions": {**whole, "TargetGroup": site.target_group.get_att("TargetGroupFullName")},
    }
    errors: dict[str, Any] = {
        "statistic": "Sum",
        "comparison": "GreaterThanThreshold",
        "threshold": MOST_ERRORS_A_MINUTE,
        "periods": 3,
        "missing": "notBreaching",
    }
    add_alarm(
        t,
        "AlarmWebserverDown",
        topic=topic,
        watch=Watch(
            says="No webserver is healthy: no pages, and no task can start or end.",
            **of,
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
        watch=Watch(says="The webserver answers with errors.", **of, metric="HTTPCode_Target_5XX_Count", **errors),
    )
    add_alarm(
        t,
        "AlarmBalancerErrors",
        topic=topic,
        watch=Watch(
            says="The load balancer finds nobody to answer.",
            namespace=NAMESPACE,
            dimensions=whole,
            metric="HTTPCode_ELB_5XX_Count",
            **errors,
        ),
    )
    return [failing]
