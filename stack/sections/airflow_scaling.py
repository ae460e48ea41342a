"""The number of copies of the service `airflow`: between two limits, by CPU load and by what workers wait for."""

from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, Template
from troposphere.applicationautoscaling import (
    CustomizedMetricSpecification,
    PredefinedMetricSpecification,
    ScalableTarget,
    ScalingPolicy,
    TargetTrackingScalingPolicyConfiguration,
)
from troposphere.cloudwatch import Alarm
from troposphere.ecs import Service
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation
from troposphere.sns import Topic

from stack.lib.alarms import METRICS_NAMESPACE, Measure, MetricAlarm, above, add_alarm
from stack.lib.parameters import FormGroup, OneOf, add_min_max_rule, placeholder
from stack.sections.cluster import Cluster

MAX_COPIES = 6
TARGET_CPU_PERCENT = 60
# Each copy has a scheduler and a webserver: it is added soon, and removed after the load has been low for a while.
SCALE_OUT_COOLDOWN_S = 120
SCALE_IN_COOLDOWN_S = 900
# agent.web.latency writes it each minute. It cannot be imported here; a test compares.
LATENCY_FIELD = "execution_api_ms"
# Workers wait so long when the webserver's processes are all busy; with spare time they wait a tenth of it.
TARGET_LATENCY_MS = 250
# A worker gives up a request after 5 s, and asks again later.
SLOW_MS = 2000


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The parameters that limit the number of copies."""

    minimum: Ref
    maximum: Ref


def add_copies(form: FormGroup) -> Copies:
    counts = tuple(str(n) for n in range(1, MAX_COPIES + 1))
    minimum = form.add(
        "AirflowMin",
        label="Minimum copies",
        description="ECS tasks of the service airflow that always run; with two or more, one may be lost.",
        constraint=OneOf(values=counts),
        default="1",
    )
    maximum = form.add(
        "AirflowMax",
        label="Maximum copies",
        description="ECS tasks of the service airflow that may run at once when the CPU load is high.",
        constraint=OneOf(values=counts),
        default="2",
    )
    add_min_max_rule(form.template, "Airflow", low=minimum, high=maximum, exact_to=MAX_COPIES)
    return Copies(minimum=Ref(minimum), maximum=Ref(maximum))


def scale_copies(t: Template, *, service: Service, cluster: Cluster, copies: Copies, latency: Sub) -> None:
    """Add a copy when the processors are busy, or when workers wait for the Execution API (`latency`: the metric).

    Of several policies the one that wants most copies wins, and a copy is removed only when all agree.
    """
    target = t.add_resource(
        ScalableTarget(
            "AirflowCopies",
            MaxCapacity=copies.maximum,
            MinCapacity=copies.minimum,
            ResourceId=Sub(f"service/{placeholder(cluster.ecs)}/{placeholder(service, 'Name')}"),
            ScalableDimension="ecs:service:DesiredCount",
            ServiceNamespace="ecs",
        )
    )
    processors = PredefinedMetricSpecification(PredefinedMetricType="ECSServiceAverageCPUUtilization")
    _add_policy(
        t,
        "AirflowCopiesByLoad",
        target=target,
        name="processors",
        measure={"PredefinedMetricSpecification": processors},
        value=TARGET_CPU_PERCENT,
    )
    # Not the load balancer's latency: workers reach the webservers by their name in Cloud Map.
    waits = CustomizedMetricSpecification(MetricName=latency, Namespace=METRICS_NAMESPACE, Statistic="Average")
    _add_policy(
        t,
        "AirflowCopiesByLatency",
        target=target,
        name="execution-api",
        measure={"CustomizedMetricSpecification": waits},
        value=TARGET_LATENCY_MS,
    )


def _add_policy(
    t: Template, title: str, *, target: ScalableTarget, name: str, measure: dict[str, Any], value: int
) -> None:
    t.add_resource(
        ScalingPolicy(
            title,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            ScalingTargetId=Ref(target),
            TargetTrackingScalingPolicyConfiguration=TargetTrackingScalingPolicyConfiguration(
                **measure,
                ScaleInCooldown=SCALE_IN_COOLDOWN_S,
                ScaleOutCooldown=SCALE_OUT_COOLDOWN_S,
                TargetValue=value,
            ),
        )
    )


def add_latency(t: Template, *, log_group: LogGroup) -> Sub:
    """Make a metric of what the webservers log about the Execution API; return its name, which holds the stack's."""
    name = Sub("ExecutionApiMs-${AWS::StackName}")
    t.add_resource(
        MetricFilter(
            "ExecutionApiLatency",
            FilterPattern=f"{{ $.{LATENCY_FIELD} = * }}",
            LogGroupName=Ref(log_group),
            MetricTransformations=[
                MetricTransformation(
                    MetricName=name, MetricNamespace=METRICS_NAMESPACE, MetricValue=f"$.{LATENCY_FIELD}"
                )
            ],
        )
    )
    return name


def add_latency_alarm(t: Template, *, topic: Topic, latency: Sub) -> Alarm:
    return add_alarm(
        t,
        "AlarmExecutionApiSlow",
        topic=topic,
        alarm=MetricAlarm(
            description="Workers wait for the webserver: tasks start late, and heartbeats may be lost.",
            measure=Measure(METRICS_NAMESPACE, {}, latency, "Average"),
            limit=above(SLOW_MS),
            periods=5,
            missing="notBreaching",
        ),
    )
