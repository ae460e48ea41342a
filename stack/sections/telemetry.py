"""Airflow's metrics, traces and lineage: how many, and where to. Nothing of it needs a collector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import (
    And,
    Condition,
    Equals,
    If,
    Join,
    Not,
    Or,
    Parameter,
    Ref,
    Select,
    Split,
    StackName,
    Sub,
    Template,
)
from troposphere.iam import Role
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation

from stack.lib.alarms import METRICS_NAMESPACE
from stack.lib.iam import add_policy, allow
from stack.lib.parameters import Between, FormGroup, Matching, OneOf, add_condition
from stack.lib.secrets import SecretValue
from stack.sections.network import Network
from stack.sections.people import SECRET_ARN

GROUP = "Observability"
# Of telemetry.names and telemetry.delivery in the image. They cannot be imported here; a test compares.
CHOICES = ("none", "default", "all")
UNDELIVERED_FIELD = "telemetry_undelivered"
# CloudFormation accepts 200 parameters, so two secrets share one. No ARN has a comma.
TO_AWS, AND_LINEAGE = "aws", ",lineage="


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What both containers of a worker get: the runner tells lineage, the worker sends it. `is_told`: a condition."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    is_told: str


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """What the containers of the service `airflow` get, and the conditions under which they may send to AWS."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    sends_metrics: str
    sends_traces: str
    lineage: Lineage


def add_telemetry(t: Template, *, network: Network) -> Telemetry:
    form = FormGroup(t, GROUP)
    choice = form.add(
        "AirflowMetrics",
        label="Airflow's metrics",
        description="Which of Airflow's metrics are sent: default, a short list; all, with the ids of DAGs and tasks; "
        "or none.",
        constraint=OneOf(values=CHOICES),
        default="default",
    )
    percent = form.add(
        "TracedRunsPercent",
        label="Percentage of DAG runs to trace",
        description="Percentage of DAG runs whose traces are sent; 0 for none.",
        constraint=Between(low=0, high=100),
        default=0,
    )
    arn = form.add(
        "OtlpSecretArn",
        label="Other receivers",
        description="ARN of a secret whose JSON has the endpoint of a receiver of OTLP over HTTP, and headers; empty, "
        "or aws, for CloudWatch and X-Ray. Behind it ,lineage= and the ARN of such a secret for OpenLineage.",
        constraint=Matching(
            regex=f"^({SECRET_ARN}|({SECRET_ARN}|{TO_AWS}){AND_LINEAGE}{SECRET_ARN})?$",
            must_be="the ARN of a secret, that with ,lineage=ARN behind it, aws,lineage=ARN, or empty",
        ),
        default="",
    )
    receiver = Select(0, Split(AND_LINEAGE, Ref(arn)))
    has_receiver = add_condition(t, "HasOtlpSecret", Not(Or(Equals(receiver, ""), Equals(receiver, TO_AWS))))
    to_aws = Not(Condition(has_receiver))
    sends_traces = add_condition(t, "SendsTraces", And(Not(Equals(Ref(percent), "0")), to_aws))
    # The endpoint of CloudWatch is there in any case, for the functions.
    network.endpoints.add(
        t,
        "XRay",
        service="xray",
        condition=add_condition(
            t, "HasXRayEndpoint", And(Condition(network.endpoints.condition), Condition(sends_traces))
        ),
    )
    return Telemetry(
        environment={
            "AIRFLOW_METRICS": Ref(choice),
            "TRACED_RUNS_PERCENT": Ref(percent),
            "STACK_NAME": StackName,
            "CLOUDWATCH_METRICS_URL": Sub("https://monitoring.${AWS::Region}.${AWS::URLSuffix}/v1/metrics"),
            "XRAY_TRACES_URL": Sub("https://xray.${AWS::Region}.${AWS::URLSuffix}/v1/traces"),
        },
        secrets={"OTLP_RECEIVER": SecretValue(arn=receiver, value_from=receiver, condition=has_receiver)},
        sends_metrics=add_condition(t, "SendsMetrics", And(Not(Equals(Ref(choice), "none")), to_aws)),
        sends_traces=sends_traces,
        lineage=_lineage(t, arn),
    )


def _lineage(t: Template, arn: Parameter) -> Lineage:
    secret = Select(1, Split(AND_LINEAGE, Join("", [Ref(arn), AND_LINEAGE])))
    is_told = add_condition(t, "HasLineage", Not(Equals(secret, "")))
    return Lineage(
        environment={"LINEAGE_NAMESPACE": If(is_told, StackName, "")},
        secrets={"LINEAGE_RECEIVER": SecretValue(arn=secret, value_from=secret, condition=is_told)},
        is_told=is_told,
    )


def let_send(t: Template, telemetry: Telemetry, *, role: Role) -> None:
    """Let the service `airflow` send. Neither action takes a resource.

    The metrics of the fleet, on which alarms stand, have a namespace, and are denied. OpenTelemetry's have none.
    """
    others = {"StringNotEqualsIfExists": {"cloudwatch:namespace": METRICS_NAMESPACE}}
    add_policy(
        t,
        "AirflowMetricsPolicy",
        role=role,
        statements=[allow(actions=["cloudwatch:PutMetricData"], resources=["*"], condition=others)],
        condition=telemetry.sends_metrics,
    )
    add_policy(
        t,
        "AirflowTracesPolicy",
        role=role,
        statements=[allow(actions=["xray:PutTraceSegments"], resources=["*"])],
        condition=telemetry.sends_traces,
    )


def undelivered_metric() -> Sub:
    """Return the name of the metric, which holds the stack's: metrics from logs have no dimension for it."""
    return Sub("TelemetryUndelivered-${AWS::StackName}")


def count_undelivered(t: Template, title: str, *, log_group: LogGroup, condition: str | None = None) -> None:
    """Make a metric of what the containers log about telemetry that they could not deliver."""
    added = t.add_resource(
        MetricFilter(
            title,
            FilterPattern=f"{{ $.{UNDELIVERED_FIELD} = * }}",
            LogGroupName=Ref(log_group),
            MetricTransformations=[
                MetricTransformation(
                    MetricName=undelivered_metric(),
                    MetricNamespace=METRICS_NAMESPACE,
                    MetricValue=f"$.{UNDELIVERED_FIELD}",
                )
            ],
        )
    )
    if condition is not None:
        added.Condition = condition
