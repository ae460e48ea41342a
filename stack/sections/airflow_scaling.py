"""The number of copies of the service `airflow`: between two limits, by CPU load."""

from dataclasses import dataclass

from troposphere import Ref, Sub, Template
from troposphere.applicationautoscaling import (
    PredefinedMetricSpecification,
    ScalableTarget,
    ScalingPolicy,
    TargetTrackingScalingPolicyConfiguration,
)
from troposphere.ecs import Service

from stack.lib.parameters import FormGroup, OneOf, add_min_max_rule, placeholder
from stack.sections.cluster import Cluster

MAX_COPIES = 6
TARGET_CPU_PERCENT = 60
# Each copy has a scheduler and a webserver: it is added soon, and removed after the load has been low for a while.
SCALE_OUT_COOLDOWN_S = 120
SCALE_IN_COOLDOWN_S = 900


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


def scale_copies(t: Template, *, service: Service, cluster: Cluster, copies: Copies) -> None:
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
    t.add_resource(
        ScalingPolicy(
            "AirflowCopiesByLoad",
            PolicyName="processors",
            PolicyType="TargetTrackingScaling",
            ScalingTargetId=Ref(target),
            TargetTrackingScalingPolicyConfiguration=TargetTrackingScalingPolicyConfiguration(
                PredefinedMetricSpecification=PredefinedMetricSpecification(
                    PredefinedMetricType="ECSServiceAverageCPUUtilization"
                ),
                ScaleInCooldown=SCALE_IN_COOLDOWN_S,
                ScaleOutCooldown=SCALE_OUT_COOLDOWN_S,
                TargetValue=TARGET_CPU_PERCENT,
            ),
        )
    )
