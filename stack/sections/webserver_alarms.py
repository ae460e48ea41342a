"""Alarms on the web pages; a deployment that makes the webserver answer with errors is rolled back."""

from typing import Any

from troposphere import Template
from troposphere.cloudwatch import Alarm
from troposphere.sns import Topic

from stack.lib.alarms import Measure, MetricAlarm, above, add_alarm, below
from stack.lib.listeners import Balancer, WebTarget

NAMESPACE = "AWS/ApplicationELB"
MAX_ERRORS_PER_MINUTE = 10


def add_webserver_alarms(t: Template, *, topic: Topic, balancer: Balancer, target: WebTarget) -> list[Alarm]:
    """Add the alarms; return those that roll back a deployment of the webserver."""
    whole = {"LoadBalancer": balancer.resource.get_att("LoadBalancerFullName")}
    of_webserver = {**whole, "TargetGroup": target.target_group.get_att("TargetGroupFullName")}
    for_errors: dict[str, Any] = {"limit": above(MAX_ERRORS_PER_MINUTE), "periods": 3, "missing": "notBreaching"}
    add_alarm(
        t,
        "AlarmWebserverDown",
        topic=topic,
        alarm=MetricAlarm(
            description="No webserver is healthy: no page opens, and no task can start or end.",
            measure=Measure(NAMESPACE, of_webserver, "HealthyHostCount", "Maximum"),
            limit=below(1),
            periods=5,
            missing="breaching",
        ),
    )
    failing = add_alarm(
        t,
        "AlarmWebserverErrors",
        topic=topic,
        alarm=MetricAlarm(
            description="The webserver answers with errors.",
            measure=Measure(NAMESPACE, of_webserver, "HTTPCode_Target_5XX_Count", "Sum"),
            **for_errors,
        ),
    )
    add_alarm(
        t,
        "AlarmBalancerErrors",
        topic=topic,
        alarm=MetricAlarm(
            description="The load balancer itself answers with errors: no webserver answers it, or the sign-in fails.",
            measure=Measure(NAMESPACE, whole, "HTTPCode_ELB_5XX_Count", "Sum"),
            **for_errors,
        ),
    )
    return [failing]
