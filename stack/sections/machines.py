"""Tokens of the REST API for machines: which machine gets which role of Airflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import And, Condition, Equals, Not, Output, Ref, Sub, Template

from stack.lib.parameters import FormGroup, Matching, add_condition
from stack.sections.network import Network

GROUP = "Sign-in"


@dataclass(frozen=True, kw_only=True)
class Machines:
    """`environment` is what the webserver is told."""

    environment: Mapping[str, Any]


def add_machines(t: Template, *, network: Network) -> Machines:
    roles = FormGroup(t, GROUP).add(
        "MachineRoles",
        label="Roles of machines",
        description="Lines ROLE: issuer=... CLAIM=... or ROLE: aws=ARN, for machines that call the REST API.",
        constraint=Matching(regex=r"^[ -~\n]*$", must_be="lines ROLE: issuer=... CLAIM=... or ROLE: aws=ARN, or empty"),
        default="",
    )
    has_roles = add_condition(t, "HasMachineRoles", Not(Equals(Ref(roles), "")))
    needs_endpoint = add_condition(
        t, "IsStsEndpointNeeded", And(Condition(network.endpoints.condition), Condition(has_roles))
    )
    network.endpoints.add(t, "Sts", service="sts", condition=needs_endpoint)
    # The same wherever the stack is deployed anew, and no other environment's.
    audience = Sub("airflow:${AWS::AccountId}:${AWS::Region}:${AWS::StackName}")
    t.add_output(
        Output("MachineAudience", Description="Audience of machines' tokens and signed requests.", Value=audience)
    )
    return Machines(
        environment={
            "MACHINE_ROLES": Ref(roles),
            "MACHINE_AUDIENCE": audience,
            "STS_URL": Sub("https://sts.${AWS::Region}.${AWS::URLSuffix}/"),
        }
    )
