"""Who talks to whom in the created network, written down where access logs are."""

from troposphere import And, Condition, Equals, Join, Not, Ref, Template
from troposphere.ec2 import FlowLog

from stack.lib.parameters import OneOf, add_condition, add_parameter
from stack.sections.access_logs import NETWORK_PREFIX, AccessLogs
from stack.sections.network import GROUP, Network

NOTHING = "NONE"
# Seconds over which a connection's packets are counted into one record: the longer of the two that there are.
AGGREGATION_S = 600


def add_flow_logs(t: Template, *, network: Network, access_logs: AccessLogs) -> None:
    """Nothing in a network that is brought: that one has an owner who decides."""
    traffic = add_parameter(
        t,
        "FlowLogTraffic",
        group=GROUP,
        label="Flow logs",
        description="Connections in the VPC that is created which are written down: all, those refused, or none.",
        constraint=OneOf(values=(NOTHING, "REJECT", "ALL")),
        default=NOTHING,
    )
    is_logged = add_condition(
        t, "IsTrafficLogged", And(Condition(network.is_created), Not(Equals(Ref(traffic), NOTHING)))
    )
    t.add_resource(
        FlowLog(
            "NetworkFlowLog",
            Condition=is_logged,
            DependsOn=access_logs.policy.title,
            # A folder for each kind: two flow logs of one VPC may not share one, and a change makes the new one first.
            LogDestination=Join("", [access_logs.bucket.get_att("Arn"), f"/{NETWORK_PREFIX}/", Ref(traffic)]),
            LogDestinationType="s3",
            MaxAggregationInterval=AGGREGATION_S,
            ResourceId=network.created_vpc,
            ResourceType="VPC",
            TrafficType=Ref(traffic),
        )
    )
