"""State changes of runs and tasks on an event bus of EventBridge, for Lambda functions and Step Functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import And, Condition, Equals, If, Not, Ref, Sub, Template
from troposphere.iam import Role
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation

from stack.lib.alarms import METRICS_NAMESPACE
from stack.lib.iam import add_policy, allow
from stack.lib.parameters import FormGroup, Matching, add_condition
from stack.sections.network import Network
from stack.sections.notifications import GROUP

ROLE = "events"
# agent.events.event has it, too. It cannot be imported here; a test compares.
SOURCE = "airflow-on-ecs"
WAITING_FIELD = "events_waiting_s"  # of agent.events.waiting, which cannot be imported here either
DEFAULT_BUS = "default"
BUS_ARN = r"arn:aws(-[a-z]+)*:events:[a-z0-9-]+:[0-9]{12}:event-bus/[A-Za-z0-9._/-]{1,256}"


@dataclass(frozen=True, kw_only=True)
class Events:
    """`bus`: the ARN of the bus, empty unless the condition `has_bus` holds."""

    bus: If
    has_bus: str

    @property
    def environment(self) -> Mapping[str, Any]:
        """The variable of the container that makes or drops the indexes."""
        return {"EVENT_BUS": self.bus}


def add_events(t: Template, *, network: Network) -> Events:
    parameter = FormGroup(t, GROUP).add(
        "EventBus",
        label="Event bus for state changes",
        description="Event bus of EventBridge that gets an event for each state change of runs and tasks: default, or "
        "the ARN of a bus of this region. Empty for none.",
        constraint=Matching(regex=rf"^({DEFAULT_BUS}|{BUS_ARN})?$", must_be="default, the ARN of a bus, or empty"),
        default="",
    )
    has_bus = add_condition(t, "HasEventBus", Not(Equals(Ref(parameter), "")))
    is_default = add_condition(t, "IsDefaultEventBus", Equals(Ref(parameter), DEFAULT_BUS))
    default = Sub(f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:event-bus/{DEFAULT_BUS}")
    needs_endpoint = add_condition(
        t, "IsEventsEndpointNeeded", And(Condition(network.endpoints.condition), Condition(has_bus))
    )
    network.endpoints.add(t, "Events", service="events", condition=needs_endpoint)
    return Events(bus=If(is_default, default, Ref(parameter)), has_bus=has_bus)


def let_send(t: Template, events: Events, *, airflow: Role) -> None:
    """Let the service `airflow` send events of this project's source; no task may, so none forges one."""
    put = allow(
        actions=["events:PutEvents"],
        resources=[events.bus],
        condition={"StringEquals": {"events:source": SOURCE}},
    )
    add_policy(t, "EventsPolicy", role=airflow, statements=[put], condition=events.has_bus)


def waiting_metric() -> Sub:
    """Return the name of the metric, which holds the stack's: metrics from logs have no dimension for it."""
    return Sub("EventsWaitingSeconds-${AWS::StackName}")


def measure_waiting(t: Template, *, log_group: LogGroup) -> None:
    """Make a metric of what the container logs about events that wait."""
    t.add_resource(
        MetricFilter(
            "EventsWaiting",
            FilterPattern=f"{{ $.{WAITING_FIELD} = * }}",
            LogGroupName=Ref(log_group),
            MetricTransformations=[
                MetricTransformation(
                    MetricName=waiting_metric(), MetricNamespace=METRICS_NAMESPACE, MetricValue=f"$.{WAITING_FIELD}"
                )
            ],
        )
    )
